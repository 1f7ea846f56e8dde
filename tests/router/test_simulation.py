"""A whole fleet in virtual time, with faults: the test's id is the seed that replays it."""

import asyncio
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from random import Random
from typing import Any

import pytest

from icfleet_protocol.principal import Principal
from icfleet_router import (
    Fleet,
    FleetConfig,
    OperationNotAppliedError,
    OperationPendingError,
    Position,
    ReadError,
    Receipt,
    Session,
    batch_sender,
    submission,
)
from icfleet_router.postponed import PostponedLines
from icfleet_router.read_plan import Accept, ReadPlan
from icfleet_router.retry_policy import BatchFate
from icfleet_router.submission import Submission
from icfleet_router.testing import Faults, SimulatedFleet, VirtualClock, run_in_virtual_time
from icfleet_router.write_path import WritePath

CONFIG = FleetConfig(batch_timeout_s=3.0, submit_timeout_s=8.0, query_timeout_s=3.0)
PLAYERS = [Principal(bytes([number, 9])) for number in range(6)]
CLIENTS_COUNT = 5
STEPS_COUNT = 15
CALM_S = 90.0
"""Long enough for every late message to land and every question to be answered."""


@dataclass
class History:
    """What one client asked for and was told."""

    subject: Principal
    sent: list[bytes] = field(default_factory=list[bytes])
    receipts: dict[bytes, Receipt] = field(default_factory=dict[bytes, Receipt])
    not_applied: set[bytes] = field(default_factory=set[bytes])
    pending: set[bytes] = field(default_factory=set[bytes])
    reads_count: int = 0


def _faults(random: Random) -> Faults:
    return Faults(
        lost_requests=random.choice([0.0, 0.05, 0.2]),
        lost_replies=random.choice([0.0, 0.05, 0.2]),
        late_requests=random.choice([0.0, 0.05, 0.2]),
        refusals=random.choice([0.0, 0.1]),
        stale_nodes=random.choice([0.0, 0.3]),
        limits=random.choice([0.0, 0.1]),
        deferrals=random.choice([0.0, 0.05]),
    )


async def _client(session: Session, history: History, random: Random) -> None:
    for _ in range(STEPS_COUNT):
        await asyncio.sleep(random.uniform(0.0, 0.5))
        if random.uniform(0.0, 1.0) < 0.5:
            count = random.randrange(1, 4)
            await asyncio.gather(*(_write(session, history, random) for _ in range(count)))
        else:
            await _read(session, history)


async def _write(session: Session, history: History, random: Random) -> None:
    operation_id = random.randbytes(16)
    history.sent.append(operation_id)
    others = [player for player in PLAYERS if player != history.subject]
    operation: dict[str, object] = {"Add": {"amount": 1}}
    if random.uniform(0.0, 1.0) < 0.4:
        operation = {"Give": {"target": random.choice(others), "amount": 1}}
    try:
        receipt = await session.submit(
            operation, subject=history.subject, operation_id=operation_id
        )
    except OperationNotAppliedError:
        history.not_applied.add(operation_id)
    except OperationPendingError as error:
        history.pending.add(error.operation_id)
    else:
        assert session.position >= receipt.position
        history.receipts[operation_id] = receipt


async def _read(session: Session, history: History) -> None:
    before = session.position
    try:
        reply: Any = await session.query("history", history.subject)
    except ReadError:
        return
    history.reads_count += 1
    as_of = Position(**reply["as_of"])
    assert as_of >= before, "a session must not go back"
    assert set(history.receipts) <= set(reply["ids"]), "a session must see its own writes"


async def _trouble(world: SimulatedFleet, random: Random) -> None:
    for _ in range(3):
        await asyncio.sleep(random.uniform(1.0, 5.0))
        match random.randrange(3):
            case 0:
                world.is_network_up = False
                await asyncio.sleep(random.uniform(0.0, 12.0))
                world.is_network_up = True
            case 1:
                world.switch_main(random.choice(["main", "replica_1", "replica_2"]))
            case _:
                pass


async def _live(random: Random) -> tuple[SimulatedFleet, list[History]]:
    world = SimulatedFleet(Random(random.randbytes(8)), faults=_faults(random))
    histories = [History(PLAYERS[number % 4]) for number in range(CLIENTS_COUNT)]
    async with Fleet(
        world.canisters,
        world.interface,
        agent=world,
        config=CONFIG,
        clock=VirtualClock(),
        random=Random(random.randbytes(8)),
    ) as fleet:
        async with asyncio.TaskGroup() as clients:
            clients.create_task(_trouble(world, random))
            for history in histories:
                clients.create_task(_client(fleet.session(), history, random))
        world.faults = Faults()
        await asyncio.sleep(CALM_S)
    assert world.is_closed
    return world, histories


@pytest.mark.parametrize("seed", range(100))
def test_promises_hold_under_faults(seed: int) -> None:
    """Whatever is lost, late or refused: exactly once, in order, and sessions never go back."""
    random = Random(seed)

    world, histories = run_in_virtual_time(lambda: _live(random), Random(seed))

    assert world.violations == []
    times_applied = Counter(entry.operation_id for entry in world.log)
    assert set(times_applied.values()) <= {1}
    by_id = {entry.operation_id: entry for entry in world.log}
    for history in histories:
        for operation_id, receipt in history.receipts.items():
            assert by_id[operation_id].position == receipt.position
        assert not history.not_applied & set(by_id), "said to be not applied, and was"
        told = {*history.receipts, *history.not_applied, *history.pending}
        assert told == set(history.sent), "every caller is told"
        in_log = [one.operation_id for one in world.log if one.operation_id in told]
        assert in_log == [one for one in history.sent if one in by_id], "order is kept"


def _forget_ids(one: Submission) -> dict[str, object]:
    operation_id = Random(str(one.is_suspect) + str(one.number)).randbytes(16)
    return {
        "id": operation_id if one.is_suspect else one.stamp.operation_id,
        "subject": one.subject,
        "created_at": one.stamp.created_at_ns,
        "body": one.body,
    }


def _always(value: object) -> Callable[..., object]:
    def planted(*_: object) -> object:
        return value

    return planted


def _first_seed_that_fails(seeds: Iterable[int]) -> int | None:
    for seed in seeds:
        try:
            test_promises_hold_under_faults(seed)
        except (AssertionError, RuntimeError, ExceptionGroup):
            return seed
    return None


@pytest.mark.parametrize(
    ("owner", "name", "planted"),
    [
        pytest.param(Submission, "as_candid", _forget_ids, id="a-new-id-for-each-try"),
        pytest.param(
            batch_sender, "judge_batch", _always(BatchFate.NOT_APPLIED_RETRY), id="lost-is-not-done"
        ),
        pytest.param(ReadPlan, "answered", _always(Accept()), id="stale-answers-accepted"),
        pytest.param(PostponedLines, "join", _always(None), id="no-lines"),
        pytest.param(
            submission, "find_principals", _always(frozenset[Principal]()), id="targets-ignored"
        ),
        pytest.param(WritePath, "_adopt", _always(None), id="abandoned-ones-forgotten"),
    ],
)
def test_the_simulation_sees_planted_mistakes(
    owner: object, name: str, planted: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An auditor that finds nothing where there is something would be worth nothing."""
    monkeypatch.setattr(owner, name, planted)

    assert _first_seed_that_fails(range(100)) is not None
