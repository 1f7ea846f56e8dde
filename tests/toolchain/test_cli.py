"""The command line as a user meets it: exit codes, streams, and errors that say what to do."""

import json
import os
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from importlib.metadata import version
from pathlib import Path
from subprocess import CompletedProcess

import pytest

from icfleet.cli import main

RunIcfleet = Callable[..., "CompletedProcess[str]"]

COUNTER = """
from kybra import nat64, query


@query
def read() -> nat64:
    return 1
"""


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project of one canister, and the working directory in it."""
    (tmp_path / "canisters" / "counter").mkdir(parents=True)
    (tmp_path / "canisters" / "counter" / "main.py").write_text(COUNTER)
    canister = {
        "type": "custom",
        "build": "icfleet wasm main canisters/counter/main.py",
        "candid": "counter.did",
        "wasm": ".kybra/main/main.wasm",
    }
    write_dfx(tmp_path, {"canisters": {"main": canister}})
    (tmp_path / "counter.did").write_text("service : { read : () -> (nat64) query }")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def write_dfx(root: Path, content: object) -> None:
    (root / "dfx.json").write_text(json.dumps(content))


@pytest.fixture
def taken_port() -> Iterator[int]:
    """A port that somebody listens on and never answers."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        yield listener.getsockname()[1]


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def run(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    """Run the command line in this process."""
    code = main(arguments)
    out, err = capsys.readouterr()
    return code, out, err


def test_the_command_works_as_a_process(icfleet: RunIcfleet, project: Path) -> None:
    """The answer is on standard output, and nothing else is said to a script."""
    done = icfleet("build", "canisters/counter/main.py", "--json", cwd=project)

    assert (done.returncode, done.stderr) == (0, "")
    assert json.loads(done.stdout)["files"] == ["main.py"]


def test_an_expected_failure_is_one_line_and_code_1(icfleet: RunIcfleet, tmp_path: Path) -> None:
    """Standard output stays empty, and there is no traceback."""
    done = icfleet("status", cwd=tmp_path)

    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("icfleet: ")
    assert done.stderr.count("\n") == 1
    assert "dfx.json: no such file: run this in the project's folder" in done.stderr


@pytest.mark.parametrize(
    "arguments",
    [
        pytest.param(["fly"], id="unknown-command"),
        pytest.param(["call", "main"], id="missing-argument"),
        pytest.param(["status", "--jsonn"], id="unknown-option"),
        pytest.param(["up", "--port", "70000"], id="port-out-of-range"),
        pytest.param(["attach", "--signer", "me"], id="unknown-choice"),
    ],
)
def test_wrong_usage_is_code_2(capsys: pytest.CaptureFixture[str], arguments: list[str]) -> None:
    """A script can tell a typo from a failure."""
    code, out, err = run(capsys, *arguments)

    assert (code, out) == (2, "")
    assert "Usage" in err


def test_the_version_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    """A bug report starts with it."""
    assert run(capsys, "--version") == (0, f"icfleet {version('icfleet')}\n", "")


def test_help_says_who_signs_otherwise(capsys: pytest.CaptureFixture[str]) -> None:
    """Defaults that depend on the situation are told in words."""
    code, out, _ = run(capsys, "attach", "--help")

    words = " ".join(out.replace("│", " ").split())
    assert code == 0
    assert "Otherwise .icfleet/identities/admin.pem" in words
    assert "Otherwise dfx or icp where it runs this command as its script, else the key." in words


def test_help_is_no_failure(capsys: pytest.CaptureFixture[str]) -> None:
    """``--help`` lists every command."""
    code, out, _ = run(capsys, "--help")

    assert code == 0
    for command in ("up", "lint", "build", "wasm", "deploy", "attach", "call", "status"):
        assert f" {command} " in out


@pytest.mark.parametrize(
    ("dfx", "reason"),
    [
        pytest.param("{", "not JSON", id="malformed"),
        pytest.param("{}", "missing required field `canisters`", id="no-canisters"),
        pytest.param('{"canisters": {"main": {"build": 7}}}', "$.canisters", id="wrong-type"),
        pytest.param('{"canisters": {"a": {}, "b": {}}}', "here is none", id="no-main"),
        pytest.param(
            '{"canisters": {"main": {}}, "networks": {"local": {"bind": "x"}}}',
            "must be address:port",
            id="bad-network",
        ),
    ],
)
def test_a_broken_dfx_json_is_explained(
    capsys: pytest.CaptureFixture[str], project: Path, dfx: str, reason: str
) -> None:
    """Whatever is wrong with the file is said with its path."""
    (project / "dfx.json").write_text(dfx)

    code, out, err = run(capsys, "status")

    assert (code, out) == (1, "")
    assert "dfx.json" in err
    assert reason in err


def test_an_unknown_network_is_named_with_the_known_ones(
    capsys: pytest.CaptureFixture[str], project: Path
) -> None:
    """A typo in ``--network`` shows what there is."""
    code, _, err = run(capsys, "status", "--network", "locla", "--dfx", str(project / "dfx.json"))

    assert code == 1
    assert "has no network 'locla'; it has local, ic" in err


@pytest.mark.usefixtures("project")
def test_a_network_without_ids_says_how_to_deploy(capsys: pytest.CaptureFixture[str]) -> None:
    """Before the first deployment there is nothing to call."""
    code, _, err = run(capsys, "call", "main", "read")

    assert code == 1
    assert "main has no id on network 'local': deploy it first, with 'icfleet up'" in err


@pytest.mark.usefixtures("project")
def test_the_mainnet_without_ids_says_how_to_deploy_there(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Our own commands deploy to local networks only."""
    for arguments in (["call", "main", "read"], ["status"]):
        code, _, err = run(capsys, *arguments, "--network", "ic")

        assert code == 1
        assert err.endswith("deploy it first, with 'dfx deploy --network ic'\n")


@pytest.mark.usefixtures("project")
def test_a_mistyped_canister_is_guessed(capsys: pytest.CaptureFixture[str]) -> None:
    """The nearest name of dfx.json is offered."""
    code, _, err = run(capsys, "call", "mian", "read")

    assert code == 1
    assert err.endswith("(main) nor a principal (did you mean 'main'?)\n")


def test_a_missing_entry_is_told_before_anything_is_sent(
    capsys: pytest.CaptureFixture[str], project: Path
) -> None:
    """dfx.json naming a source that is not there is an error of dfx.json."""
    (project / "canisters" / "counter" / "main.py").unlink()

    code, _, err = run(capsys, "deploy")

    assert code == 1
    assert "main names" in err
    assert "main.py, which is not there" in err


def test_a_missing_interface_is_told(capsys: pytest.CaptureFixture[str], project: Path) -> None:
    """dfx.json naming a .did file that is not there is an error of dfx.json."""
    (project / "counter.did").unlink()

    code, _, err = run(capsys, "deploy")

    assert code == 1
    assert "counter.did, which is not there" in err


@pytest.mark.usefixtures("project")
def test_a_network_that_is_down_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    """Nobody listening is one clear line."""
    code, _, err = run(capsys, "deploy", "--host", f"http://127.0.0.1:{free_port()}")

    assert code == 1
    assert err.count("\n") == 1
    assert "start it with 'icfleet up'" in err


def test_a_port_in_use_is_told(icfleet: RunIcfleet, project: Path, taken_port: int) -> None:
    """``up`` names the port and the way out, and leaves no half-made network."""
    done = icfleet("up", "--port", str(taken_port), cwd=project)

    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == (
        f"icfleet: 127.0.0.1:{taken_port} is in use: stop the other program, or choose another "
        "--port\n"
    )


@pytest.mark.usefixtures("project")
def test_lint_says_what_it_checked_when_all_is_well(capsys: pytest.CaptureFixture[str]) -> None:
    """No findings are no answer, so standard output stays empty; for scripts, an empty list."""
    checked = "1 entry, 1 file: no errors\n"

    assert run(capsys, "lint", "canisters/counter/main.py") == (0, "", checked)
    assert run(capsys, "lint", "canisters/counter") == (0, "", checked)
    assert run(capsys, "lint", "canisters") == (0, "", checked)
    assert run(capsys, "lint", "canisters", "--json") == (0, "[]\n", checked)


def test_lint_counts_shared_files_once(capsys: pytest.CaptureFixture[str], project: Path) -> None:
    """Two canisters that import one module are two entries and three files."""
    (project / "canisters" / "shared.py").write_text("LIMIT = 3\n")
    (project / "canisters" / "other").mkdir()
    for name in ("counter", "other"):
        entry = project / "canisters" / name / "main.py"
        entry.write_text("from shared import LIMIT\n" + COUNTER)

    code, out, err = run(capsys, "lint", "canisters")

    assert (code, out, err) == (0, "", "2 entries, 3 files: no errors\n")


def test_lint_fails_on_an_error(capsys: pytest.CaptureFixture[str], project: Path) -> None:
    """Findings are the answer, so they are on standard output."""
    (project / "canisters" / "counter" / "main.py").write_text(COUNTER + "\nx = y = 1\n")

    code, out, err = run(capsys, "lint", "canisters/counter/main.py", "--json")

    assert (code, err) == (1, "")
    (finding,) = json.loads(out)
    names = ["code", "column", "file", "fix", "line", "link", "message", "severity"]
    assert sorted(finding) == names


@pytest.mark.usefixtures("project")
def test_build_says_what_it_wrote(capsys: pytest.CaptureFixture[str]) -> None:
    """The JSON's fields are a promise to scripts."""
    code, out, _ = run(capsys, "build", "canisters/counter/main.py", "--out", "a/b.wasm", "--json")

    report = json.loads(out)
    assert code == 0
    assert sorted(report) == ["did", "files", "sha256", "size", "warnings", "wasm"]
    assert Path(report["wasm"]).stat().st_size == report["size"]
    assert Path(report["did"]).read_text().startswith("service")


@pytest.mark.usefixtures("project")
def test_build_has_a_place_of_its_own(capsys: pytest.CaptureFixture[str]) -> None:
    """Without ``--out`` the module goes below ``.icfleet/build``."""
    code, out, _ = run(capsys, "build", "canisters/counter/main.py")

    assert code == 0
    assert Path(".icfleet/build/counter/counter.wasm").is_file()
    assert "counter.wasm" in out


@pytest.mark.usefixtures("project")
def test_build_takes_a_folder_as_lint_does(capsys: pytest.CaptureFixture[str]) -> None:
    """The folder stands for its main.py; without one the error names the file."""
    by_file = run(capsys, "build", "canisters/counter/main.py")

    assert run(capsys, "build", "canisters/counter") == by_file
    code, out, err = run(capsys, "build", "canisters")
    assert (code, out) == (1, "")
    assert "canisters/main.py" in err


def test_a_source_that_would_not_compile_is_explained(
    capsys: pytest.CaptureFixture[str], project: Path
) -> None:
    """The finding's place is on the first line, and no module is left."""
    (project / "canisters" / "counter" / "main.py").write_text(COUNTER + "\nx = y = 1\n")

    code, out, err = run(capsys, "build", "canisters/counter/main.py")

    assert (code, out) == (1, "")
    assert "canisters/counter/main.py:9" in err.splitlines()[0]
    assert not (project / ".icfleet").exists()


def test_sources_outside_the_project_are_refused(
    capsys: pytest.CaptureFixture[str], project: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Kybra would bundle the entry and silently nothing of what it imports."""
    outside = tmp_path_factory.mktemp("outside") / "main.py"
    outside.write_text(COUNTER)

    code, _, err = run(capsys, "build", str(outside))

    assert code == 1
    assert f"is not below {project}" in err


@pytest.mark.parametrize("option", ["--version", "--help"])
def test_output_that_cannot_be_written_is_told_in_one_line(option: str) -> None:
    with Path("/dev/full").open("w") as full:
        command = [sys.executable, "-m", "icfleet", option]
        done = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True, check=False)

    assert done.returncode == 1
    assert done.stderr == "icfleet: [Errno 28] No space left on device\n"


def test_a_reader_that_went_away_is_not_told() -> None:
    reader, writer = os.pipe()
    os.close(reader)
    with os.fdopen(writer, "w") as closed:
        command = [sys.executable, "-m", "icfleet", "--version"]
        done = subprocess.run(
            command, stdout=closed, stderr=subprocess.PIPE, text=True, check=False
        )

    assert (done.returncode, done.stderr) == (1, "")
