"""The working copy of one operation: rows as it leaves them, before any of them is written.

Double entry is here and nowhere else: ``move`` takes from one account what it gives to another,
``credit`` and ``debit`` book the only money that enters or leaves the game. A rule that refuses
raises; nothing has been written then.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NoReturn, Protocol

from game_rows import (
    BANK_SLOT,
    BOOK_SLOT,
    MARKET_SLOT,
    BookRow,
    PlayerRow,
    PriceRow,
    Row,
    SystemRow,
    encode_row,
    index_key,
)

from icfleet_canister import RowChange

__all__ = ["MONEY_MAX", "Journal", "RowReader", "RuleRefusedError", "refuse"]

#: All money together stays below this, and so does every balance: a nat64 with room to add two.
MONEY_MAX = 2**63 - 1

_SYSTEM_SLOTS = {"bank": BANK_SLOT, "market": MARKET_SLOT}
_SHORTAGE_CODES = {"bank": "BankIlliquid", "market": "MarketIlliquid"}


class RuleRefusedError(Exception):
    """The rules say no: ``code`` for programs, ``reason`` for people."""

    def __init__(self, code: str, reason: str) -> None:
        super().__init__(f"{code}: {reason}")
        self.code = code
        self.reason = reason


def refuse(code: str, reason: str) -> NoReturn:
    """Raise ``RuleRefusedError``."""
    raise RuleRefusedError(code, reason)


class RowReader(Protocol):
    """The rows as they are."""

    def row(self, slot: int) -> Row | None:
        """Return a row, or ``None``."""
        ...

    def slot_of(self, key: str) -> int | None:
        """Return the slot of an ``index_key``, or ``None``."""
        ...


class Journal:
    """What one operation reads and changes.

    Args:
        reader: The rows as they are.
        caller: Who sent the operation.
        subject: Whom it is about.
        now_ns: Time of the message.
    """

    def __init__(self, reader: RowReader, caller: str, subject: str, now_ns: int) -> None:
        self._reader = reader
        self._changed: dict[int, Row] = {}
        self._added: dict[str, int] = {}
        self.caller = caller
        self.subject = subject
        self.now_ns = now_ns

    def slot_of(self, key: str) -> int | None:
        """Return the slot of an ``index_key``, or ``None``."""
        slot = self._added.get(key)
        return self._reader.slot_of(key) if slot is None else slot

    def row(self, slot: int) -> Row:
        """Return a row as this operation has left it so far."""
        row = self._changed.get(slot) or self._reader.row(slot)
        assert row is not None, slot
        return row

    def put(self, slot: int, row: Row) -> None:
        """Change a row."""
        self._changed[slot] = row

    def changes(self) -> Sequence[RowChange]:
        """Return the changed rows, encoded, by slot.

        Raises:
            EncodingError: If a value has no room in its row.
        """
        slots = sorted(self._changed)
        return [RowChange(slot, encode_row(self._changed[slot])) for slot in slots]

    def book(self) -> BookRow:
        """Return the totals."""
        row = self.row(BOOK_SLOT)
        assert isinstance(row, BookRow), row
        return row

    def add(self, row: Row) -> int:
        """Put a new row into the next free slot and return the slot."""
        book = self.book()
        self.put(BOOK_SLOT, book._replace(next_slot=book.next_slot + 1))
        self.put(book.next_slot, row)
        key = index_key(row)
        if key is not None:
            self._added[key] = book.next_slot
        return book.next_slot

    def player(self, principal: str) -> tuple[int, PlayerRow]:
        """Return a player and its slot.

        Raises:
            RuleRefusedError: ``UnknownPlayer``.
        """
        slot = self.slot_of("p:" + principal)
        if slot is None:
            refuse("UnknownPlayer", f"{principal} has no player")
        row = self.row(slot)
        assert isinstance(row, PlayerRow), row
        return slot, row

    def price(self, symbol: str) -> tuple[int, PriceRow]:
        """Return a price and its slot.

        Raises:
            RuleRefusedError: ``UnknownSymbol``.
        """
        slot = self.slot_of("s:" + symbol)
        if slot is None:
            refuse("UnknownSymbol", f"no price for {symbol!r}")
        row = self.row(slot)
        assert isinstance(row, PriceRow), row
        return slot, row

    def account_slot(self, account: str) -> int:
        """Return the slot of ``bank``, ``market`` or a player's principal.

        Raises:
            RuleRefusedError: ``UnknownPlayer``.
        """
        slot = _SYSTEM_SLOTS.get(account)
        return self.player(account)[0] if slot is None else slot

    def move(self, source_slot: int, target_slot: int, amount: int) -> None:
        """Take ``amount`` paise from one account and give it to another.

        Raises:
            RuleRefusedError: ``InvalidAmount``, or that of a source which has too little.
        """
        self._take(source_slot, amount)
        self._give(target_slot, amount)

    def credit(self, slot: int, amount: int) -> None:
        """Bring money into the game.

        Raises:
            RuleRefusedError: ``InvalidAmount`` or ``SupplyExceeded``.
        """
        book = self.book()
        if book.credits + amount > MONEY_MAX:
            refuse("SupplyExceeded", f"at most {MONEY_MAX} paise may be credited")
        self._require_positive(amount)
        self.put(BOOK_SLOT, book._replace(credits=book.credits + amount))
        self._give(slot, amount)

    def debit(self, slot: int, amount: int) -> None:
        """Take money out of the game.

        Raises:
            RuleRefusedError: ``InvalidAmount``, or that of an account which has too little.
        """
        self._take(slot, amount)
        book = self.book()
        self.put(BOOK_SLOT, book._replace(debits=book.debits + amount))

    def _take(self, slot: int, amount: int) -> None:
        self._require_positive(amount)
        row = self.row(slot)
        assert isinstance(row, (PlayerRow, SystemRow)), row
        if row.balance < amount:
            code = _SHORTAGE_CODES.get(row.name) if isinstance(row, SystemRow) else None
            reason = f"balance is {row.balance}, {amount} needed"
            raise RuleRefusedError(code or "InsufficientFunds", reason)
        self.put(slot, row._replace(balance=row.balance - amount))

    def _give(self, slot: int, amount: int) -> None:
        row = self.row(slot)
        assert isinstance(row, (PlayerRow, SystemRow)), row
        self.put(slot, row._replace(balance=row.balance + amount))

    def _require_positive(self, amount: int) -> None:
        if amount <= 0:
            refuse("InvalidAmount", "the amount must be at least 1")
