"""Another canister becomes main, by the commands that operators type, on a real network."""

import asyncio
import json
import secrets
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from running_fleet import RunningFleet, copy_project, start_fleet

from icfleet.cli import main
from icfleet_agent import Agent, Canister, ManagementCanister
from icfleet_protocol.identity import Ed25519Identity
from icfleet_protocol.principal import Principal

pytestmark = pytest.mark.timeout(300)

Command = Callable[..., tuple[int, str, str]]


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningFleet]:
    """A fleet of this module's own: its main changes."""
    with start_fleet(copy_project(tmp_path_factory.mktemp("switch"))) as running:
        yield running


@pytest.fixture
def icfleet(
    fleet: RunningFleet, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> Command:
    """Run a command in the fleet's project."""
    monkeypatch.chdir(fleet.project)

    def run(*arguments: str) -> tuple[int, str, str]:
        code = main([*arguments, "--host", fleet.url])
        out, err = capsys.readouterr()
        return code, out, err

    return run


def identity(fleet: RunningFleet, name: str) -> Ed25519Identity:
    pem = fleet.project / ".icfleet" / "identities" / f"{name}.pem"
    return Ed25519Identity.from_pem(pem.read_text())


def manage(fleet: RunningFleet, action: str, name: str) -> None:
    """Stop or start a canister, as its controller."""

    async def run() -> None:
        async with Agent(fleet.url, identity=identity(fleet, "admin")) as agent:
            await getattr(ManagementCanister(agent), action)(fleet.ids[name])

    asyncio.run(run())


#: Ten seconds less than a canister takes for too far in the future.
LATEST_NS = 290 * 1_000_000_000


def submit(fleet: RunningFleet, name: str, count: int) -> list[Any]:
    """Create players at one canister, and give its results; while it is ``Busy``, try others.

    They are dated as late as is allowed: a main that was seeded knows no ids of before.
    """

    async def run() -> list[Any]:
        async with Agent(fleet.url, identity=identity(fleet, "gateway")) as agent:
            target = Canister(agent, fleet.ids[name], fleet.did)
            results: list[Any] = []
            for _ in range(40):
                operations = [
                    {
                        "id": secrets.token_bytes(16),
                        "subject": Principal(secrets.token_bytes(8)),
                        "created_at": time.time_ns() + LATEST_NS,
                        "body": {"CreatePlayer": {"name": f"Player {number}"}},
                    }
                    for number in range(count)
                ]
                answer: Any = await target.update("submit", {"ops": operations})
                if "Done" not in answer:
                    return [answer]
                results = answer["Done"]["results"]
                if not any("Busy" in one or "Deferred" in one for one in results):
                    return results
                await asyncio.sleep(0.5)
            raise AssertionError(results)

    return asyncio.run(run())


def status(icfleet: Command) -> dict[str, Any]:
    code, out, err = icfleet("status", "--json")
    assert code == 0, err
    report: dict[str, Any] = json.loads(out)
    return report


def lines_of(report: dict[str, Any]) -> dict[str, Any]:
    return {line["name"]: line for line in report["canisters"]}


def roles(project: Path) -> str:
    return (project / "pyproject.toml").read_text().partition("[tool.icfleet.roles]")[2]


def test_a_planned_switch_over_loses_nothing_and_can_be_taken_back(
    fleet: RunningFleet, icfleet: Command
) -> None:
    """Each way the operations are all there, and the project's files say who is main."""
    applied = [one for one in submit(fleet, "main", 20) if "Applied" in one]
    before = lines_of(status(icfleet))["main"]["seq"]

    code, out, err = icfleet("promote", "replica_1", "--yes", "--write-roles", "--json")
    assert code == 0, err
    report = json.loads(out)
    assert (report["main"]["name"], report["main"]["seq"]) == ("replica_1", before + 1)
    assert roles(fleet.project).split() == ["main", "=", '"replica"', "replica_1", "=", '"main"']
    refused, *_ = submit(fleet, "main", 1)
    assert refused == {"NotMain": fleet.ids["replica_1"]}
    more = [one for one in submit(fleet, "replica_1", 5) if "Applied" in one]
    assert icfleet("attach")[0] == 0

    lines = lines_of(status(icfleet))
    assert (len(applied), len(more)) == (20, 5)
    assert lines["replica_1"]["seq"] == before + 1 + 5
    assert {line["chain_hash"] for line in lines.values()} == {lines["main"]["chain_hash"]}
    assert all(line["is_verified"] for line in lines.values())
    assert icfleet("promote", "main", "--yes", "--write-roles")[0] == 0
    assert status(icfleet)["main"] == "main"


def test_promoting_the_main_changes_nothing(fleet: RunningFleet, icfleet: Command) -> None:
    """Twice is as good as once."""
    before = lines_of(status(icfleet))["main"]["seq"]

    code, out, err = icfleet("promote", "main")

    assert (code, err) == (0, "")
    assert out.startswith("main is the main, at ")
    assert lines_of(status(icfleet))["main"]["seq"] == before
    assert fleet.process.poll() is None


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        pytest.param(["promote", "replica_9"], "no 'replica_9'; it has main, ", id="who"),
        pytest.param(["promote", "replica_1"], "nobody is here to ask: say --yes", id="nobody"),
        pytest.param(["reseed", "main", "--yes"], "main is the main", id="reseed-main"),
        pytest.param(["reseed", "nobody"], "no 'nobody'", id="reseed-who"),
        pytest.param(["detach", "nobody"], "neither a canister of the fleet", id="detach-who"),
        pytest.param(
            ["configure", "main", "pull_idle_s=31"], "main refuses configure: ", id="range"
        ),
        pytest.param(["configure", "main", "speed=5"], "no setting 'speed'", id="setting"),
        pytest.param(
            ["export-tail", "main", "--out", "t.json"], "main is the main", id="export-main"
        ),
    ],
)
def test_what_cannot_be_done_is_told_with_the_next_step(
    icfleet: Command, arguments: list[str], words: str
) -> None:
    """One line, exit code 1, and nothing has changed."""
    code, out, err = icfleet(*arguments)

    assert (code, out) == (1, "")
    assert words in err.splitlines()[-1]
    assert status(icfleet)["main"] == "main"


