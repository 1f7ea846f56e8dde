"""``icfleet wasm`` as dfx and icp-cli run it, with a stand-in for Kybra's compiler."""

import os
from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess

import pytest

from icfleet.kybra_python import KYBRA_RUST_VERSION

RunIcfleet = Callable[..., "CompletedProcess[str]"]
ENTRY = "canisters/counter/main.py"


@pytest.fixture
def project(source_project: Path, kybra_venv: Path) -> Path:
    """A project whose venv for Kybra is made already."""
    (source_project / ".icfleet").mkdir()
    (source_project / ".icfleet" / "kybra-venv").symlink_to(kybra_venv)
    return source_project


def test_the_module_is_where_dfx_json_says(icfleet: RunIcfleet, project: Path) -> None:
    """The answer is one line; what the compiler says goes to the other stream."""
    done = icfleet("wasm", "main", ENTRY, cwd=project)

    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(f"{project}/.kybra/main/main.wasm  ")
    assert done.stdout.endswith("  built\n")
    assert "Building canister main" in done.stderr
    assert (project / ".kybra" / "main" / "main.did").is_file()


def test_the_other_canisters_reuse_the_build(icfleet: RunIcfleet, project: Path) -> None:
    """The second and third name of dfx.json cost no compilation."""
    icfleet("wasm", "main", ENTRY, cwd=project)

    done = icfleet("wasm", "replica_1", ENTRY, "--out", "elsewhere/out.wasm", cwd=project)

    assert done.stdout.endswith("  build of the same sources reused\n")
    assert (project / "kybra-runs").read_text() == f"main {ENTRY}\n"
    copied = (project / "elsewhere" / "out.wasm").read_bytes()
    assert copied == (project / ".kybra" / "main" / "main.wasm").read_bytes()


def test_a_failed_compilation_is_one_line_after_the_compilers_own(
    icfleet: RunIcfleet, project: Path
) -> None:
    """Kybra's words come first, then what became of it."""
    cargo = project / "home" / ".config/kybra/rust" / KYBRA_RUST_VERSION / "bin" / "cargo"
    cargo.parent.mkdir(parents=True)
    cargo.touch()

    done = icfleet(
        "wasm", "main", ENTRY, cwd=project, FAKE_KYBRA="fail", HOME=str(project / "home")
    )

    assert (done.returncode, done.stdout) == (1, "")
    assert "Kybra error: no" in done.stderr
    assert done.stderr.endswith("icfleet: Kybra ended with code 1; its own words are above\n")


def test_a_failure_without_rust_says_that_it_could_not_be_downloaded(
    icfleet: RunIcfleet, project: Path
) -> None:
    """Kybra's own words are a shell's trace, and the cause is most likely the connection."""
    done = icfleet("wasm", "main", ENTRY, cwd=project, FAKE_KYBRA="fail", HOME=str(project))

    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.endswith(
        "icfleet: Kybra could not install Rust (it downloads it on its first build): check the "
        "connection and run it again\n"
    )


def test_a_module_that_was_left_out_is_named(icfleet: RunIcfleet, project: Path) -> None:
    """The canister would trap at installation, on a network, with somebody's cycles."""
    done = icfleet("wasm", "main", ENTRY, cwd=project, FAKE_KYBRA="omit")

    assert done.returncode == 1
    assert "Kybra left out shared/__init__.py, shared/rules.py" in done.stderr


def test_packages_installed_here_reach_kybra(icfleet: RunIcfleet, project: Path) -> None:
    """Kybra's venv does not have them, so they are put where it looks."""
    (project / ENTRY).write_text("from sortedcontainers import SortedDict\n")

    done = icfleet("wasm", "main", ENTRY, cwd=project)

    assert done.returncode == 0, done.stderr
    bundled = project / ".kybra/main/python_source/sortedcontainers/sorteddict.py"
    assert bundled.is_file()


def test_without_a_python_for_kybra_the_error_says_how_to_get_one(
    icfleet: RunIcfleet, source_project: Path
) -> None:
    """A Python that is named and does not fit is the same error."""
    newer = source_project / "python"
    newer.write_text("#!/bin/sh\necho 3.13\n")
    newer.chmod(0o755)

    done = icfleet("wasm", "main", ENTRY, "--python", str(newer), cwd=source_project)

    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == (
        f"icfleet: {newer} is Python 3.13, and Kybra needs Python 3.10 or 3.11: install one, for "
        "example with 'uv python install 3.10', 'pyenv install 3.10' or 'apt install "
        "python3.11-venv', or name one with --python\n"
    )


@pytest.mark.parametrize(
    ("name", "entry", "reason"),
    [
        pytest.param("replica-1", ENTRY, "letters, digits and underscores", id="name"),
        pytest.param("main", "canisters/counter/mian.py", "there is no such file", id="entry"),
        pytest.param("main", os.devnull, "is not below", id="outside"),
    ],
)
def test_what_kybra_cannot_build_is_told_before(
    icfleet: RunIcfleet, project: Path, name: str, entry: str, reason: str
) -> None:
    """The compiler is not started."""
    done = icfleet("wasm", name, entry, cwd=project)

    assert done.returncode == 1
    assert reason in done.stderr
    assert not (project / "kybra-runs").exists()
