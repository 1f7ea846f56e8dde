"""Game servers at work while a test does something to their fleet, and what must be true after."""

import asyncio
import secrets
from collections import Counter
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from random import Random

from wide_fleet import WideFleet

from icfleet import Ed25519Identity
from icfleet_protocol.principal import Principal
from icfleet_router import (
    Fleet,
    OperationNotAppliedError,
    OperationPendingError,
    OperationRefusedError,
    Position,
)

__all__ = ["Payments", "in_thread"]

FUNDS = 1_000
WORKERS_COUNT = 4
PAUSE_S = 0.02
"""Between two payments of a worker."""

in_thread = asyncio.to_thread
"""For the calls of ``WideFleet``, which block."""


@dataclass(frozen=True, slots=True)
class Payment:
    """One operation, as it was sent, and sent again."""

    source: Principal
    target: Principal
    amount: int
    id: bytes
    created_at_ns: int


@dataclass
class Payments:
    """Players that pay each other without end.

    Attributes:
        decided: What was acknowledged, with its position; of refusals too.
        undone: What was surely not applied.
        pending: What nobody knows of yet.
    """

    fleet: WideFleet
    players: list[Principal] = field(default_factory=list[Principal])
    decided: dict[Payment, tuple[Position, bool]] = field(
        default_factory=dict[Payment, tuple[Position, bool]]
    )
    undone: list[Payment] = field(default_factory=list[Payment])
    pending: list[Payment] = field(default_factory=list[Payment])
    progress: asyncio.Condition = field(default_factory=asyncio.Condition)
    random: Random = field(default_factory=lambda: Random(4))

    def open_accounts(self, count: int = 12) -> None:
        """Make players, with money."""
        self.players = [Ed25519Identity.generate().sender for _ in range(count)]
        bodies: list[tuple[Principal, dict[str, object]]] = []
        for player in self.players:
            bodies.append((player, {"CreatePlayer": {"name": "Ada"}}))
            bodies.append((player, {"Credit": {"account": str(player), "amount": FUNDS}}))
        results = self.fleet.send(*(self.fleet.operation(who, body) for who, body in bodies))
        assert all("Applied" in result for result in results), results

    @asynccontextmanager
    async def going_on(self) -> AsyncGenerator[Fleet]:
        """Pay until the end of the block, and then until every payment's fate is known."""
        stop = asyncio.Event()
        async with self.fleet.open() as router:
            async with asyncio.TaskGroup() as tasks:
                for _ in range(WORKERS_COUNT):
                    tasks.create_task(self._work(router, stop))
                try:
                    yield router
                finally:
                    stop.set()
            for payment in self.pending:
                await self._pay(router, payment)

    async def some_more(self, count: int = 10) -> None:
        """Wait until so many more have been acknowledged."""
        wanted = len(self.decided) + count
        async with self.progress:
            await self.progress.wait_for(lambda: len(self.decided) >= wanted)

    async def repeat_all(self) -> None:
        """Send everything that was acknowledged once more: each gets its first answer."""
        async with self.fleet.open() as router:
            for payment in tuple(self.decided):
                await self._pay(router, payment)

    def check(self) -> None:
        """Whatever was acknowledged is in main's log once, where it said; and the money adds up."""
        assert len(self.decided) > 50
        records = self.fleet.records("main")
        seqs = {(str(one["subject"]), one["id"]): one["seq"] for one in records}
        counts = Counter((str(one["subject"]), one["id"]) for one in records)
        assert set(counts.values()) == {1}
        for payment, (position, _) in self.decided.items():
            assert seqs[str(payment.source), payment.id] == position.seq
        assert not any((str(one.source), one.id) in seqs for one in self.undone)
        self._check_money()

    def _check_money(self) -> None:
        balances = dict.fromkeys(self.players, FUNDS)
        for payment, (_, is_applied) in self.decided.items():
            balances[payment.source] -= payment.amount * is_applied
            balances[payment.target] += payment.amount * is_applied
        for name in self.fleet.names:
            shown = {
                player: self.fleet.query(name, "player", player)["player"]["Found"]["balance"]
                for player in self.players
            }
            figures = self.fleet.figures(name)
            assert shown == balances, name
            assert figures["accounts_total"] == figures["credits"] - figures["debits"], name

    async def _work(self, router: Fleet, stop: asyncio.Event) -> None:
        while not stop.is_set():
            source, target = self.random.sample(self.players, 2)
            amount = self.random.randint(1, 5)
            payment = Payment(source, target, amount, secrets.token_bytes(16), self.fleet.now_ns)
            await self._pay(router, payment)
            if self.random.random() < 0.3:
                await self._pay(router, payment)
            await asyncio.sleep(PAUSE_S)

    async def _pay(self, router: Fleet, payment: Payment) -> None:
        before = self.decided.get(payment)
        body = {"Transfer": {"target": payment.target, "amount": payment.amount}}
        try:
            receipt = await router.session().submit(
                body,
                subject=payment.source,
                operation_id=payment.id,
                created_at_ns=payment.created_at_ns,
            )
            after = (receipt.position, True)
        except OperationRefusedError as error:
            after = (error.position, False)
        except OperationNotAppliedError:
            assert before is None, payment
            self.undone.append(payment)
            return
        except OperationPendingError:
            self.pending.append(payment)
            return
        assert before in (None, after), (before, after)
        self.decided[payment] = after
        async with self.progress:
            self.progress.notify_all()