@pytest.mark.parametrize(
    ("canister", "call", "problem"),
    [
        ("main", ("attach", "main"), "ToItself"),
        ("replica_1", ("follow", "replica_1"), "ToItself"),
        ("main", ("promote", "(1, 9)"), "AlreadyMain"),
        ("replica_1", ("promote", "(77, 99)"), "WrongEpoch"),
        ("main", ("demote", "(77)"), "WrongEpoch"),
        ("replica_1", ("demote", "(1)"), "NotMain"),
    ],
)
def test_a_canister_refuses_with_a_stable_code(
    fleet: RunningFleet, icfleet: Command, canister: str, call: tuple[str, str], problem: str
) -> None:
    """Also to admins, and also without the commands that know better."""
    method, argument = call
    if argument in fleet.ids:
        argument = f'(principal "{fleet.ids[argument]}")'

    code, out, err = icfleet("call", canister, method, argument)

    assert code == 0, err
    assert f'code = "{problem}"' in out


def test_a_stranger_promotes_nobody(icfleet: Command, tmp_path: Path) -> None:
    (tmp_path / "stranger.pem").write_text(Ed25519Identity.generate().to_pem())

    code, out, err = icfleet(
        *("promote", "replica_1", "--yes", "--identity", str(tmp_path / "stranger.pem"))
    )

    assert (code, out) == (1, "")
    assert "only an admin of the canister may" in err
    assert status(icfleet)["main"] == "main"


def test_a_chain_is_joined_and_a_circle_is_refused(fleet: RunningFleet, icfleet: Command) -> None:
    """By ``[tool.icfleet.upstreams]`` of the project."""
    pyproject = fleet.project / "pyproject.toml"
    before = pyproject.read_text()
    chain = '\n[tool.icfleet.upstreams]\nreplica_2 = "replica_1"\n'
    try:
        pyproject.write_text(f'{before}{chain}replica_1 = "replica_2"\n')
        circle = icfleet("attach")
        pyproject.write_text(before + chain)
        joined = icfleet("attach")
        submit(fleet, "main", 3)
        again = icfleet("attach")
        line = lines_of(status(icfleet))["replica_2"]
    finally:
        pyproject.write_text(before)

    assert circle[0] == 1
    assert "goes in a circle" in circle[2]
    assert (joined[0], again[0]) == (0, 0), joined[2] + again[2]
    assert (line["upstream"], line["path"], line["lag"]) == (
        *("replica_1", ["replica_1", "main"]),
        0,
    )
    assert icfleet("attach")[0] == 0
    assert lines_of(status(icfleet))["replica_2"]["upstream"] == "main"


def test_settings_are_changed_where_they_are_named(icfleet: Command) -> None:
    code, out, err = icfleet("configure", "replica_2", "pull_idle_s=7", "--json")

    assert code == 0, err
    assert json.loads(out)["settings"]["replica_2"]["pull_idle_s"] == 7
    lines = lines_of(status(icfleet))
    assert [lines[name]["settings"]["pull_idle_s"] for name in ("replica_1", "replica_2")] == [
        *(30, 7)
    ]


def test_a_forced_promotion_loses_the_tail_that_it_announced(
    fleet: RunningFleet, icfleet: Command, tmp_path: Path
) -> None:
    """The old main comes back; what only it has is written to a file, and it becomes a replica."""
    assert icfleet("attach")[0] == 0
    for name in ("replica_1", "replica_2"):
        manage(fleet, "stop", name)
    tail = submit(fleet, "main", 4)
    manage(fleet, "stop", "main")
    for name in ("replica_1", "replica_2"):
        manage(fleet, "start", name)

    planned = icfleet("promote", "replica_1", "--yes")
    asked = icfleet("promote", "replica_1", "--force")
    forced = icfleet("promote", "replica_1", "--force", "--yes", "--write-roles", "--json")
    assert planned[0] == 1
    assert "--force' would lose" in planned[2]
    assert asked[0] == 1
    assert "What main acknowledged in the last" in asked[2]
    assert forced[0] == 0, forced[2]
    bound = json.loads(forced[1])["bound"]
    assert (bound["exact"], bound["former"]) == (None, "main")
    assert bound["since_pull_s"] > 0

    manage(fleet, "start", "main")
    code, _, err = icfleet("attach")
    assert code == 1
    assert "icfleet export-tail main" in err
    out = tmp_path / "tail.json"
    assert icfleet("export-tail", "main", "--out", str(out))[0] == 0
    written = json.loads(out.read_text())
    assert written["count"] == len(tail) == 4
    assert [record["seq"] for record in written["records"]] == [
        one["Applied"]["seq"] for one in tail
    ]
    assert icfleet("reseed", "main", "--yes")[0] == 0
    assert icfleet("attach")[0] == 0
    lines = lines_of(status(icfleet))
    assert {line["chain_hash"] for line in lines.values()} == {lines["main"]["chain_hash"]}
    assert [line["error"] for line in lines.values()] == [None] * 3
    # Other tests find main where the canisters' names say.
    assert icfleet("promote", "main", "--yes", "--write-roles")[0] == 0
