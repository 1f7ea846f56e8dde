"""Reading a project's files, and what is said when they are not there."""

import json
import socket
from pathlib import Path
from typing import Any

import pytest

from icfleet_protocol.principal import Principal
from icfleet_router import (
    ConfigError,
    Fleet,
    FleetClosedError,
    FleetConfig,
    NoHealthyCanisterError,
    OperationNotAppliedError,
    OperationPendingError,
    ProjectError,
    Role,
    find_candid,
    find_entry,
    read_canister_ids,
    read_project,
)
from icfleet_router.project_files import deploy_commands
from icfleet_router.testing.simulated_fleet import SIMULATED_DID

MAIN_ID, REPLICA_ID = "bkyz2-fmaaa-aaaaa-qaaaq-cai", "bd3sg-teaaa-aaaaa-qaaba-cai"


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A project with everything in place; the test breaks what it is about."""
    canisters = {
        "main": {"type": "kybra", "main": "main.py", "candid": "game.did"},
        "replica_1": {"type": "kybra", "main": "main.py", "candid": "game.did"},
    }
    ids = {"main": {"local": MAIN_ID}, "replica_1": {"local": REPLICA_ID}}
    (tmp_path / "dfx.json").write_text(json.dumps({"canisters": canisters}))
    (tmp_path / "main.py").write_text("")
    (tmp_path / "game.did").write_text(SIMULATED_DID)
    (tmp_path / ".dfx" / "local").mkdir(parents=True)
    (tmp_path / ".dfx" / "local" / "canister_ids.json").write_text(json.dumps(ids))
    return tmp_path


def test_a_whole_project_is_read(project: Path) -> None:
    """Roles, ids, .did and entry."""
    read = read_project(project / "dfx.json")

    assert [one.role for one in read.fleet] == [Role.MAIN, Role.REPLICA]
    assert read_canister_ids(read, read.network("local")) == {
        "main": Principal.from_text(MAIN_ID),
        "replica_1": Principal.from_text(REPLICA_ID),
    }
    assert find_candid(read, read.main) == SIMULATED_DID
    assert find_entry(read, read.main) == project / "main.py"


def test_roles_come_from_the_pyproject_beside_it(project: Path) -> None:
    """``[tool.icfleet.roles]``."""
    (project / "pyproject.toml").write_text(
        '[tool.icfleet.roles]\nmain = "replica"\nreplica_1 = "main"\n'
    )

    assert read_project(project / "dfx.json").main.name == "replica_1"


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("pyproject.toml", b"[tool", "pyproject.toml"),
        ("pyproject.toml", b"\xff", "not UTF-8"),
        ("dfx.json", b"{", "not JSON"),
        ("dfx.json", b"[" * 5_000_000, "larger than"),
    ],
    ids=["toml", "encoding", "json", "size"],
)
def test_a_malformed_file_is_named(project: Path, name: str, content: bytes, message: str) -> None:
    """Whichever of the two it is."""
    (project / name).write_bytes(content)

    with pytest.raises(ProjectError, match=message) as caught:
        read_project(project / "dfx.json")

    assert caught.value.path == project / name


def test_a_missing_dfx_json_says_what_to_do(tmp_path: Path) -> None:
    """The most frequent mistake of all."""
    with pytest.raises(ProjectError, match=r"no such file.*folder"):
        read_project(tmp_path / "dfx.json")


def test_a_missing_did_is_named(project: Path) -> None:
    """dfx.json names a file that is not there."""
    (project / "game.did").unlink()
    read = read_project(project / "dfx.json")

    with pytest.raises(ProjectError, match=r"main names .*game\.did, which is not there"):
        find_candid(read, read.main)


def test_the_did_of_our_own_build_will_do(project: Path) -> None:
    """Where the tool that dfx.json names has not run."""
    (project / "game.did").unlink()
    built = project / ".icfleet" / "build" / "main"
    built.mkdir(parents=True)
    (built / "main.did").write_text("service : {}")
    read = read_project(project / "dfx.json")

    assert find_candid(read, read.main) == "service : {}"


def test_a_missing_entry_is_named(project: Path) -> None:
    """Before any compiler is started."""
    (project / "main.py").unlink()
    read = read_project(project / "dfx.json")

    with pytest.raises(ProjectError, match=r"main\.py, which is not there"):
        find_entry(read, read.main)


@pytest.mark.parametrize("is_file_there", [True, False], ids=["entry-missing", "file-missing"])
def test_a_canister_without_an_id_says_what_to_do(project: Path, *, is_file_there: bool) -> None:
    """Deploy first."""
    path = project / ".dfx" / "local" / "canister_ids.json"
    if is_file_there:
        path.write_text(json.dumps({"main": {"local": MAIN_ID}, "replica_1": {"ic": REPLICA_ID}}))
    else:
        path.unlink()
    read = read_project(project / "dfx.json")
    missing = "replica_1" if is_file_there else "main"

    with pytest.raises(
        ProjectError, match=f"no id of {missing} on network 'local'.*deploy"
    ) as error:
        read_canister_ids(read, read.network("local"))

    assert error.value.path == path


def test_a_network_that_is_not_local_is_deployed_to_by_dfx_only(project: Path) -> None:
    """``icfleet up`` would run another network, and ``icfleet deploy`` cannot pay cycles."""
    read = read_project(project / "dfx.json")

    for network in ("ic", "local"):
        commands = deploy_commands(read.network(network))
        assert ("icfleet" in commands) == (network == "local")
        assert ("dfx deploy --network ic" in commands) == (network == "ic")


def test_ids_that_dfx_json_gives_count_too(project: Path) -> None:
    """``remote`` canisters are deployed by somebody else."""
    path = project / "dfx.json"
    content = json.loads(path.read_text())
    for name, canister in (("main", MAIN_ID), ("replica_1", REPLICA_ID)):
        content["canisters"][name]["remote"] = {"id": {"ic": canister}}
    path.write_text(json.dumps(content))
    read = read_project(path)

    assert read_canister_ids(read, read.network("ic"))["main"] == Principal.from_text(MAIN_ID)


async def test_a_fleet_is_made_of_a_project(project: Path) -> None:
    """Nothing is sent before the first call; the host can be given."""
    fleet = Fleet.from_dfx(project / "dfx.json", host="http://127.0.0.1:1")

    async with fleet:
        session = fleet.session()

    assert session.position.seq == 0


async def test_a_dead_network_is_told_apart_from_a_refusal(project: Path) -> None:
    """With the real agent: reads end at once, writes at their deadline."""
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        host = f"http://127.0.0.1:{unused.getsockname()[1]}"
        config = FleetConfig(submit_timeout_s=0.5)
        async with Fleet.from_dfx(project / "dfx.json", host=host, config=config) as fleet:
            session = fleet.session()

            with pytest.raises(NoHealthyCanisterError):
                await session.query("constant")
            # Pending if the deadline falls into one of the tries, each of a millisecond.
            with pytest.raises((OperationNotAppliedError, OperationPendingError)):
                await session.submit({"Add": {"amount": 1}}, subject=MAIN_ID)
            reports = await fleet.status()

    assert all(report.error is not None for report in reports.values())
    assert not any(report.is_down for report in reports.values())


def test_a_fleet_of_a_malformed_did_is_refused(project: Path) -> None:
    """With the canister's name."""
    (project / "game.did").write_text("service : { x :: }")

    with pytest.raises(ProjectError, match=r"the \.did of main is malformed"):
        Fleet.from_dfx(project / "dfx.json")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"host": "ftp://x"}, "URL of a server"),
        ({"config": FleetConfig(weights={"replica_9": 2})}, "replica_9"),
    ],
    ids=["host", "weight"],
)
def test_settings_that_cannot_be_used_are_refused(
    project: Path, options: dict[str, Any], message: str
) -> None:
    """Before anything is sent."""
    with pytest.raises(ConfigError, match=message):
        Fleet.from_dfx(project / "dfx.json", **options)


def test_a_fleet_that_is_not_open_is_refused(project: Path) -> None:
    """Outside of ``async with`` there is nothing that could close it."""
    fleet = Fleet.from_dfx(project / "dfx.json")

    with pytest.raises(FleetClosedError, match="async with"):
        fleet.session()
