"""Commands against a running fleet."""

import asyncio
import json
from pathlib import Path

import pytest
from running_fleet import RunningFleet, copy_project

from icfleet.cli import main
from icfleet.deploy import init_arg
from icfleet.site import open_site
from icfleet_agent import Agent, ManagementCanister
from icfleet_protocol.identity import Ed25519Identity
from icfleet_protocol.principal import Principal

Run = tuple[int, str, str]


@pytest.fixture
def host(running_fleet: RunningFleet, monkeypatch: pytest.MonkeyPatch) -> str:
    """The network's address, with the working directory in the project."""
    monkeypatch.chdir(running_fleet.project)
    return running_fleet.url


def run(capsys: pytest.CaptureFixture[str], *arguments: str) -> Run:
    """Run the command line in this process."""
    code = main(arguments)
    out, err = capsys.readouterr()
    return code, out, err


def test_status_is_a_table_for_people(capsys: pytest.CaptureFixture[str], host: str) -> None:
    """One line for each canister, main first, not folded in a pipe."""
    code, out, err = run(capsys, "status", "--host", host)

    heading, *lines = out.splitlines()
    assert (code, err) == (0, "")
    assert heading.split() == ["canister", "id", "role", "phase", "position", "lag"]
    assert [line.split()[0] for line in lines[:3]] == ["main", "replica_1", "replica_2"]
    assert [line.split()[2] for line in lines[:3]] == ["main", "replica", "replica"]
    assert [line.split()[2] for line in lines[5:8]] == ["yes"] * 3
    assert "    admin of all; controls all" in lines
    assert all(len(line) <= 80 for line in lines)


def test_status_is_json_for_scripts(
    capsys: pytest.CaptureFixture[str], host: str, running_fleet: RunningFleet
) -> None:
    """The fields are a promise."""
    code, out, _ = run(capsys, "status", "--host", host, "--json")

    report = json.loads(out)
    assert code == 0
    assert sorted(report) == [
        *("canisters", "divergences", "is_complete", "main", "network", "url")
    ]
    assert (report["url"], report["network"], report["is_complete"]) == (host, "local", True)
    assert (report["main"], report["divergences"]) == ("main", [])
    for line in report["canisters"]:
        assert sorted(line) == [
            *("admins", "chain_hash", "controllers", "cycles", "epoch", "epochs", "error"),
            *("fenced", "figures", "id", "is_verified", "lag", "lag_s", "log_from", "name", "path"),
            *("phase", "replicas", "role", "seq", "settings", "stable_bytes", "upstream"),
        ]
        assert line["is_verified"] is True
        assert line["controllers"] == line["admins"]
        assert line["id"] == str(running_fleet.ids[line["name"]])
        assert len(line["chain_hash"]) == 64


def test_only_admins_see_cycles(
    capsys: pytest.CaptureFixture[str], host: str, tmp_path: Path
) -> None:
    """``--identity`` decides who asks."""
    (tmp_path / "stranger.pem").write_text(Ed25519Identity.generate().to_pem())
    stranger = ("--identity", str(tmp_path / "stranger.pem"))

    _, as_admin, _ = run(capsys, "status", "--host", host, "--json")
    _, as_stranger, _ = run(capsys, "status", "--host", host, "--json", *stranger)

    assert json.loads(as_admin)["canisters"][0]["cycles"] > 0
    assert json.loads(as_stranger)["canisters"][0]["cycles"] is None


def test_attaching_again_changes_nothing(capsys: pytest.CaptureFixture[str], host: str) -> None:
    """The command may be run after every deployment."""
    first = run(capsys, "attach", "--host", host, "--json")
    second = run(capsys, "attach", "--host", host, "--json")

    report = json.loads(second[1])
    assert first[0] == second[0] == 0
    assert sorted(report) == ["main", "network", "replicas", "warnings"]
    assert sorted(report["main"]) == ["chain_hash", "epoch", "id", "name", "seq"]
    for replica in report["replicas"]:
        assert (replica["epoch"], replica["seq"]) >= (report["main"]["epoch"], 0)


