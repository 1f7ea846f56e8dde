"""What the heap derives from the game's rows: the leaderboard, the prices, the sum of all accounts.

An upgrade keeps it as the slots of the rows it shows, so bringing it back reads some 130 rows.
"""

from __future__ import annotations

from bisect import insort
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from game_rows import PlayerRow, PriceRow, SystemRow

from icfleet_canister import ByteReader, ByteWriter, EncodingError
from icfleet_canister.row_kinds import Row
from icfleet_canister.row_table import RowTable

__all__ = ["BOARD_SIZE", "Board", "BoardEntry", "GameDerived"]

#: Entries kept for the leaderboard.
BOARD_SIZE = 100

_VERSION = 1

#: Score, best first; then time; then slot.
_Rank = tuple[int, int, int]


class BoardEntry(NamedTuple):
    """One line of the leaderboard."""

    player: str
    name: str
    score: int


class Board:
    """The best players: by score, then by who reached it first.

    Players come in any order and as often as they like. What was once left out is not searched
    for again, so when somebody leaves the board, or falls, it ends where one of those could stand:
    it may then be short, and is never wrong. Scores of the game only rise, so that it stays full.
    """

    def __init__(self, size: int = BOARD_SIZE) -> None:
        self._size = size
        self._order: list[_Rank] = []
        self._entries: dict[int, tuple[_Rank, BoardEntry]] = {}
        self.left_out: _Rank | None = None
        """The best rank that anybody had who was not taken."""

    @property
    def entries(self) -> Sequence[BoardEntry]:
        """The entries, best first."""
        return [self._entries[rank[2]][1] for rank in self._order]

    @property
    def slots(self) -> Sequence[int]:
        """The players' slots, best first."""
        return [rank[2] for rank in self._order]

    def put(self, slot: int, row: PlayerRow | None) -> bool:
        """Take a player in as it is now, or out; return whether the board changed."""
        held = self._entries.get(slot)
        if row is None or row.score == 0:
            if held is not None:
                self._drop(slot)
            return held is not None
        rank = (-row.score, row.scored_at_ns, slot)
        entry = BoardEntry(row.owner, row.name, row.score)
        if held == (rank, entry):
            return False
        if held is not None:
            self._drop(slot)
        if self.left_out is not None and rank > self.left_out:
            return held is not None
        insort(self._order, rank)
        self._entries[slot] = (rank, entry)
        if len(self._order) > self._size:
            last = self._order[-1]
            self._drop(last[2])
            self.left_out = last
            return last != rank
        return True

    def _drop(self, slot: int) -> None:
        self._order.remove(self._entries.pop(slot)[0])


class GameDerived:
    """All derived values: ``icfleet_canister.row_table.Derived`` for the game."""

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        """Forget everything."""
        self.accounts_total = 0
        """Sum of all balances, in paise."""
        self.board = Board()
        self.prices: dict[int, PriceRow] = {}

    def fold(self, slot: int, before: Row | None, after: Row | None) -> Iterable[str]:
        """Take in that a row has changed; return the tags of the views that show it."""
        if isinstance(after, PlayerRow) and isinstance(before, PlayerRow):
            self.accounts_total += after.balance - before.balance
            if after.score == before.score == 0:
                return ()
        else:
            self.accounts_total += _balance(after) - _balance(before)
        tags: list[str] = []
        if isinstance(after, PlayerRow) or isinstance(before, PlayerRow):
            player = after if isinstance(after, PlayerRow) else None
            if self.board.put(slot, player):
                tags.append("scores")
        if isinstance(after, PriceRow):
            self.prices[slot] = after
            tags.append("prices")
        elif self.prices.pop(slot, None) is not None:
            tags.append("prices")
        return tags

    def dump(self) -> bytes:
        """Return the sum, and the slots of board and prices: 1.2 kB at most."""
        writer = ByteWriter().number(_VERSION, 1).number(self.accounts_total, 8)
        left_out = self.board.left_out
        writer.number(0 if left_out is None else 1, 1)
        if left_out is not None:
            writer.numbers((-left_out[0], left_out[1], left_out[2]))
        for slots in (self.board.slots, sorted(self.prices)):
            writer.number(len(slots), 2).numbers(slots)
        return writer.finish()

    def load(self, data: bytes, table: RowTable) -> None:
        """Become what was dumped; the rows are the same as then.

        Raises:
            EncodingError: If it was dumped by another version, or of other rows.
        """
        reader = ByteReader(data)
        if reader.number(1) != _VERSION:
            reason = f"derived values of version {data[0]}"
            raise EncodingError(reason)
        total = reader.number(8)
        left_out = None
        if reader.number(1):
            score, scored_at_ns, slot = reader.numbers(3)
            left_out = (-score, scored_at_ns, slot)
        slots = [*reader.numbers(reader.number(2)), *reader.numbers(reader.number(2))]
        reader.finish()
        self.reset()
        for slot in slots:
            self.fold(slot, None, table.row(slot))
        if len(self.board.slots) + len(self.prices) != len(slots):
            reason = f"derived values name {len(slots)} rows, some of which are others now"
            raise EncodingError(reason)
        self.board.left_out = left_out
        self.accounts_total = total


def _balance(row: Row | None) -> int:
    return row.balance if isinstance(row, (PlayerRow, SystemRow)) else 0
