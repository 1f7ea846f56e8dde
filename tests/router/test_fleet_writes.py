"""A fleet's writes in virtual time, one promise at a time."""

import asyncio
from collections.abc import Mapping
from typing import Any

import pytest
from scripted_fleet import ADA, ADD, ScriptedFleet, now_s, player, run_fleet, submit_many

from icfleet_agent import CertifiedRejectError, UncertifiedRejectError
from icfleet_protocol.principal import Principal
from icfleet_router import (
    Fleet,
    FleetConfig,
    NoHealthyCanisterError,
    OperationError,
    OperationForbiddenError,
    OperationNotAppliedError,
    OperationPendingError,
    OperationRejectedError,
    OverloadedError,
    RateLimitedError,
    Receipt,
    Role,
)
from icfleet_router.testing import Faults


def test_operations_that_come_together_travel_together() -> None:
    """Fifty callers, one message."""

    async def body(fleet: Fleet, world: ScriptedFleet) -> None:
        receipts = await submit_many(fleet.session(), 50)

        assert all(isinstance(receipt, Receipt) for receipt in receipts)
        assert world.sizes == [50]

    run_fleet(body)


def test_batches_are_bounded() -> None:
    """At most 200 operations in one message."""

    async def body(fleet: Fleet, world: ScriptedFleet) -> None:
        await submit_many(fleet.session(), 250)

        assert sorted(world.sizes) == [50, 200]

    run_fleet(body)


def test_a_killed_network_gives_a_clear_error_and_then_recovers() -> None:
    """Reads fail at once, writes wait for their deadline; both work again when it is back."""

    async def body(fleet: Fleet, world: ScriptedFleet) -> None:
        session = fleet.session()
        await session.submit(ADD, subject=ADA)
        world.is_network_up = False
        started_s = now_s()

        with pytest.raises(NoHealthyCanisterError, match="connection refused") as read:
            await session.query("constant")

        assert now_s() - started_s < 1.0
        assert read.value.is_retryable
        with pytest.raises(OperationNotAppliedError, match="connection refused") as write:
            await session.submit(ADD, subject=ADA)
        assert write.value.is_retryable

        waiting = asyncio.gather(
            session.submit(
                ADD,
                subject=ADA,
                operation_id=write.value.operation_id,
                created_at_ns=write.value.created_at_ns,
            )
        )
        await asyncio.sleep(5.0)
        world.is_network_up = True
        (receipt,) = await waiting
        reply = await session.query("history", ADA)

        assert receipt.operation_id == write.value.operation_id
        assert reply["ids"][1:] == [receipt.operation_id]

    run_fleet(body)


def test_wire_attempts_under_total_failure_are_bounded() -> None:
    """However many callers wait, a dead network is asked about once a second or less often."""

    async def body(fleet: Fleet, world: ScriptedFleet) -> None:
        world.is_network_up = False
        session = fleet.session()

        results = await submit_many(session, 3000)

        assert all(isinstance(result, OperationNotAppliedError) for result in results)
        # Eight batches at once, then one at a time, with pauses of 0.05 s doubling to 1 s at least.
        assert world.calls_count <= 8 + 6 + 30

        world.calls_count = 0
        reads = await asyncio.gather(
            *(session.query("constant") for _ in range(200)), return_exceptions=True
        )

        assert all(isinstance(result, NoHealthyCanisterError) for result in reads)
        # One call each, and what the budget gives: 100 saved, a fifth of the reads, some by time.
        assert world.calls_count <= 200 + 100 + 40 + 10

    run_fleet(body)


def test_an_unknown_fate_is_found_out_with_the_same_id() -> None:
    """The reply was lost, the operation was not, and it is applied once."""

    async def body(fleet: Fleet, world: ScriptedFleet) -> None:
        world.faults = Faults(lost_replies=1.0)
        waiting = asyncio.gather(fleet.session().submit(ADD, subject=ADA))
        await asyncio.sleep(10.0)
        world.faults = Faults()
        (receipt,) = await waiting

        assert [entry.operation_id for entry in world.log] == [receipt.operation_id]
        assert world.sizes == [1, 1]

    run_fleet(body)


def test_a_fate_that_stays_unknown_is_named_so_and_holds_the_player_up() -> None:
    """Nothing of the player overtakes it, also after its caller has given up."""

    async def body(fleet: Fleet, world: ScriptedFleet) -> None:
        world.faults = Faults(lost_requests=1.0)
        session = fleet.session()
        with pytest.raises(OperationPendingError) as caught:
            await session.submit(ADD, subject=ADA)
        later = asyncio.gather(session.submit(ADD, subject=ADA))
        await asyncio.sleep(5.0)
        world.faults = Faults()
        (receipt,) = await later

        ids = [entry.operation_id for entry in world.log]
        assert ids == [caught.value.operation_id, receipt.operation_id]

    run_fleet(body)


