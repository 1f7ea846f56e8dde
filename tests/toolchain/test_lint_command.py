"""``icfleet lint`` as a command: what it checks, what it leaves out, and how it ends."""

import json
from pathlib import Path

import pytest

from icfleet.cli import main
from icfleet.lint import lint_paths
from icfleet.lint.runner import find_entries

CLEAN = "from kybra import ic, nat64, query\n@query\ndef now() -> nat64:\n    return ic.time()\n"
WARNED = CLEAN + "print(1)\n"
WRONG = WARNED + "a = b = 1\n"


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def run(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    code = main(["lint", *arguments])
    done = capsys.readouterr()
    return code, done.out, done.err


def codes(capsys: pytest.CaptureFixture[str], *arguments: str) -> list[str]:
    _, out, _ = run(capsys, *arguments, "--json")
    return [one["code"] for one in json.loads(out)]


def write_dfx(folder: Path, **canisters: object) -> None:
    (folder / "dfx.json").write_text(json.dumps({"canisters": canisters}, indent=2))


def test_without_a_path_the_canisters_of_dfx_json_are_checked(
    capsys: pytest.CaptureFixture[str], project: Path
) -> None:
    """All forms that build with Kybra, each entry once, and nothing else."""
    for name in ("one", "two", "three"):
        (project / "src" / name).mkdir(parents=True)
        (project / "src" / name / "main.py").write_text(CLEAN)
    build = "python -m kybra two src/two/main.py"
    write_dfx(
        project,
        one={"type": "kybra", "main": "src/one/main.py"},
        two={"type": "custom", "build": ["echo 'so", build], "candid": "two.did"},
        three={"type": "custom", "build": "icfleet wasm three src/three/main.py"},
        again={"type": "custom", "build": "icfleet wasm again src/three/main.py --out a"},
        other={"type": "motoko", "main": "src/other.mo"},
        odd=7,
    )

    assert run(capsys) == (0, "", "3 entries, 3 files: no errors\n")


def test_what_stops_a_build_in_dfx_json_is_found(
    capsys: pytest.CaptureFixture[str], project: Path
) -> None:
    """Kybra tells so only after minutes, or as a Python exception."""
    (project / "main.py").write_text(CLEAN)
    write_dfx(
        project,
        **{"my-bank": {"type": "kybra", "main": "main.py"}},
        bank={"type": "custom", "build": "python3 -m kybra bank main.py bank.did && echo done"},
    )

    _, out, _ = run(capsys, "--json")

    found = [(one["code"], one["file"], one["line"]) for one in json.loads(out)]
    assert found == [
        ("KY801", "dfx.json", 3),
        ("KY802", "dfx.json", 7),
        ("KY803", "dfx.json", 7),
    ]


@pytest.mark.parametrize(
    ("content", "reason"),
    [("{", "not JSON"), ("[]", "no canisters"), ('{"canisters": {}}', "no canisters")],
)
def test_a_malformed_dfx_json_is_told_in_one_line(
    capsys: pytest.CaptureFixture[str], project: Path, content: str, reason: str
) -> None:
    """An expected failure, not wrong usage."""
    (project / "dfx.json").write_text(content)

    code, out, err = run(capsys)

    assert (code, out, err.count("\n")) == (1, "", 1)
    assert reason in err


@pytest.mark.usefixtures("project")
@pytest.mark.parametrize(
    "arguments",
    [[], ["--select", "KY999", "."], ["--ignore", "", "."], ["--explain", "7"], ["--format", "x"]],
)
def test_wrong_usage_is_exit_code_2(
    capsys: pytest.CaptureFixture[str], arguments: list[str]
) -> None:
    """A misspelt code must not pass as clean; nothing to check is no clean check."""
    assert run(capsys, *arguments)[:2] == (2, "")


@pytest.mark.parametrize(
    ("source", "options", "code"),
    [
        (CLEAN, ["--strict"], 0),
        (WARNED, [], 0),
        (WARNED, ["--strict"], 1),
        (WARNED, ["--strict", "--ignore", "ky701"], 0),
        (WRONG, [], 1),
        (WRONG, ["--select", "KY7"], 0),
    ],
)
def test_the_exit_code_says_whether_it_passes(
    capsys: pytest.CaptureFixture[str], project: Path, source: str, options: list[str], code: int
) -> None:
    """Errors fail, warnings only when asked for, and what is left out never."""
    (project / "main.py").write_text(source)

    assert run(capsys, "main.py", *options)[0] == code


def test_rules_are_chosen_by_code_and_by_group(
    capsys: pytest.CaptureFixture[str], project: Path
) -> None:
    """A code's beginning stands for all that begin so; options add up."""
    (project / "main.py").write_text(WRONG)

    assert codes(capsys, ".") == ["KY701", "KY302"]
    assert codes(capsys, ".", "--select", "KY3") == ["KY302"]
    assert codes(capsys, ".", "--select", "KY3,ky701") == ["KY701", "KY302"]
    assert codes(capsys, ".", "--ignore", "KY3", "--ignore", "KY7") == []


def test_github_has_its_own_format(capsys: pytest.CaptureFixture[str], project: Path) -> None:
    """One annotation a line, and nothing else on standard output."""
    (project / "main.py").write_text(WARNED)

    _, out, _ = run(capsys, ".", "--format", "github")

    assert out.startswith("::warning file=main.py,line=5,col=1,title=KY701::")
    assert out.count("\n") == 1


@pytest.mark.usefixtures("project")
def test_a_rule_is_explained(capsys: pytest.CaptureFixture[str]) -> None:
    """By its code, in any case, with no sources at hand."""
    code, out, _ = run(capsys, "--explain", "ky702")

    assert code == 0
    assert out.startswith("KY702 dict unpacking (warning)\n")


def test_a_comment_that_serves_one_of_two_canisters_is_used(tmp_path: Path) -> None:
    """Only what holds nothing back anywhere is in vain."""
    shared = "from kybra import *\n@query\ndef a() -> nat: ...  # icfleet: ignore[KY117]\n"
    (tmp_path / "shared.py").write_text(shared)
    for name, source in (("one", "import shared\n"), ("two", "from shared import a\n")):
        (tmp_path / name).mkdir()
        (tmp_path / name / "main.py").write_text(source)

    both = lint_paths([tmp_path], search_path=[tmp_path])
    second = lint_paths([tmp_path / "two"], search_path=[tmp_path])

    assert both == []
    assert [one.code for one in second] == ["KY901"]


def test_installed_packages_are_not_the_projects(tmp_path: Path) -> None:
    """A folder stands for the canisters in it, not for those of a virtual environment."""
    for name in ("one", "venv/lib", "env/site-packages/a", "node_modules/b"):
        (tmp_path / name).mkdir(parents=True)
        (tmp_path / name / "main.py").write_text(CLEAN)
    (tmp_path / "venv" / "pyvenv.cfg").touch()

    assert find_entries(tmp_path) == [tmp_path / "one" / "main.py"]
    assert find_entries(tmp_path / "venv" / "lib") == [tmp_path / "venv" / "lib" / "main.py"]


def test_a_comment_may_follow_another_comment(tmp_path: Path) -> None:
    source = "from kybra import *\n@query\ndef a() -> nat: ...  # noqa  # icfleet: ignore[KY117]\n"
    (tmp_path / "shared.py").write_text(source)
    (tmp_path / "main.py").write_text("import shared\n")

    assert lint_paths([tmp_path], search_path=[tmp_path]) == []
