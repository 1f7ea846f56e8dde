"""The game's canisters as a fleet, on the native host: their calls to each other, and upgrades."""

from __future__ import annotations

import pytest
from game_on_host import (
    ADA,
    ADMIN,
    BOB,
    CANISTERS,
    GATEWAY,
    LEAF,
    MAIN,
    NOW_NS,
    REPLICA,
    SECOND_NS,
    World,
)

from icfleet.build import build
from icfleet_localnet.bundle import Module, read_module
from icfleet_localnet.executor import (
    Query,
    Response,
    Update,
)
from icfleet_localnet.kybra_host.inprocess import InProcessExecutor


@pytest.fixture(scope="module")
def module() -> Module:
    """The game, built as ``icfleet build`` does."""
    return read_module(build(CANISTERS / "game" / "main.py", [CANISTERS]).wasm)


@pytest.fixture(scope="module")
def executor() -> InProcessExecutor:
    """Reads the module once for all tests; each installs its own canisters."""
    return InProcessExecutor(seed=1)


@pytest.fixture
def world(executor: InProcessExecutor, module: Module) -> World:
    """Main and replica, joined, with players."""
    world = World(executor, module)
    world.join()
    world.populate()
    return world


def test_a_replica_pulls_and_shows_what_main_shows(world: World) -> None:
    """By its own timers; then both are equal, rows and hashes."""
    world.do(GATEWAY, ADA, {"RecordScore": {"score": 5}})

    world.run(seconds=2)

    ours, theirs = world.main.status, world.replica.status
    assert theirs["as_of"] == ours["as_of"]
    assert theirs["chain_hash"] == ours["chain_hash"]
    assert (theirs["main"], theirs["upstream"], theirs["pull_error"]) == (MAIN, MAIN, None)
    assert theirs["pulled_at"] > NOW_NS
    assert theirs["role"] == {"Replica": None}
    for method, args in (("leaderboard", [10]), ("market", [])):
        ours = world.main.query(ADA, method, *args)
        theirs = world.replica.query(ADA, method, *args)
        assert {**theirs, "computed_at": 0} == {**ours, "computed_at": 0}
    assert world.replica.query(GATEWAY, "player", ADA) == world.main.query(GATEWAY, "player", ADA)
    assert world.replica.query(ADMIN, "accounts", 0) == world.main.query(ADMIN, "accounts", 0)


def test_main_learns_how_far_a_replica_is(world: World) -> None:
    """By a one-way message, since a query keeps nothing."""
    world.run(seconds=2)

    (replica,) = world.main.status["replicas"]
    assert replica["id"] == REPLICA
    assert replica["seen"] == world.main.status["as_of"]
    assert replica["seen_at"] == world.now_ns - SECOND_NS or replica["seen_at"] == world.now_ns


def test_a_replica_names_its_main_and_decides_nothing(world: World) -> None:
    """Before it has pulled it does not know any."""
    operation = world.operation(ADA, {"RecordScore": {"score": 1}})
    early = world.replica.update(GATEWAY, "submit", {"ops": [operation]})

    world.run(seconds=2)

    assert early == {"NotMain": None}
    reply = world.replica.update(GATEWAY, "submit", {"ops": [operation]})
    assert reply == {"NotMain": MAIN}
    assert world.replica.update(ADMIN, "grant_role", BOB, "admin") == {
        "Invalid": {"code": "NotMain", "reason": "roles are given on the main"}
    }


def test_a_replica_that_is_not_attached_says_so(world: World) -> None:
    """And catches up when it is attached again."""
    world.main.update(ADMIN, "detach", REPLICA)
    world.run(seconds=1)
    assert "NotAttached" in world.replica.status["pull_error"]

    world.main.update(ADMIN, "attach", REPLICA)
    world.run(seconds=6)

    assert world.replica.status["pull_error"] is None
    assert world.replica.status["as_of"] == world.main.status["as_of"]


def test_a_rejected_pull_is_tried_again(world: World) -> None:
    """The reason is in ``status`` meanwhile."""
    world.now_ns += SECOND_NS
    (call,) = world.replica.fire_timers()
    assert call.continuation is not None

    outcome = world.replica.execute(
        Response(call.continuation, None, 2, "canister is stopping"), REPLICA
    )

    assert outcome.trap is None
    assert "canister is stopping" in world.replica.status["pull_error"]
    world.run(seconds=2)
    assert world.replica.status["as_of"] == world.main.status["as_of"]


def test_a_lost_answer_delays_the_next_pull_but_does_not_prevent_it(world: World) -> None:
    """The lease runs out; nothing waits for a flag."""
    world.now_ns += SECOND_NS
    assert len(world.replica.fire_timers()) == 1

    world.run(seconds=50)
    assert world.replica.status["as_of"]["seq"] == 0
    world.run(seconds=15)

    assert world.replica.status["as_of"] == world.main.status["as_of"]


def test_another_history_is_reported_and_never_applied(world: World) -> None:
    """A main that was reinstalled is another main, whatever its name and epoch."""
    world.run(seconds=2)
    before = world.replica.status["as_of"]
    world.main = world.install(MAIN, "Main")
    assert "Done" in world.main.update(ADMIN, "promote", 0, 1)
    world.populate()
    world.join()
    world.run(seconds=3)

    assert world.replica.status["as_of"] == before
    assert "Diverged" in world.replica.status["pull_error"]


