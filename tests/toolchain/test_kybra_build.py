"""Building with Kybra, played by a stand-in that runs as a real process."""

import os
import threading
from pathlib import Path

import pytest

from icfleet.errors import KybraError, SourceError
from icfleet.kybra_build import KybraRequest, build_with_kybra, source_hash
from icfleet.wasm_sections import custom_section_names


def request_for(root: Path, name: str = "main") -> KybraRequest:
    """The request for the project's counter canister."""
    canisters = root / "canisters"
    entry = canisters / "counter" / "main.py"
    shared = {f"shared/{file.name}": file.read_bytes() for file in canisters.glob("shared/*.py")}
    return KybraRequest(
        root=root,
        name=name,
        entry=entry,
        search_path=(canisters,),
        sources={"main.py": entry.read_bytes(), **shared},
    )


def runs(root: Path) -> list[str]:
    """The compiler's runs, as it noted them itself."""
    notes = root / "kybra-runs"
    return notes.read_text().splitlines() if notes.exists() else []


def test_one_build_serves_all_names(source_project: Path, kybra_venv: Path) -> None:
    """main compiles, replica_1 and replica_2 get copies under their own names."""
    python = kybra_venv / "bin" / "python"

    builds = [
        build_with_kybra(request_for(source_project, name), python, os.environ)
        for name in ("main", "replica_1", "replica_2")
    ]

    assert runs(source_project) == ["main canisters/counter/main.py"]
    assert [build.is_reused for build in builds] == [False, True, True]
    assert builds[2].wasm == source_project / ".kybra" / "replica_2" / "replica_2.wasm"
    assert len({build.wasm.read_bytes() for build in builds}) == 1
    assert builds[2].did.read_text() == "service : () -> {}\n"


def test_a_changed_source_is_built_again(source_project: Path, kybra_venv: Path) -> None:
    """Also when the change is in a package the entry imports."""
    python = kybra_venv / "bin" / "python"
    build_with_kybra(request_for(source_project), python, os.environ)
    (source_project / "canisters" / "shared" / "rules.py").write_text("LIMIT = 4\n")

    build = build_with_kybra(request_for(source_project), python, os.environ)

    assert not build.is_reused
    assert len(runs(source_project)) == 2


def test_builds_at_the_same_time_compile_once(source_project: Path, kybra_venv: Path) -> None:
    """icp-cli builds canisters side by side; the compiler still runs once."""
    python = kybra_venv / "bin" / "python"
    threads = [
        threading.Thread(
            target=build_with_kybra, args=(request_for(source_project, name), python, os.environ)
        )
        for name in ("main", "replica_1", "replica_2")
    ]

    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert len(runs(source_project)) == 1
    assert (source_project / ".kybra" / "replica_2" / "replica_2.wasm").is_file()


def test_the_interface_is_added_to_the_module(source_project: Path, kybra_venv: Path) -> None:
    """A tool that installs the module as it is still serves its Candid interface."""
    build = build_with_kybra(request_for(source_project), kybra_venv / "bin/python", os.environ)

    module = build.wasm.read_bytes()

    assert list(custom_section_names(module)) == ["icp:public candid:service"]
    assert module.endswith(build.did.read_bytes())


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        pytest.param("fail", "could not install Rust", id="failed"),
        pytest.param("omit", r"left out shared/__init__\.py, shared/rules\.py", id="left-out"),
        pytest.param("overwrite", r"another file as main\.py", id="overwritten"),
        pytest.param("no-wasm", r"wrote no \.kybra/main/main\.wasm", id="no-file"),
    ],
)
def test_a_bad_build_is_refused_and_not_kept(
    source_project: Path, kybra_venv: Path, fault: str, reason: str
) -> None:
    """What would trap at installation is an error at build time, and the next run compiles anew."""
    python = kybra_venv / "bin" / "python"
    request = request_for(source_project)
    environ = {**os.environ, "FAKE_KYBRA": fault, "HOME": str(source_project)}

    with pytest.raises(KybraError, match=reason):
        build_with_kybra(request, python, environ)

    assert not build_with_kybra(request, python, os.environ).is_reused


def test_a_file_that_is_no_module_is_refused(source_project: Path, kybra_venv: Path) -> None:
    """Whatever the compiler wrote is looked at before it is kept."""
    environ = {**os.environ, "FAKE_KYBRA": "no-module"}

    with pytest.raises(SourceError, match="no WebAssembly module"):
        build_with_kybra(request_for(source_project), kybra_venv / "bin" / "python", environ)


@pytest.mark.parametrize("name", ["replica-1", "1main", "", "a.b"])
def test_a_name_that_kybra_cannot_use_is_refused(source_project: Path, name: str) -> None:
    """A hyphen would make Kybra look for a file that cargo named otherwise."""
    with pytest.raises(KybraError, match="letters, digits and underscores"):
        build_with_kybra(request_for(source_project, name), Path("python"), {})


def test_the_hash_tells_names_from_contents() -> None:
    """Moving bytes from a file's name to its content is another build."""
    assert source_hash({"a.py": b"b", "c.py": b""}) != source_hash({"a.py": b"", "c.py": b"b"})
    assert source_hash({"b.py": b"1", "a.py": b"2"}) == source_hash({"a.py": b"2", "b.py": b"1"})
