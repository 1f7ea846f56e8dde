"""All rows of the game, and what is derived from them in the heap.

``apply`` is the only way in, for a main that decides and for a replica that repeats, so both hold
the same. What the heap derives (leaderboard, prices, the sum of all accounts) is a fold over the
rows in slot order: after an upgrade it is folded again, a slice at a time, and a row that changes
meanwhile counts only if the fold has passed it already.
"""

from __future__ import annotations

from bisect import insort
from collections.abc import Collection, Sequence
from typing import NamedTuple

from game_rows import (
    BOOK_SLOT,
    FIRST_FREE_SLOT,
    FLEET_SLOT,
    BookRow,
    FleetRow,
    GrantRow,
    PlayerRow,
    PriceRow,
    Row,
    SystemRow,
    decode_row,
    index_key,
)

from icfleet_canister import RowChange, RowOverlay, StableMap

__all__ = ["BOARD_SIZE", "Account", "Board", "BoardEntry", "Ledger"]

#: Entries kept for the leaderboard; a score never falls, so no other player can move up.
BOARD_SIZE = 100

#: Rows folded in one slice after an upgrade: some 100 M instructions.
REBUILD_ROWS_MAX = 500

#: Slots in one page of ``accounts``: 50 kB of reply.
ACCOUNTS_PAGE_SLOTS = 500


class BoardEntry(NamedTuple):
    """One line of the leaderboard."""

    player: str
    name: str
    score: int


class Account(NamedTuple):
    """An account's owner (``bank``, ``market`` or a principal) and its balance in paise."""

    owner: str
    balance: int


class Board:
    """The best players: by score, then by who reached it first."""

    def __init__(self, size: int = BOARD_SIZE) -> None:
        self._size = size
        self._order: list[tuple[int, int, int]] = []
        self._entries: dict[int, tuple[tuple[int, int, int], BoardEntry]] = {}

    @property
    def entries(self) -> Sequence[BoardEntry]:
        """The entries, best first."""
        return [self._entries[key[2]][1] for key in self._order]

    def put(self, slot: int, row: PlayerRow) -> bool:
        """Take a player's score in; return whether the board changed."""
        key = (-row.score, row.scored_at_ns, slot)
        held = self._entries.get(slot)
        is_low = len(self._order) >= self._size and key > self._order[-1]
        if row.score == 0 or (held is None and is_low) or (held is not None and held[0] == key):
            return False
        if held is not None:
            self._order.remove(held[0])
        insort(self._order, key)
        self._entries[slot] = (key, BoardEntry(row.owner, row.name, row.score))
        if len(self._order) > self._size:
            del self._entries[self._order.pop()[2]]
        return True


