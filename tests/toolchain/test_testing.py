"""A local network inside somebody's tests: by hand, and by pytest's fixtures."""

import subprocess
import sys
from pathlib import Path
from textwrap import dedent

import pytest
from running_fleet import copy_project

from icfleet.localnet_command import NetworkChoice
from icfleet.testing import Localnet
from icfleet_agent.errors import AgentError, RejectedError
from icfleet_localnet.fault_rules import FaultRule, Match, RejectWith

COUNTER = """
from kybra import ic, init, nat64, query, update, void

state = {"count": 0, "ticks": 0}


def tick() -> None:
    state["ticks"] = state["ticks"] + 1


@init
def start(first: nat64) -> void:
    state["count"] = first
    ic.set_timer_interval(3600, tick)


@update
def increment(by: nat64) -> nat64:
    ic.print("adding " + str(by))
    state["count"] = state["count"] + by
    return state["count"]


@query
def read() -> nat64:
    return state["count"]


@query
def ticks() -> nat64:
    return state["ticks"]
"""


@pytest.fixture
def counter(tmp_path: Path) -> Path:
    entry = tmp_path / "counter" / "main.py"
    entry.parent.mkdir()
    entry.write_text(COUNTER)
    return entry


def test_a_canister_is_installed_called_and_read(counter: Path) -> None:
    with Localnet() as localnet:
        installed = localnet.install(counter, 10)

        assert installed.update("increment", 5) == 15
        assert installed.query("read") == 15
        assert installed.log == ["adding 5"]


def test_a_folder_stands_for_its_main(counter: Path) -> None:
    with Localnet() as localnet:
        assert localnet.install(counter.parent, 3).query("read") == 3


def test_a_day_passes_in_an_instant_and_its_timers_fire(counter: Path) -> None:
    with Localnet() as localnet:
        installed = localnet.install(counter, 0)
        before_ns = localnet.clock.now_ns()

        localnet.clock.advance(24 * 3600)

        assert installed.query("ticks") == 24
        assert localnet.clock.now_ns() - before_ns >= 24 * 3600 * 10**9


def test_canisters_live_on_the_subnet_that_was_chosen(counter: Path) -> None:
    with Localnet(NetworkChoice(port=0, subnets=2)) as localnet:
        first, second = (localnet.install(counter, 1, subnet=number) for number in (0, 1))

        homes = [localnet.server.network.subnet_of(one.id) for one in (first, second)]

        assert tuple(homes) == localnet.server.network.applications
        assert [one.update("increment", 1) for one in (first, second)] == [2, 2]


def test_an_upgrade_keeps_what_is_stable_and_starts_the_new_code(counter: Path) -> None:
    with Localnet() as localnet:
        installed = localnet.install(counter, 10)
        counter.write_text(COUNTER.replace('return state["count"]', "return 77"))

        installed.upgrade(counter)

        assert installed.query("read") == 77


def test_a_fault_strikes_until_it_is_cleared(counter: Path) -> None:
    with Localnet() as localnet:
        installed = localnet.install(counter, 1)
        localnet.add_fault(FaultRule(effect=RejectWith(), match=Match(operation="query")))
        with pytest.raises(RejectedError):
            installed.query("read")

        localnet.clear_faults()

        assert installed.query("read") == 1


def test_a_trap_in_init_is_told_with_its_traceback(counter: Path) -> None:
    counter.write_text(COUNTER.replace('state["count"] = first', "first.nonsense"))
    with Localnet() as localnet, pytest.raises(AgentError, match="nonsense"):
        localnet.install(counter, 1)


def test_a_source_that_is_not_there_is_named(tmp_path: Path) -> None:
    with Localnet() as localnet, pytest.raises(FileNotFoundError, match="no canister source"):
        localnet.install(tmp_path / "nope")


def test_a_network_that_cannot_start_says_why() -> None:
    with Localnet() as running:
        port = int(running.url.rsplit(":", 1)[1])
        with pytest.raises(Exception, match="in use"), Localnet(NetworkChoice(port=port)):
            pass


def run_pytest(folder: Path, *options: str) -> "subprocess.CompletedProcess[str]":
    """Run the tests of a project of its own, as its developer does."""
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *options]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)


@pytest.mark.usefixtures("counter")
def test_the_fixtures_are_there_in_any_project(tmp_path: Path) -> None:
    (tmp_path / "test_theirs.py").write_text(
        dedent(
            """
            from pathlib import Path

            import pytest

            ENTRY = Path(__file__).parent / "counter" / "main.py"


            def test_localnet(localnet):
                assert localnet.install(ENTRY, 4).query("read") == 4


            @pytest.mark.localnet(subnets=2)
            def test_the_mark_chooses(localnet):
                assert len(localnet.server.network.applications) == 2


            def test_clock(localnet, clock):
                counter = localnet.install(ENTRY, 4)
                clock.advance(7200)
                assert counter.query("ticks") == 2


            @pytest.mark.localnet(subnet=2)
            def test_a_misspelt_mark(localnet):
                pass
            """
        )
    )

    result = run_pytest(tmp_path)

    assert "3 passed, 1 error" in result.stdout, result.stdout + result.stderr
    assert "no 'subnet'; there are executor, profile, scale, subnets" in result.stdout


@pytest.mark.timeout(120)
def test_the_fleet_fixture_runs_the_projects_fleet(tmp_path: Path) -> None:
    project = copy_project(tmp_path)
    (project / "tests").mkdir()
    (project / "pytest.ini").write_text("[pytest]\nanyio_mode = auto\n")
    (project / "tests" / "test_theirs.py").write_text(
        dedent(
            """
            async def test_the_fleet_answers(fleet):
                async with fleet.open() as opened:
                    assert await opened.session().query("leaderboard", 10) is not None
                assert sorted(fleet.ids) == ["main", "replica_1", "replica_2"]
            """
        )
    )

    result = run_pytest(project, "tests")

    assert "1 passed" in result.stdout, result.stdout + result.stderr
    left = [path.name for path in (project / ".dfx").glob("http*")]
    assert left == []