def test_a_main_that_was_reinstalled_decides_nothing_until_it_is_opened(world: World) -> None:
    """And then in an epoch above all that its replicas have seen."""
    world.run(seconds=2)
    world.main = world.install(MAIN, "Main")
    operation = world.operation(ADA, {"CreatePlayer": {"name": "Ada"}})

    assert world.main.status["fenced"] is not None
    assert world.main.update(ADA, "submit", {"ops": [operation]}) == {"NotMain": None}
    world.join()
    world.run(seconds=3)
    refused = world.main.update(ADMIN, "promote", 0, 1)
    assert refused["Invalid"]["code"] == "WrongEpoch"
    assert "Done" in world.main.update(ADMIN, "promote", 0, 2)
    assert "Applied" in world.submit(ADA, operation)[0]


def test_a_planned_switch_over_loses_nothing(world: World) -> None:
    """The replica decides from then on; what main was asked before gets the same answer."""
    transfer = world.operation(ADA, {"Transfer": {"target": BOB, "amount": 300}})
    first = world.submit(ADA, transfer)

    assert "Done" in world.main.update(ADMIN, "demote", 1)
    world.run(seconds=2)
    assert world.replica.status["as_of"] == world.main.status["as_of"]
    assert "Done" in world.replica.update(ADMIN, "promote", 1, 2)
    world.replica.fire_timers()

    world.main = world.replica
    assert world.submit(ADA, transfer) == first
    assert world.main.status["epochs"][-1] == {"epoch": 2, "first_seq": 11}
    later = world.submit(ADA, world.operation(ADA, {"Transfer": {"target": BOB, "amount": 1}}))
    assert later == [{"Applied": {"epoch": 2, "seq": 12}}]


def test_a_replica_takes_everything_over_page_by_page(world: World) -> None:
    """And shows what main shows in the end: rows, and what the heap derives from them."""
    world.run(seconds=2)
    world.do(ADA, ADA, {"Transfer": {"target": BOB, "amount": 300}})
    assert "Done" in world.replica.update(ADMIN, "reseed", MAIN)
    (call,) = world.replica.fire_timers()
    assert call.method == "state_page"
    world.deliver(world.replica, call)

    world.run(seconds=4)

    assert world.replica.status["phase"] == {"Serving": None}
    assert world.replica.status["as_of"] == world.main.status["as_of"]
    assert world.replica.query(ADMIN, "accounts", 0) == world.main.query(ADMIN, "accounts", 0)
    figures = world.replica.figures
    assert figures["accounts_total"] == figures["credits"] - figures["debits"]


def test_a_replica_may_feed_another(world: World) -> None:
    """It answers pulls from the log it has."""
    world.run(seconds=2)
    leaf = world.install(LEAF, "Replica")
    assert "Done" in world.replica.update(ADMIN, "attach", LEAF)
    assert "Done" in leaf.update(ADMIN, "follow", REPLICA)

    (call,) = leaf.fire_timers()
    assert (call.callee, call.method) == (REPLICA, "log_since")
    assert call.continuation is not None
    answer = world.replica.execute(Update(call.method, call.arg), LEAF)
    leaf.execute(Response(call.continuation, answer.reply), LEAF)

    assert leaf.status["as_of"] == world.main.status["as_of"]
    assert leaf.status["chain_hash"] == world.main.status["chain_hash"]
    assert leaf.status["main"] == MAIN


def test_an_upgrade_loses_nothing(world: World) -> None:
    """The heap comes back by timers; until then operations are told to wait."""
    transfer = world.operation(ADA, {"Transfer": {"target": BOB, "amount": 300}})
    first = world.submit(ADA, transfer)
    world.do(GATEWAY, ADA, {"RecordScore": {"score": 5}})
    before = world.main.status

    world.main.upgrade()

    assert world.main.figures["rebuilding"] == 1
    outcome = world.main.execute(
        Query("leaderboard", world.main.interface.encode_args("leaderboard", [9])), ADA
    )
    assert outcome.reject is not None
    assert outcome.reject.startswith("Rebuilding: ")
    found = world.main.query(ADA, "player", ADA)["player"]["Found"]
    assert (found["name"], found["balance"]) == ("Ada", 700)
    arguments = world.main.interface.encode_args("cached_query", ["leaderboard"])
    outcome = world.main.execute(Query("cached_query", arguments), ADA)
    assert outcome.reject is not None
    assert outcome.reject.startswith("Rebuilding: ")
    assert world.submit(ADA, transfer) == [{"Busy": SECOND_NS}]
    world.main.fire_timers()
    assert world.main.figures["rebuilding"] == 0
    assert world.submit(ADA, transfer) == first
    assert world.main.status["as_of"] == before["as_of"]
    assert world.main.query(ADA, "leaderboard", 9)["entries"][0]["score"] == 5
    figures = world.main.figures
    assert figures["accounts_total"] == figures["credits"] - figures["debits"]


def test_a_replica_goes_on_pulling_after_an_upgrade(world: World) -> None:
    """Its timers are set anew."""
    world.run(seconds=2)
    world.replica.upgrade()
    world.do(GATEWAY, ADA, {"RecordScore": {"score": 5}})

    world.run(seconds=3)

    assert world.replica.status["as_of"] == world.main.status["as_of"]
    assert world.replica.query(ADA, "leaderboard", 9)["entries"][0]["score"] == 5
