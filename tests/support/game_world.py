"""The game without Kybra: canisters over maps in memory, that can be upgraded and joined.

Importable where ``canisters/game`` is on the path.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from game_candid import pending_operation
from game_operations import Operation, content_of
from game_rows import ROW_SIZE_MAX
from game_service import Game, GameStores

from icfleet_canister import LogHead, MemoryMap, PendingOperation, Verdict
from icfleet_canister.change_log import PAGE_SIZE_MAX
from icfleet_protocol.principal import Principal

__all__ = [
    "ADMIN",
    "MAIN",
    "NOW_NS",
    "SECOND_NS",
    "Node",
    "operation_id",
    "pending_operation",
    "principal",
    "submitted",
]

SECOND_NS = 1_000_000_000
NOW_NS = 1_800_000_000 * SECOND_NS


def principal(number: int) -> str:
    """One of many principals, as text."""
    return str(Principal(b"player" + number.to_bytes(4, "big") + b"\x01"))


ADMIN = str(Principal(b"admin\x01"))
MAIN = str(Principal(b"main\x01"))


def operation_id(number: int) -> bytes:
    """One of many operation ids."""
    return number.to_bytes(16, "big")


def submitted(
    number: int, subject: str, body: Operation, created_at_ns: int = NOW_NS
) -> PendingOperation[Operation]:
    """An operation as ``submit`` gets it."""
    return PendingOperation(operation_id(number), subject, created_at_ns, body, content_of(body))


def _stores() -> GameStores:
    return GameStores(
        rows=MemoryMap(ROW_SIZE_MAX),
        slots=MemoryMap(),
        state=MemoryMap(8_000 - 16),
        pages=MemoryMap(PAGE_SIZE_MAX),
    )


@dataclass
class Node:
    """A canister: stable maps that stay, and a heap that an upgrade replaces."""

    canister: str
    stores: GameStores = field(default_factory=_stores)

    def __post_init__(self) -> None:
        self.game = Game(self.stores)
        self._number = 1_000_000

    @classmethod
    def main(cls, now_ns: int = NOW_NS) -> Node:
        """A main, installed by ``ADMIN``."""
        node = cls(MAIN)
        node.game.start(is_main=True, installer=ADMIN, canister=MAIN, now_ns=now_ns)
        return node

    @classmethod
    def replica(cls, number: int, upstream: Node, now_ns: int = NOW_NS) -> Node:
        """A replica that follows ``upstream``, attached there."""
        node = cls(principal(900_000 + number))
        node.game.start(is_main=False, installer=ADMIN, canister=node.canister, now_ns=now_ns)
        assert node.game.follow(ADMIN, node.canister, upstream.canister).case == "Done"
        assert upstream.game.attach(ADMIN, upstream.canister, node.canister).case == "Done"
        return node

    @property
    def head(self) -> LogHead:
        """Where its log ends."""
        return self.game.member.head

    @property
    def figures(self) -> dict[str, int]:
        """What ``status`` counts."""
        return dict(self.game.figures())

    def upgrade(self, now_ns: int = NOW_NS, *, restore: bool = True) -> None:
        """Lose the heap; bring it back unless told otherwise."""
        self.game = Game(self.stores)
        self.game.resume()
        while restore and not self.game.restore_step(now_ns):
            pass

    def submit(
        self, caller: str, *operations: PendingOperation[Operation], now_ns: int = NOW_NS
    ) -> Sequence[Verdict]:
        """Send a batch."""
        return self.game.submit(caller, operations, now_ns=now_ns, is_exhausted=lambda: False)

    def do(self, caller: str, subject: str, body: Operation, now_ns: int = NOW_NS) -> Verdict:
        """Send one operation under a fresh id."""
        self._number += 1
        return self.submit(caller, submitted(self._number, subject, body, now_ns), now_ns=now_ns)[0]

    def pull(self, upstream: Node, now_ns: int = NOW_NS, size_max: int = 200_000) -> int:
        """Take over what the upstream has, or a part of it; return how many records were new."""
        answer = upstream.game.member.answer_pull(self.head, size_max)
        assert answer is not None, "diverged"
        return self.game.receive_pull(answer, now_ns)

    def balances(self) -> dict[str, int]:
        """All accounts, read page by page as an auditor does."""
        balances: dict[str, int] = {}
        cursor: int | None = 0
        while cursor is not None:
            accounts, cursor = self.game.accounts(cursor)
            for account in accounts:
                assert account.owner not in balances
                balances[account.owner] = account.balance
        return balances

    def audit(self) -> None:
        """Check that money is conserved, by the accounts and by the figures.

        Raises:
            AssertionError: If not.
        """
        figures = self.figures
        balances = self.balances()
        assert sum(balances.values()) == figures["credits"] - figures["debits"]
        assert figures["accounts_total"] == sum(balances.values()) or figures["rebuilding"]
        assert all(balance >= 0 for balance in balances.values())
        assert figures["operations_applied"] + figures["operations_refused"] == self.head.seq