class Ledger:
    """Rows by slot, slots by key, and the derived values.

    Args:
        rows: Stable rows.
        slots: Stable slots by ``index_key``.
    """

    def __init__(self, rows: StableMap[int, bytes], slots: StableMap[str, int]) -> None:
        self._overlay = RowOverlay(rows)
        self._slots = slots
        self._decoded: dict[int, Row] = {}
        self._slots_seen: dict[str, int | None] = {}
        self._tags: set[str] = set()
        self._folded_to = 0
        self.is_ready = True
        """Whether the derived values cover every row."""
        self.accounts_total = 0
        """Sum of all balances, in paise."""
        self.board = Board()
        self.prices: dict[int, PriceRow] = {}

    def begin_rebuild(self) -> None:
        """Derive everything anew, by ``rebuild_step``."""
        self._folded_to = 0
        self.is_ready = False
        self.accounts_total = 0
        self.board = Board()
        self.prices = {}

    def rebuild_step(self, rows_max: int = REBUILD_ROWS_MAX) -> bool:
        """Fold the next rows; return whether the derived values are complete."""
        end = self.next_slot
        stop = min(self._folded_to + rows_max, end)
        while self._folded_to < stop:
            row = self._read(self._folded_to)
            if row is not None:
                self._fold(self._folded_to, None, row)
            self._folded_to += 1
        if stop == end:
            self.is_ready = True
        return self.is_ready

    @property
    def next_slot(self) -> int:
        """The first slot that was never used."""
        book = self.book
        return FIRST_FREE_SLOT if book is None else book.next_slot

    @property
    def book(self) -> BookRow | None:
        """The totals; ``None`` on a replica that has pulled nothing yet."""
        row = self.row(BOOK_SLOT)
        return row if isinstance(row, BookRow) else None

    @property
    def main(self) -> str | None:
        """The canister that writes this log, as far as the log says."""
        row = self.row(FLEET_SLOT)
        return row.main if isinstance(row, FleetRow) else None

    def row(self, slot: int) -> Row | None:
        """Return a row, or ``None``."""
        row = self._decoded.get(slot)
        if row is None:
            row = self._read(slot)
            if row is not None:
                self._decoded[slot] = row
        return row

    def slot_of(self, key: str) -> int | None:
        """Return the slot of an ``index_key``, or ``None``."""
        if key not in self._slots_seen:
            self._slots_seen[key] = self._slots.get(key)
        return self._slots_seen[key]

    def player(self, principal: str) -> PlayerRow | None:
        """Return a principal's player, or ``None``."""
        row = self._row_of("p:" + principal)
        return row if isinstance(row, PlayerRow) else None

    def grant(self, principal: str) -> GrantRow | None:
        """Return what admins gave to a principal, or ``None``."""
        row = self._row_of("g:" + principal)
        return row if isinstance(row, GrantRow) else None

    def accounts(self, cursor: int) -> tuple[Sequence[Account], int | None]:
        """Return the accounts of one page of slots, and the next cursor, ``None`` at the end."""
        end = self.next_slot
        stop = min(cursor + ACCOUNTS_PAGE_SLOTS, end)
        accounts: list[Account] = []
        for slot in range(cursor, stop):
            row = self._read(slot)
            if isinstance(row, PlayerRow):
                accounts.append(Account(row.owner, row.balance))
            elif isinstance(row, SystemRow):
                accounts.append(Account(row.name, row.balance))
        return accounts, stop if stop < end else None

    def apply(self, changes: Sequence[RowChange]) -> None:
        """Change rows and everything derived from them."""
        for slot, value in changes:
            before = self.row(slot)
            after = None if value is None else decode_row(value)
            self._index(slot, before, after)
            self._overlay.put(slot, value)
            if after is None:
                self._decoded.pop(slot, None)
            else:
                self._decoded[slot] = after
            if self.is_ready or slot < self._folded_to:
                self._fold(slot, before, after)

    def flush(self) -> None:
        """Write changed rows to stable memory, and forget what was read."""
        self._overlay.flush()
        self._decoded = {}
        self._slots_seen = {}

    def take_tags(self) -> Collection[str]:
        """Return what has changed since the last call, in the words of the views' tags."""
        tags = self._tags
        self._tags = set()
        return tags

    def _row_of(self, key: str) -> Row | None:
        slot = self.slot_of(key)
        return None if slot is None else self.row(slot)

    def _read(self, slot: int) -> Row | None:
        data = self._overlay.get(slot)
        return None if data is None else decode_row(data)

    def _index(self, slot: int, before: Row | None, after: Row | None) -> None:
        key_before = None if before is None else index_key(before)
        key_after = None if after is None else index_key(after)
        if key_before == key_after:
            return
        if key_before is not None:
            self._slots.remove(key_before)
            self._slots_seen[key_before] = None
        if key_after is not None:
            self._slots.insert(key_after, slot)
            self._slots_seen[key_after] = slot

    def _fold(self, slot: int, before: Row | None, after: Row | None) -> None:
        self.accounts_total += _balance(after) - _balance(before)
        if isinstance(after, PlayerRow) and self.board.put(slot, after):
            self._tags.add("scores")
        if isinstance(after, PriceRow):
            self.prices[slot] = after
            self._tags.add("prices")


def _balance(row: Row | None) -> int:
    return row.balance if isinstance(row, (PlayerRow, SystemRow)) else 0
