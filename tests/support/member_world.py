# ruff: noqa: ARG002 - a toy need not use all that its port passes
"""Members of a fleet without a game: rows that are numbers, operations that add to one of them."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import NamedTuple

from icfleet_canister import (
    Charge,
    Effects,
    EncodingError,
    FleetMember,
    LogAnswer,
    MemberStores,
    MemoryMap,
    PageAnswer,
    PageRequest,
    PendingOperation,
    PullRequest,
    Rate,
    RateLimiter,
    RowChange,
    RowOverlay,
    Verdict,
)
from icfleet_canister.change_log import PAGE_SIZE_MAX
from icfleet_canister.member_state import STATE_SIZE_MAX
from icfleet_canister.replication import Request

__all__ = ["NOW_NS", "SECOND_NS", "Add", "Node", "ToyRows", "number"]

SECOND_NS = 1_000_000_000
NOW_NS = 1_700_000_000 * SECOND_NS
ROW_SIZE_MAX = 100
ENDLESS = Rate(1_000_000, SECOND_NS)


def number(value: int) -> bytes:
    """A row."""
    return value.to_bytes(8, "big")


class Add(NamedTuple):
    """An operation: add to a row, remove it (0), or be refused (below 0)."""

    slot: int
    amount: int


class ToyRows:
    """``SeedableRows`` over a stable map; a row that is no number cannot be read."""

    def __init__(self, rows: MemoryMap[int, bytes]) -> None:
        self._overlay = RowOverlay(rows)
        self.end_slot = 0
        self.rebuilds = 0

    def get(self, slot: int) -> int | None:
        data = self._overlay.get(slot)
        return None if data is None else int.from_bytes(data, "big")

    def apply(self, changes: Sequence[RowChange]) -> None:
        assert self.problem(changes) is None, changes
        for slot, value in changes:
            self._overlay.put(slot, value)
            self.end_slot = max(self.end_slot, slot + 1)

    def flush(self) -> None:
        self._overlay.flush()

    def page(self, first: int, size_max: int, slots_max: int) -> tuple[Sequence[RowChange], int]:
        rows: list[RowChange] = []
        slot = first
        while slot < min(self.end_slot, first + slots_max):
            value = self._overlay.get(slot)
            if value is not None:
                if rows and (len(rows) + 1) * 8 > size_max:
                    break
                rows.append(RowChange(slot, value))
            slot += 1
        return rows, slot

    def seed(self, first: int, end: int, rows: Sequence[RowChange]) -> None:
        problem = self.problem(rows)
        if problem is not None:
            raise EncodingError(problem)
        for slot in range(first, end):
            self._overlay.put(slot, None)
        self.apply(rows)
        self.end_slot = max(self.end_slot, end)

    def problem(self, changes: Sequence[RowChange]) -> str | None:
        bad = [slot for slot, value in changes if value is not None and len(value) != 8]
        return f"row {bad[0]} is no number" if bad else None

    def clear_from(self, slot: int, work_max: int) -> bool:
        for _ in range(work_max):
            if self.end_slot <= slot:
                break
            self.end_slot -= 1
            self._overlay.put(self.end_slot, None)
        return self.end_slot <= slot

    def begin_rebuild(self) -> None:
        self.rebuilds += 1


class Adder:
    """The rules."""

    def __init__(self, rows: ToyRows) -> None:
        self._rows = rows
        self.apply = rows.apply
        self.flush = rows.flush

    def forbids(self, caller: str, operation: PendingOperation[Add]) -> str | None:
        return None

    def charges(self, caller: str, operation: PendingOperation[Add]) -> Sequence[Charge]:
        return [Charge(operation.subject, 1, ENDLESS)]

    def evaluate(
        self, caller: str, operation: PendingOperation[Add], now_ns: int, seq: int
    ) -> Effects:
        slot, amount = operation.body
        if amount < 0:
            return Effects(refusal=("Negative", "only upwards"))
        value = (self._rows.get(slot) or 0) + amount
        return Effects([RowChange(slot, number(value) if amount else None)])


class Node:
    """A canister: stable memory, and a member over it."""

    def __init__(self, name: str, *, is_main: bool = False) -> None:
        self.name = name
        self.rows: MemoryMap[int, bytes] = MemoryMap()
        self.state: MemoryMap[str, bytes] = MemoryMap(STATE_SIZE_MAX)
        self.pages: MemoryMap[int, bytes] = MemoryMap(PAGE_SIZE_MAX)
        self._load()
        self.member.start(is_main=is_main, installer="admin")

    @classmethod
    def main(cls, epoch: int = 1, now_ns: int = NOW_NS) -> Node:
        """A main whose first epoch is open; its record sets row 0."""
        node = cls("main", is_main=True)
        assert node.promote(epoch, now_ns) is None
        return node

    @classmethod
    def replica(cls, name: str, upstream: Node) -> Node:
        """A replica that is attached."""
        node = cls(name)
        node.follow(upstream)
        return node

    def _load(self) -> None:
        self.table = ToyRows(self.rows)
        self.member: FleetMember[Add] = FleetMember(
            Adder(self.table),
            self.table,
            MemberStores(self.state, self.pages),
            RateLimiter(),
            row_size_max=ROW_SIZE_MAX,
        )

    def follow(self, upstream: Node) -> None:
        assert upstream.member.attach(self.name) is None
        assert self.member.follow(upstream.name) is None

    def upgrade(self, now_ns: int = NOW_NS) -> None:
        self.member.suspend(now_ns)
        self.lose_heap(now_ns)

    def lose_heap(self, now_ns: int = NOW_NS) -> None:
        """An upgrade whose pre_upgrade was skipped."""
        self._load()
        self.member.resume(now_ns)

    def snapshot(self) -> Node:
        """Heap and stable memory, as they are now."""
        return copy.deepcopy(self)

    def restore(self, now_ns: int = NOW_NS) -> None:
        while not self.member.restore_step(now_ns):
            pass

    def wake(self, now_ns: int) -> None:
        """Let every replica tell its position, after a gap."""
        self.member.touch(now_ns)
        for replica in self.member.replicas.all:
            self.member.acknowledge(replica.canister, replica.epoch, replica.seq, now_ns)

    def sweep(self, now_ns: int) -> None:
        """Give back all that is old."""
        while self.member.window.sweep(now_ns, 1_000) or self.member.sweep(now_ns, 1_000):
            pass

    def promote(self, new: int, now_ns: int = NOW_NS) -> object:
        """Open an epoch; its record counts in row 0."""
        self.member.touch(now_ns)
        rows = [RowChange(0, number(new))]
        expected = self.member.head.epoch
        return self.member.promote(expected, new, caller="admin", rows=rows, now_ns=now_ns)

    def add(
        self, slot: int, amount: int, *, key: int, now_ns: int = NOW_NS, created_ns: int = 0
    ) -> Verdict:
        """Send one operation."""
        self.member.touch(now_ns)
        operation = PendingOperation(
            key.to_bytes(16, "big"),
            "ada",
            created_ns or now_ns,
            Add(slot, amount),
            f"{slot} {amount}".encode(),
        )
        return self.member.submit("ada", [operation], now_ns=now_ns, is_exhausted=lambda: False)[0]

    def grow(self, count: int, first_key: int = 0, now_ns: int = NOW_NS) -> None:
        """Apply so many operations, each to a slot of its own."""
        for key in range(first_key, first_key + count):
            assert self.add(1 + key, 1 + key, key=key, now_ns=now_ns).case == "Applied"

    def content(self) -> dict[int, int]:
        """All rows."""
        slots = range(self.table.end_slot)
        found = {slot: self.table.get(slot) for slot in slots}
        return {slot: value for slot, value in found.items() if value is not None}

    def answer(
        self, request: Request, size_max: int = 10**6, now_ns: int = NOW_NS
    ) -> LogAnswer | PageAnswer:
        """What this canister tells whoever asks."""
        size_max = min(size_max, request.size_max)
        if isinstance(request, PageRequest):
            return self.member.answer_page(self.name, request.cursor, size_max, now_ns)
        return self.member.answer_pull(request.head, size_max, now_ns, self.name)

    def take(self, request: Request, answer: LogAnswer | PageAnswer, now_ns: int = NOW_NS) -> None:
        """Take in an answer."""
        self.member.touch(now_ns)
        if isinstance(request, PullRequest):
            self.member.receive_log(request, answer, self.name, now_ns)  # type: ignore[arg-type]
        else:
            self.member.receive_page(request, answer, now_ns)  # type: ignore[arg-type]

    def pull(self, upstream: Node, size_max: int = 10**6, now_ns: int = NOW_NS) -> bool:
        """Ask once; return whether there was something to ask."""
        self.member.restore_step(now_ns)
        request = self.member.pull_request(now_ns)
        if request is None:
            return False
        self.take(request, upstream.answer(request, size_max, now_ns), now_ns)
        return True

    def catch_up(self, upstream: Node, size_max: int = 10**6, now_ns: int = NOW_NS) -> None:
        """Ask until there is nothing more, at most a thousand times."""
        for _ in range(1_000):
            assert self.pull(upstream, size_max, now_ns)
            is_there = self.member.head == upstream.member.head and not self.member.is_seeding
            if is_there or self.error:
                return
        raise AssertionError(self.member.head)

    @property
    def error(self) -> str:
        """Why the last pull failed, or nothing."""
        return self.member.replication.error or ""
