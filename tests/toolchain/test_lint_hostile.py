"""``icfleet lint`` over sources that are broken or built to break it: findings, no tracebacks."""

import os
from pathlib import Path

import pytest

from icfleet.lint import Finding, lint_paths
from icfleet_localnet.kybra_host.syntax import SOURCE_SIZE_MAX

BROKEN = {
    "null byte": (b"a = 1\nb = 2\x00\n", "KY305", 2),
    "not UTF-8": (b'a = 1\nb = "\xe9"\n', "KY305", 2),
    "syntax": (b"a = 1\ndef f(:\n", "KY305", 2),
    "parentheses": (b"a = " + b"(" * 5000 + b")" * 5000, "KY305", 1),
    "long sum": (b"a = " + b" + ".join([b"1"] * 20_000), "KY305", 1),
    "long chain": (b"if a:\n    pass\n" + b"elif a:\n    pass\n" * 5000, "KY305", 1),
    "size": (b"#" * (SOURCE_SIZE_MAX + 1), "KY410", 1),
}


def lint_bytes(folder: Path, source: bytes) -> list[Finding]:
    (folder / "main.py").write_bytes(source)
    return lint_paths([folder])


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_source_is_one_finding(name: str, tmp_path: Path) -> None:
    """Where and what, and that is all."""
    source, code, line = BROKEN[name]

    (finding,) = lint_bytes(tmp_path, source)

    assert (finding.code, finding.place.line) == (code, line)


@pytest.mark.parametrize(
    "source",
    [
        b"def f(a):\n    if a:\n        pass\n" + b"    elif a:\n        pass\n" * 900,
        b"def f(x):\n    return ic" + b".a" * 900 + b"\n",
        b"from kybra import *\n@query\ndef f(x: nat) -> nat:\n    return "
        + b"1 if x else " * 500
        + b"2\n",
    ],
    ids=["elif", "attributes", "conditions"],
)
def test_deep_sources_that_parse_are_read(source: bytes, tmp_path: Path) -> None:
    """What Python reads, the linter reads."""
    assert lint_bytes(tmp_path, source) == []


def test_an_import_cycle_ends(tmp_path: Path) -> None:
    """Modules that import each other, by star too, are read once each."""
    (tmp_path / "b.py").write_text("import c\nfrom c import *\n")
    (tmp_path / "c.py").write_text("import b\nfrom b import *\nfrom c import *\nprint(1)\n")

    findings = lint_bytes(tmp_path, b"from b import *\n")

    assert [one.code for one in findings] == ["KY701"]


def test_linked_folders_do_not_go_round(tmp_path: Path) -> None:
    """A folder that holds itself, and an entry that is a link to itself, are no entries."""
    (tmp_path / "loop").mkdir()
    (tmp_path / "loop" / "self").symlink_to(tmp_path, target_is_directory=True)
    (tmp_path / "loop" / "main.py").symlink_to("main.py")

    findings = lint_paths([tmp_path])

    assert [one.code for one in findings] == ["KY402"]


@pytest.mark.parametrize("kind", ["link to nothing", "pipe"])
def test_a_file_that_cannot_be_read_is_named(kind: str, tmp_path: Path) -> None:
    """Kybra copies a package whole, and its copy fails there, too."""
    package = tmp_path / "pkg"
    package.mkdir()
    (package / "__init__.py").write_text("")
    if kind == "pipe":
        os.mkfifo(package / "odd.py")
    else:
        (package / "odd.py").symlink_to("nowhere")

    (finding,) = lint_bytes(tmp_path, b"import pkg\n")

    assert finding.code == "KY402"
    assert "odd.py cannot be read" in finding.message
