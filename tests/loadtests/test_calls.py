import asyncio
import itertools

import pytest
from fake_fleet import STAMP, FakeFleet, FakeRecorder, wire_call

from icfleet_loadtests.calls import FleetCalls
from icfleet_loadtests.errors import CallFailedError
from icfleet_loadtests.records import OperationRecord
from icfleet_protocol.principal import ANONYMOUS
from icfleet_router import (
    NoHealthyCanisterError,
    OperationPendingError,
    OperationRefusedError,
    Position,
    Role,
)

PAY = {"Pay": {"amount": 5}}


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


def _calls(fleet: FakeFleet, recorder: FakeRecorder | None = None) -> FleetCalls:
    """Each look at the clock is a quarter of a second later."""
    ticks = itertools.count()
    return FleetCalls(fleet, recorder, lambda: next(ticks) * 0.25)


async def test_a_read_is_named_after_who_answered_it() -> None:
    calls = _calls(FakeFleet())

    report = await calls.query(await calls.session(), "board", 10)

    assert (report.kind, report.name) == ("query", "board [replica_1]")
    assert report.value == ("board", 10, "an answer")
    assert (report.error, report.duration_s) == (None, 0.25)


async def test_a_read_that_was_retried_is_named_after_the_last_canister() -> None:
    first = wire_call("replica_1", error=ConnectionError())
    fleet = FakeFleet(wire_calls=(first, wire_call("main", role=Role.MAIN)))
    calls = _calls(fleet)

    report = await calls.query(await calls.session(), "board")

    assert report.name == "board [main]"
    assert report.error is None


async def test_reads_side_by_side_keep_their_names_apart() -> None:
    """The observer hears of all calls; each read takes its own."""
    fleet = FakeFleet()
    calls = _calls(fleet)
    session = await calls.session()

    async def read(canister: str) -> str:
        fleet.wire_calls = (wire_call(canister),)
        return (await calls.query(session, "board")).name

    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(calls.query(session, "board"))
        second = tasks.create_task(read("replica_2"))

    assert second.result() == "board [replica_2]"


@pytest.mark.parametrize(
    ("canister", "role", "label"),
    [
        ("main", Role.MAIN, "main"),
        ("replica_7", Role.REPLICA, "replica_7"),
        ("asia", Role.REPLICA, "replica asia"),
        ("replica_7", Role.MAIN, "main replica_7"),
    ],
)
async def test_the_role_shows_whatever_the_canister_is_called(
    canister: str, role: Role, label: str
) -> None:
    calls = _calls(FakeFleet(wire_calls=(wire_call(canister, role=role),)))

    report = await calls.query(await calls.session(), "board")

    assert report.name == f"board [{label}]"


async def test_a_read_that_reached_nobody_says_so() -> None:
    failure = NoHealthyCanisterError("down", method="board", canister="main", attempts_count=0)
    calls = _calls(FakeFleet(answer=failure, wire_calls=()))

    report = await calls.query(await calls.session(), "board")

    assert report.name == "board [none]"
    assert repr(report.error) == "NoHealthyCanisterError"


async def test_a_failure_shows_the_classes_of_its_causes_and_no_ids() -> None:
    """Otherwise every failure would be a line of its own in Locust's report."""
    failure = OperationPendingError("no answer", STAMP)
    failure.__cause__ = ConnectionResetError("by 127.0.0.1:4943")
    calls = _calls(FakeFleet(receipt=failure))

    report = await calls.submit(await calls.session(), PAY, ANONYMOUS, ())

    assert repr(report.error) == "OperationPendingError < ConnectionResetError"
    assert "07" * 16 in str(report.error)


async def test_an_acknowledged_operation_is_recorded_and_named_after_main() -> None:
    recorder = FakeRecorder()
    calls = _calls(FakeFleet(), recorder)

    report = await calls.submit(await calls.session(), PAY, ANONYMOUS, ())

    assert (report.kind, report.name, report.error) == ("update", "Pay [main]", None)
    assert report.value.position == Position(1, 5)
    assert recorder.records == [
        OperationRecord(
            STAMP.operation_id, ANONYMOUS, STAMP.created_at_ns, PAY, "Applied", Position(1, 5)
        )
    ]


@pytest.mark.parametrize(("expected", "is_failure"), [(["TooPoor"], False), ([], True)])
async def test_a_refusal_is_recorded_and_fails_unless_it_was_expected(
    expected: list[str], *, is_failure: bool
) -> None:
    refusal = OperationRefusedError("poor", STAMP, code="TooPoor", position=Position(1, 6))
    recorder = FakeRecorder()
    calls = _calls(FakeFleet(receipt=refusal), recorder)

    report = await calls.submit(await calls.session(), PAY, ANONYMOUS, expected)

    assert isinstance(report.error, CallFailedError) is is_failure
    assert report.value is None
    assert [(one.outcome, one.position) for one in recorder.records] == [
        ("TooPoor", Position(1, 6))
    ]


async def test_what_is_not_final_is_not_recorded() -> None:
    recorder = FakeRecorder()
    calls = _calls(FakeFleet(receipt=OperationPendingError("no answer", STAMP)), recorder)

    await calls.submit(await calls.session(), PAY, ANONYMOUS, ())

    assert recorder.records == []
