"""The working copy of one operation, in the game's words.

Double entry is here and nowhere else: ``move`` takes from one account what it gives to another,
``credit`` and ``debit`` book the only money that enters or leaves the game.
"""

from __future__ import annotations

from game_rows import (
    BANK_SLOT,
    BOOK_SLOT,
    MARKET_SLOT,
    RECENT_MAX,
    BookRow,
    PlayerRow,
    PriceRow,
    SystemRow,
    player_key,
    price_key,
)

from icfleet_canister.row_journal import RowJournal, RuleRefusedError, refuse
from icfleet_canister.row_kinds import Row

__all__ = ["FUNDS", "KIND_NAMES", "MONEY_MAX", "Journal", "open_books"]

#: All money together stays below this, and so does every balance: a nat64 with room to add two.
MONEY_MAX = 2**63 - 1

#: What bank and market begin with: ten billion rupees each, in paise.
FUNDS = 1_000_000_000_000

#: Operations by the number that a player's row has for them; new ones come last, for good.
KIND_NAMES = (
    "CreatePlayer",
    "Credit",
    "Debit",
    "Transfer",
    "OpenDeposit",
    "CloseDeposit",
    "SetPrice",
    "Buy",
    "Sell",
    "RecordScore",
)

_KIND_NUMBERS = {name: number for number, name in enumerate(KIND_NAMES)}
_SYSTEM_SLOTS = {"bank": BANK_SLOT, "market": MARKET_SLOT}
_SHORTAGE_CODES = {"bank": "BankIlliquid", "market": "MarketIlliquid"}


class Journal(RowJournal):
    """What one of the game's operations reads and changes."""

    def finished(self, row: Row) -> Row:
        """Return a row with what is noted in it: a player remembers the operation."""
        if not isinstance(row, PlayerRow) or not self.operation:
            return row
        recent = (self.seq, _KIND_NUMBERS[self.operation])
        return PlayerRow(*row[:-1], (*row.recent[-(RECENT_MAX - 1) :], recent))

    def book(self) -> BookRow:
        """Return the totals."""
        row = self.row(BOOK_SLOT)
        assert isinstance(row, BookRow), row
        return row

    def player(self, principal: str) -> tuple[int, PlayerRow]:
        """Return a player and its slot.

        Raises:
            RuleRefusedError: ``UnknownPlayer``.
        """
        slot = self.slot_of(player_key(principal))
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
        slot = self.slot_of(price_key(symbol))
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


def open_books(journal: RowJournal, _canister: str) -> None:
    """Make the game's first rows: the book, and bank and market with their funds."""
    for slot, row in (
        (BOOK_SLOT, BookRow(credits=2 * FUNDS, debits=0, players=0, symbols=0)),
        (BANK_SLOT, SystemRow("bank", FUNDS)),
        (MARKET_SLOT, SystemRow("market", FUNDS)),
    ):
        added = journal.add(row)
        assert added == slot, f"slot {added}, not {slot}: was the table empty?"
