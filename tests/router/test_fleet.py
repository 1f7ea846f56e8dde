"""A whole fleet in virtual time, one promise at a time."""

import asyncio

import pytest
from scripted_fleet import ADA, ADD, ScriptedFleet, now_s, run_fleet, submit_many

from icfleet_agent import UncertifiedRejectError
from icfleet_router import (
    ArgumentsError,
    BehindSessionError,
    CallEvent,
    CanisterRejectedError,
    Fleet,
    FleetClosedError,
    FleetConfig,
    OperationNotAppliedError,
    OperationPendingError,
    Position,
    Receipt,
    Role,
)
from icfleet_router.testing import Faults


def test_a_session_reads_its_own_write() -> None:
    """Replicas pull once a second, so the first read after a write is main's."""

    async def body(fleet: Fleet, _world: ScriptedFleet) -> None:
        asked: list[str] = []
        fleet.observer = lambda event: asked.append(event.canister)
        session = fleet.session()
        receipt = await session.submit(ADD, subject=ADA)
        reply = await session.query("history", ADA)
        await asyncio.sleep(3.0)
        asked.clear()
        await session.query("history", ADA)
        await asyncio.sleep(0.01)

        assert reply["ids"] == [receipt.operation_id]
        assert session.position == receipt.position
        assert asked in (["replica_1"], ["replica_2"])

    run_fleet(body)


def test_a_session_can_be_continued_elsewhere() -> None:
    """A game server hands a player over with the position."""

    async def body(fleet: Fleet, _world: ScriptedFleet) -> None:
        receipt = await fleet.session().submit(ADD, subject=ADA)

        reply = await fleet.session(receipt.position).query("history", ADA)

        assert reply["ids"] == [receipt.operation_id]

    run_fleet(body)


def test_a_fleet_that_nowhere_has_the_position_says_so() -> None:
    """Better no answer than one that goes back."""

    async def body(fleet: Fleet, _world: ScriptedFleet) -> None:
        with pytest.raises(BehindSessionError) as caught:
            await fleet.session(Position(9, 9)).query("history", ADA)

        assert (caught.value.session, caught.value.as_of) == (Position(9, 9), Position(0, 0))
        assert caught.value.attempts_count == 3

    run_fleet(body)


def test_a_canister_without_positions_is_routed_without_promises() -> None:
    """Any canister can be read through a fleet."""

    async def body(fleet: Fleet, _world: ScriptedFleet) -> None:
        assert await fleet.session(Position(9, 9)).query("constant") == 42

    run_fleet(body)


@pytest.mark.parametrize(
    ("method", "args", "message"),
    [
        ("teleport", (), "no method 'teleport'"),
        ("history", ("ada",), "history"),
        ("history", (), "history"),
        ("submit", ({"ops": None},), "is no query but update"),
    ],
    ids=["unknown", "wrong-type", "too-few", "update"],
)
def test_a_call_that_does_not_fit_is_refused_unsent(
    method: str, args: tuple[object, ...], message: str
) -> None:
    """The .did is the judge."""

    async def body(fleet: Fleet, world: ScriptedFleet) -> None:
        with pytest.raises(ArgumentsError, match=message):
            await fleet.session().query(method, *args)

        assert world.calls_count == 0

    run_fleet(body)


def test_a_failing_replica_is_worked_around_and_set_aside() -> None:
    """Callers notice nothing; after three failures it is not asked any more."""

    async def body(fleet: Fleet, world: ScriptedFleet) -> None:
        world.failing["replica_1"] = UncertifiedRejectError(5, "stopped", "IC0508")
        session = fleet.session()
        for _ in range(10):
            await session.query("constant")

        assert world.calls_count == 13
        report = (await fleet.status())["replica_1"]
        assert report.is_down
        assert isinstance(report.error, UncertifiedRejectError)

        world.failing.clear()
        await asyncio.sleep(31.0)
        for _ in range(4):
            await session.query("constant")

        assert not (await fleet.status())["replica_1"].is_down

    run_fleet(body)