def test_a_limited_player_waits_and_the_others_do_not() -> None:
    """The pause is the canister's; when the caller has no time for it, it is told how long."""

    async def body(fleet: Fleet, world: ScriptedFleet) -> None:
        world.faults = Faults(limits=1.0)
        session = fleet.session()
        with pytest.raises(RateLimitedError) as caught:
            await session.submit(ADD, subject=ADA)

        assert 0.0 <= caught.value.retry_after_s <= 1.0
        assert world.log == []

    run_fleet(body, config=FleetConfig(submit_timeout_s=3.0))


def test_main_is_followed_to_another_canister_of_the_fleet() -> None:
    """A promotion needs no restart of the router."""

    async def body(fleet: Fleet, world: ScriptedFleet) -> None:
        session = fleet.session()
        first = await session.submit(ADD, subject=ADA)
        world.switch_main("replica_2")
        second = await session.submit(ADD, subject=ADA)
        status = await fleet.status()

        assert second.position > first.position
        assert status["replica_2"].role is Role.MAIN
        assert all(report.is_role_confirmed for report in status.values())

    run_fleet(body)


def test_main_is_not_followed_out_of_the_fleet() -> None:
    """Whoever a canister names: only a configured one that says so itself becomes main."""

    async def body(fleet: Fleet, world: ScriptedFleet) -> None:
        stranger = Principal(b"\x99\x01")
        members = world.canisters
        world.canisters = [
            *members,
            type(members[0])("stranger", stranger, Role.REPLICA),
        ]
        world.switch_main("stranger")

        with pytest.raises(OperationNotAppliedError, match="no canister of the fleet"):
            await fleet.session().submit(ADD, subject=ADA)

        assert "stranger" not in await fleet.status()

    run_fleet(body)


def test_a_main_that_contradicts_itself_is_not_asked_in_a_circle() -> None:
    """One node may say "main" and the next "not main" for a while."""

    async def body(fleet: Fleet, world: ScriptedFleet) -> None:
        world.switch_main("replica_1")
        world.is_lying = True

        with pytest.raises(OperationError, match="says that it is main, and takes no"):
            await fleet.session().submit(ADD, subject=ADA)

        assert len(world.sizes) < 40

    run_fleet(body)


def test_one_operation_that_traps_main_harms_no_other() -> None:
    """The batch is cut until the culprit is alone."""

    async def body(fleet: Fleet, world: ScriptedFleet) -> None:
        world.end_update = lambda subjects: (
            CertifiedRejectError(5, "KeyError", "IC0503") if player(3) in subjects else None
        )

        results = await submit_many(fleet.session(), 8)

        spoiled = [index for index, one in enumerate(results) if not isinstance(one, Receipt)]
        assert spoiled == [3]
        assert isinstance(results[3], OperationNotAppliedError)
        assert not results[3].is_retryable
        assert len(world.sizes) == 7

    run_fleet(body)


def test_a_stranger_is_forbidden() -> None:
    """What ``inspect_message`` refuses is told at once."""

    async def body(fleet: Fleet, world: ScriptedFleet) -> None:
        world.end_update = lambda _: UncertifiedRejectError(4, "unknown caller", "IC0406")

        with pytest.raises(OperationForbiddenError, match="unknown caller"):
            await fleet.session().submit(ADD, subject=ADA)

        assert world.sizes == [1]

    run_fleet(body)


@pytest.mark.parametrize(
    ("subject", "operation"),
    [("not-a-principal", ADD), (ADA, {"Steal": {}}), (5, ADD)],
    ids=["subject", "operation", "number"],
)
def test_bad_input_is_refused_unsent(subject: Any, operation: Mapping[str, object]) -> None:
    """And the error carries the stamp that was made for it."""

    async def body(fleet: Fleet, world: ScriptedFleet) -> None:
        with pytest.raises(OperationRejectedError) as caught:
            await fleet.session().submit(operation, subject=subject)

        assert (caught.value.rejection, len(caught.value.operation_id)) == ("Invalid", 16)
        assert world.calls_count == 0

    run_fleet(body)


def test_too_many_operations_are_turned_away_at_once() -> None:
    """The queue is bounded, and the turned away know that nothing was sent."""

    async def body(fleet: Fleet, world: ScriptedFleet) -> None:
        results = await submit_many(fleet.session(), 15)

        refused = [one for one in results if isinstance(one, OverloadedError)]
        assert (len(refused), len(world.log)) == (5, 10)
        assert all(one.is_retryable for one in refused)

    run_fleet(body, config=FleetConfig(operations_waiting_max=10))


def test_a_cancelled_caller_takes_an_unsent_operation_back() -> None:
    """The linger is not over, so nothing has been sent."""

    async def body(fleet: Fleet, world: ScriptedFleet) -> None:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.005):
                await fleet.session().submit(ADD, subject=ADA)
        await asyncio.sleep(1.0)

        assert world.calls_count == 0

    run_fleet(body)
