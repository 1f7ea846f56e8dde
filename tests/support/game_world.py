"""The game without Kybra: canisters over maps in memory, that can be upgraded and joined.

Importable where ``canisters/game`` is on the path.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from game_app import app
from game_derived import GameDerived
from game_operations import Operation
from game_reads import accounts_page
from game_rows import ROW_SIZE_MAX, PlayerRow, player_key

from icfleet_canister import LogHead, MemoryMap, PendingOperation, Verdict
from icfleet_canister.application import content_of
from icfleet_canister.change_log import PAGE_SIZE_MAX
from icfleet_canister.fleet_service import FleetService, FleetStores
from icfleet_canister.replication import PageRequest
from icfleet_protocol.principal import Principal

__all__ = [
    "ADMIN",
    "MAIN",
    "NOW_NS",
    "SECOND_NS",
    "Node",
    "memory_stores",
    "operation_id",
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


def memory_stores() -> FleetStores:
    """Maps as large as the game's."""
    return FleetStores(
        rows=MemoryMap(ROW_SIZE_MAX),
        slots=MemoryMap(),
        state=MemoryMap(8_000 - 16),
        pages=MemoryMap(PAGE_SIZE_MAX),
    )


@dataclass
class Node:
    """A canister: stable maps that stay, and a heap that an upgrade replaces."""

    canister: str
    stores: FleetStores = field(default_factory=memory_stores)

    def __post_init__(self) -> None:
        self.service = self._service()
        self._number = 1_000_000

    @classmethod
    def main(cls, now_ns: int = NOW_NS) -> Node:
        """A main in epoch 1, installed by ``ADMIN``."""
        node = cls(MAIN)
        node.service.start(is_main=True, installer=ADMIN, canister=MAIN, now_ns=now_ns)
        assert node.service.promote(ADMIN, 0, 1, now_ns).case == "Done"
        return node

    @classmethod
    def replica(cls, number: int, upstream: Node, now_ns: int = NOW_NS) -> Node:
        """A replica that follows ``upstream``, attached there."""
        node = cls(principal(900_000 + number))
        node.service.start(is_main=False, installer=ADMIN, canister=node.canister, now_ns=now_ns)
        node.join(upstream)
        return node

    @property
    def head(self) -> LogHead:
        """Where its log ends."""
        return self.service.member.head

    @property
    def derived(self) -> GameDerived:
        """What its heap has of the game."""
        derived = self.service.app.derived
        assert isinstance(derived, GameDerived)
        return derived

    @property
    def figures(self) -> dict[str, int]:
        """What ``status`` counts."""
        return dict(self.service.figures())

    def join(self, upstream: Node) -> None:
        """Follow another canister, attached there."""
        assert upstream.service.attach(ADMIN, self.canister).case == "Done"
        assert self.service.follow(ADMIN, upstream.canister).case == "Done"

    def upgrade(self, now_ns: int = NOW_NS, *, restore: bool = True) -> None:
        """Lose the heap; bring it back unless told otherwise."""
        self.service.suspend(now_ns)
        self.service = self._service()
        self.service.resume(self.canister, now_ns)
        while restore and self.service.needs_restoring:
            self.service.restore_step(now_ns)

    def submit(
        self, caller: str, *operations: PendingOperation[Operation], now_ns: int = NOW_NS
    ) -> Sequence[Verdict]:
        """Send a batch."""
        self.service.touch(now_ns)
        outcome = self.service.submit(caller, operations, now_ns=now_ns, is_exhausted=lambda: False)
        assert outcome.case == "Done", outcome
        return outcome.verdicts

    def do(self, caller: str, subject: str, body: Operation, now_ns: int = NOW_NS) -> Verdict:
        """Send one operation under a fresh id."""
        self._number += 1
        return self.submit(caller, submitted(self._number, subject, body, now_ns), now_ns=now_ns)[0]

    def pull(self, upstream: Node, now_ns: int = NOW_NS, size_max: int = 200_000) -> int:
        """Ask the upstream once, for records or for a page; return how many records were new."""
        request = self.service.member.pull_request(now_ns)
        if request is None:
            return 0
        if isinstance(request, PageRequest):
            page = upstream.service.state_page(self.canister, request.cursor, size_max, now_ns)
            self.service.receive_page(request, page, now_ns)
            return 0
        asked = request._replace(size_max=min(size_max, request.size_max))
        answer = upstream.service.log_since(self.canister, asked.head, asked.size_max, now_ns)
        count = self.service.receive_log(request, answer, now_ns)
        position = self.service.member.acknowledgement(now_ns)
        if position is not None:
            upstream.service.acknowledge(self.canister, position.epoch, position.seq, now_ns)
        return count

    def catch_up(self, upstream: Node, now_ns: int = NOW_NS, tries: int = 1_000) -> None:
        """Pull until this canister is whole and has what the upstream has.

        Raises:
            AssertionError: If it never comes to that.
        """
        for _ in range(tries):
            if self.head == upstream.head and self.service.is_restored:
                return
            self.pull(upstream, now_ns)
            self.restore(now_ns)
        error = self.service.member.replication.error
        reason = f"at {self.head}, upstream at {upstream.head}: {error}"
        raise AssertionError(reason)

    def restore(self, now_ns: int = NOW_NS) -> None:
        """Let the timers bring back what can be brought back now."""
        for _ in range(1_000):
            if not self.service.needs_restoring:
                return
            self.service.restore_step(now_ns)

    def player(self, owner: str) -> PlayerRow:
        """A player's row, which must be there."""
        row = self.service.table.row_by_key(player_key(owner))
        assert isinstance(row, PlayerRow)
        return row

    def balances(self) -> dict[str, int]:
        """All accounts, read page by page as an auditor does."""
        balances: dict[str, int] = {}
        cursor: int | None = 0
        while cursor is not None:
            accounts, cursor = accounts_page(self.service.app, cursor)
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

    def _service(self) -> FleetService:
        return FleetService(self.stores, app.fresh(), row_size_max=ROW_SIZE_MAX)