@pytest.fixture
def own_project(
    running_fleet: RunningFleet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Path:
    """A fleet of the test's own on the shared network, which it may break."""
    project = copy_project(tmp_path)
    monkeypatch.chdir(project)
    assert main(["deploy", "--host", running_fleet.url]) == 0
    assert main(["attach", "--host", running_fleet.url]) == 0
    return project


async def reinstall_main(project: Path, host: str) -> None:
    """Wipe main and put the same module into it."""
    site = open_site(project / "dfx.json", "local", host)
    canister = next(one for one in site.project.fleet if one.name == "main")
    ids = json.loads((project / ".dfx/local/canister_ids.json").read_text())
    built = project / ".icfleet/build/main"
    arg = init_arg(canister, (built / "main.did").read_text())
    async with Agent(host, identity=site.admin(None)) as agent:
        await ManagementCanister(agent).install(
            ids["main"]["local"], (built / "main.wasm").read_bytes(), arg, mode="reinstall"
        )


def test_a_reinstalled_main_is_not_joined_to_replicas_of_the_old_one(
    capsys: pytest.CaptureFixture[str], own_project: Path, running_fleet: RunningFleet
) -> None:
    """They have what it lost: it stays closed, and attach and status both say so."""
    host = running_fleet.url
    asyncio.run(reinstall_main(own_project, host))
    capsys.readouterr()

    code, out, err = run(capsys, "attach", "--host", host)
    _, shown, _ = run(capsys, "status", "--host", host, "--json")

    assert (code, out) == (1, "")
    assert "main was reinstalled: it is empty, and replica_1 is at 1." in err
    assert "'icfleet promote replica_1'" in err
    head, *replicas = json.loads(shown)["canisters"]
    assert json.loads(shown)["main"] is None
    assert head["error"] == "decides nothing: not opened"
    for replica in replicas:
        assert replica["seq"] > head["seq"]
        assert replica["lag"] is None


def test_a_shared_subnet_is_warned_of(capsys: pytest.CaptureFixture[str], host: str) -> None:
    """On standard error for people, in the report for scripts."""
    _, out, err = run(capsys, "attach", "--host", host, "--json")

    (warning,) = json.loads(out)["warnings"]
    assert warning.startswith("main, replica_1, replica_2 share subnet ")
    assert err == f"icfleet: warning: {warning}\n"


def test_a_stranger_cannot_attach(
    capsys: pytest.CaptureFixture[str], host: str, running_fleet: RunningFleet, tmp_path: Path
) -> None:
    """A rejection is an expected failure, told in one line."""
    (tmp_path / "stranger.pem").write_text(Ed25519Identity.generate().to_pem())
    replica = f'(principal "{running_fleet.ids["replica_1"]}")'

    code, out, err = run(
        capsys,
        *("call", "main", "attach", replica, "--host", host),
        *("--identity", str(tmp_path / "stranger.pem")),
    )

    assert (code, out) == (1, "")
    assert "did not accept 'attach'" in err


def test_deploying_again_changes_nothing(capsys: pytest.CaptureFixture[str], host: str) -> None:
    """The same sources are the same module."""
    code, out, err = run(capsys, "deploy", "--host", host, "--json")

    report = json.loads(out)
    assert (code, err) == (0, "")
    assert sorted(report) == ["canisters", "network", "url"]
    for canister in report["canisters"]:
        assert sorted(canister) == ["action", "id", "module_hash", "name", "role"]
        assert canister["action"] == "unchanged"


def test_a_call_prints_candid(capsys: pytest.CaptureFixture[str], host: str) -> None:
    """The text that comes out is the text that goes in elsewhere."""
    code, out, err = run(capsys, "call", "main", "status", "--host", host)

    assert (code, err) == (0, "")
    assert out.startswith("(record {")
    assert "role = variant { Main }" in out


def test_a_call_is_a_query_or_an_update_by_the_interface(
    capsys: pytest.CaptureFixture[str], host: str, running_fleet: RunningFleet
) -> None:
    """Nobody has to say which."""
    detach = ("detach", f'(principal "{running_fleet.ids["main"]}")')

    _, asked, _ = run(capsys, "call", "main", "status", "--host", host, "--json")
    _, changed, _ = run(capsys, "call", "replica_1", *detach, "--host", host, "--json")

    assert sorted(json.loads(asked)) == ["canister", "kind", "method", "results"]
    assert json.loads(asked)["kind"] == "query"
    assert json.loads(changed)["kind"] == "update"


def test_a_principal_is_called_by_its_published_interface(
    capsys: pytest.CaptureFixture[str], host: str, running_fleet: RunningFleet
) -> None:
    """A canister that dfx.json does not know needs no .did file."""
    canister = str(running_fleet.ids["replica_2"])

    code, out, _ = run(capsys, "call", canister, "status", "--host", host)

    assert code == 0
    assert "role = variant { Replica }" in out


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        pytest.param(["main", "fly"], "main has no method 'fly'; it has ", id="method"),
        pytest.param(["main", "statsu"], "'statsu' (did you mean 'status'?)", id="typo"),
        pytest.param(["main", "status", "(1)"], "status takes no arguments, got 1", id="count"),
        pytest.param(["main", "attach", '("x")'], "attach takes (principal)", id="type"),
        pytest.param(["main", "attach", "("], "attach takes (principal)", id="syntax"),
        pytest.param(["mian", "status"], "neither a canister of dfx.json (main, ", id="name"),
    ],
)
def test_a_call_that_does_not_fit_is_not_sent(
    capsys: pytest.CaptureFixture[str], host: str, arguments: list[str], reason: str
) -> None:
    """The error shows what would fit."""
    code, out, err = run(capsys, "call", *arguments, "--host", host)

    assert (code, out) == (1, "")
    assert reason in err
    assert err.count("\n") == 1


def test_an_unknown_canister_is_told_by_the_network(
    capsys: pytest.CaptureFixture[str], host: str
) -> None:
    """A principal that nobody has."""
    nobody = str(Principal(bytes.fromhex("80000000001066660101")))

    code, _, err = run(capsys, "call", nobody, "status", "--host", host)

    assert code == 1
    assert nobody in err


def test_a_file_that_is_no_key_is_told(
    capsys: pytest.CaptureFixture[str], host: str, tmp_path: Path
) -> None:
    """The error names the file and never quotes it."""
    (tmp_path / "key.pem").write_text("hunter2")

    code, _, err = run(
        capsys, "call", "main", "status", "--host", host, "--identity", str(tmp_path / "key.pem")
    )

    assert code == 1
    assert "key.pem" in err
    assert "hunter2" not in err