def test_a_canisters_own_no_is_not_asked_around() -> None:
    """A trap by a bad argument would trap everywhere."""

    async def body(fleet: Fleet, world: ScriptedFleet) -> None:
        for one in world.canisters:
            world.failing[one.name] = UncertifiedRejectError(5, "division by zero", "IC0503")

        with pytest.raises(CanisterRejectedError, match="division by zero") as caught:
            await fleet.session().query("constant")

        assert isinstance(caught.value.__cause__, UncertifiedRejectError)
        assert world.calls_count == 1

    run_fleet(body)


def test_leaving_sends_what_waits() -> None:
    """A game server that shuts down loses no accepted operation."""
    told: list[Receipt | BaseException] = []

    async def body(fleet: Fleet, _world: ScriptedFleet) -> None:
        async def write() -> None:
            told.extend(await submit_many(session, 3))

        session = fleet.session()
        async with asyncio.TaskGroup() as writers:
            writers.create_task(write())
            await asyncio.sleep(0.001)
            await fleet.aclose()

    world = run_fleet(body)

    assert all(isinstance(one, Receipt) for one in told)
    assert len(world.log) == 3


def test_leaving_takes_no_longer_than_it_may() -> None:
    """With main away, callers are told what is known."""

    async def body(fleet: Fleet, world: ScriptedFleet) -> None:
        world.faults = Faults(lost_requests=1.0)
        session = fleet.session()
        waiting = asyncio.gather(submit_many(session, 3))
        await asyncio.sleep(1.0)
        started_s = now_s()
        await fleet.aclose()
        (told,) = await waiting

        assert now_s() - started_s < 2.1
        assert all(isinstance(one, OperationPendingError) for one in told)
        with pytest.raises(FleetClosedError):
            await session.submit(ADD, subject=ADA)
        with pytest.raises(FleetClosedError):
            await fleet.status()

    run_fleet(body, config=FleetConfig(drain_timeout_s=2.0))


def test_an_exception_in_the_body_ends_everything_at_once() -> None:
    """Nothing is sent any more, and callers are told."""
    told: list[BaseException] = []

    async def body(fleet: Fleet, _world: ScriptedFleet) -> None:
        async def write() -> None:
            told.extend(one for one in await submit_many(session, 2) if isinstance(one, Exception))

        session = fleet.session()
        writer = asyncio.gather(write())
        await asyncio.sleep(0.001)
        try:
            message = "the game server failed"
            raise ValueError(message)
        finally:
            await fleet.__aexit__(ValueError, ValueError(), None)
            await writer

    with pytest.raises(ValueError, match="game server"):
        run_fleet(body)

    assert [type(one) for one in told] == [OperationNotAppliedError] * 2


def test_the_observer_is_told_of_every_call() -> None:
    """Name, role, method, kind, time, and the error of failed attempts too."""
    events: list[CallEvent] = []

    async def body(fleet: Fleet, world: ScriptedFleet) -> None:
        fleet.observer = events.append
        world.failing["replica_1"] = UncertifiedRejectError(5, "stopped", "IC0508")
        session = fleet.session()
        await session.query("constant")
        await session.submit(ADD, subject=ADA)
        await asyncio.sleep(0.01)

        assert fleet.observer == events.append

    run_fleet(body)

    assert [(event.canister, event.kind, event.method) for event in events] == [
        ("replica_1", "query", "constant"),
        ("replica_2", "query", "constant"),
        ("main", "update", "submit"),
    ]
    assert [event.role for event in events] == [Role.REPLICA, Role.REPLICA, Role.MAIN]
    assert [event.error is None for event in events] == [False, True, True]
    assert [event.operations_count for event in events] == [0, 0, 1]
    assert all(event.duration_s >= 0 for event in events)


def test_status_reports_every_canister() -> None:
    """Who is what, and how far."""

    async def body(fleet: Fleet, _world: ScriptedFleet) -> None:
        await fleet.session().submit(ADD, subject=ADA)
        await asyncio.sleep(2.0)
        status = await fleet.status()

        assert list(status) == ["main", "replica_1", "replica_2"]
        for report in status.values():
            assert report.is_role_confirmed
            assert report.status is not None
            assert report.status.as_of == Position(1, 1)
            assert (report.error, report.in_flight_count) == (None, 0)

    run_fleet(body)
