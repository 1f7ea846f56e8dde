"""The game's operations and their rules, each in one place.

Money is in integer paise and only ever moves: a deposit goes to the bank, a purchase to the
market. Whatever a rule refuses raises ``RuleRefusedError`` with one of ``REFUSAL_CODES``.
"""

from __future__ import annotations

import unicodedata
from typing import NamedTuple

from game_journal import MONEY_MAX, Journal
from game_rows import (
    BANK_SLOT,
    BOOK_SLOT,
    MARKET_SLOT,
    Deposit,
    Holding,
    PlayerRow,
    PriceRow,
    player_key,
    price_key,
)

from icfleet_canister.row_journal import refuse

__all__ = [
    "OPERATIONS",
    "REFUSAL_CODES",
    "Buy",
    "CloseDeposit",
    "CreatePlayer",
    "Credit",
    "Debit",
    "OpenDeposit",
    "Operation",
    "RecordScore",
    "Sell",
    "SetPrice",
    "Transfer",
]

#: Characters; four bytes each at most.
NAME_LENGTH_MAX = 32

#: Categories of line and paragraph ends, which no category of ``C`` has.
_LINE_ENDS = ("Zl", "Zp")

#: Scripts that are written together with Chinese characters, and look like no others.
_WITH_CJK = ("BOPOMOFO", "HANGUL", "HIRAGANA", "KATAKANA")

#: Bound the player's row: see ``game_rows.ROW_SIZE_MAX``.
DEPOSITS_MAX = 8
SYMBOLS_MAX = 32
SYMBOL_LENGTH_MAX = 12

#: Ten years; from one second on, so that a test need not wait.
TERM_MAX_S = 10 * 365 * 24 * 3600

#: Simple interest for a year of 365 days, in hundredths of a per cent.
INTEREST_BASIS_POINTS = 600

_YEAR_S = 365 * 24 * 3600
_NS_PER_S = 1_000_000_000

REFUSAL_CODES = frozenset(
    {
        "BankIlliquid",
        "DepositNotDue",
        "HoldingTooLarge",
        "InsufficientFunds",
        "InsufficientHoldings",
        "InvalidAmount",
        "InvalidSymbol",
        "InvalidTerm",
        "MarketIlliquid",
        "NameEmpty",
        "NameMixedScripts",
        "NameNotAllowed",
        "NameTooLong",
        "PlayerExists",
        "SelfTransfer",
        "SupplyExceeded",
        "TooManyDeposits",
        "TooManySymbols",
        "UnknownDeposit",
        "UnknownPlayer",
        "UnknownSymbol",
    }
)


class CreatePlayer(NamedTuple):
    """The subject gets a player with an empty account."""

    name: str

    def evaluate(self, journal: Journal) -> None:
        """Refuses NameEmpty, NameMixedScripts, NameNotAllowed, NameTooLong, PlayerExists."""
        _require_name(self.name)
        if journal.slot_of(player_key(journal.subject)) is not None:
            refuse("PlayerExists", f"{journal.subject} has a player already")
        journal.add(
            PlayerRow(
                owner=journal.subject,
                name=self.name,
                created_by=journal.caller,
                balance=0,
                score=0,
                scored_at_ns=0,
                next_deposit=1,
                deposits=(),
                holdings=(),
            )
        )
        book = journal.book()
        journal.put(BOOK_SLOT, book._replace(players=book.players + 1))


class Credit(NamedTuple):
    """Money enters the game: to ``bank``, ``market`` or a player's principal."""

    account: str
    amount: int

    def evaluate(self, journal: Journal) -> None:
        """Refuses InvalidAmount, SupplyExceeded, UnknownPlayer."""
        journal.credit(journal.account_slot(self.account), self.amount)


class Debit(NamedTuple):
    """Money leaves the game."""

    account: str
    amount: int

    def evaluate(self, journal: Journal) -> None:
        """Refuses BankIlliquid, InsufficientFunds, InvalidAmount, MarketIlliquid, UnknownPlayer."""
        journal.debit(journal.account_slot(self.account), self.amount)


class Transfer(NamedTuple):
    """The subject pays another player."""

    target: str
    amount: int

    def evaluate(self, journal: Journal) -> None:
        """Refuses InsufficientFunds, InvalidAmount, SelfTransfer, UnknownPlayer."""
        source_slot, _ = journal.player(journal.subject)
        target_slot, _ = journal.player(self.target)
        if source_slot == target_slot:
            refuse("SelfTransfer", "source and target are one player")
        journal.move(source_slot, target_slot, self.amount)


class OpenDeposit(NamedTuple):
    """The subject lends money to the bank for ``term_s`` seconds."""

    amount: int
    term_s: int

    def evaluate(self, journal: Journal) -> None:
        """Refuses InsufficientFunds, InvalidAmount, InvalidTerm, TooManyDeposits, UnknownPlayer."""
        slot, player = journal.player(journal.subject)
        if not 1 <= self.term_s <= TERM_MAX_S:
            refuse("InvalidTerm", f"1 to {TERM_MAX_S} seconds allowed")
        if len(player.deposits) >= DEPOSITS_MAX:
            refuse("TooManyDeposits", f"at most {DEPOSITS_MAX} may be open")
        journal.move(slot, BANK_SLOT, self.amount)
        interest = self.amount * INTEREST_BASIS_POINTS * self.term_s // (10_000 * _YEAR_S)
        due_ns = journal.now_ns + self.term_s * _NS_PER_S
        deposit = Deposit(player.next_deposit, self.amount, interest, due_ns)
        _, player = journal.player(journal.subject)
        deposits = (*player.deposits, deposit)
        number = player.next_deposit + 1
        journal.put(slot, player._replace(deposits=deposits, next_deposit=number))


class CloseDeposit(NamedTuple):
    """The bank pays a deposit that is due back, with interest."""

    deposit: int

    def evaluate(self, journal: Journal) -> None:
        """Refuses BankIlliquid, DepositNotDue, UnknownDeposit, UnknownPlayer."""
        slot, player = journal.player(journal.subject)
        found = [deposit for deposit in player.deposits if deposit.number == self.deposit]
        if not found:
            refuse("UnknownDeposit", f"no open deposit {self.deposit}")
        deposit = found[0]
        if journal.now_ns < deposit.due_ns:
            refuse("DepositNotDue", f"due at {deposit.due_ns}")
        journal.move(BANK_SLOT, slot, deposit.amount + deposit.interest)
        _, player = journal.player(journal.subject)
        deposits = tuple(other for other in player.deposits if other.number != self.deposit)
        journal.put(slot, player._replace(deposits=deposits))


class SetPrice(NamedTuple):
    """A share of ``symbol`` costs ``price`` paise from now on."""

    symbol: str
    price: int

    def evaluate(self, journal: Journal) -> None:
        """Refuses InvalidAmount, InvalidSymbol, TooManySymbols."""
        is_word = self.symbol.isascii() and self.symbol.isalnum()
        if not is_word or len(self.symbol) > SYMBOL_LENGTH_MAX:
            reason = f"1 to {SYMBOL_LENGTH_MAX} ASCII letters and digits allowed"
            refuse("InvalidSymbol", reason)
        if not 1 <= self.price <= MONEY_MAX:
            refuse("InvalidAmount", f"a price is 1 to {MONEY_MAX}")
        row = PriceRow(self.symbol, self.price, journal.now_ns)
        slot = journal.slot_of(price_key(self.symbol))
        if slot is not None:
            journal.put(slot, row)
            return
        book = journal.book()
        if book.symbols >= SYMBOLS_MAX:
            refuse("TooManySymbols", f"at most {SYMBOLS_MAX} are traded")
        journal.put(BOOK_SLOT, book._replace(symbols=book.symbols + 1))
        journal.add(row)


class Buy(NamedTuple):
    """The subject buys shares from the market at the present price."""

    symbol: str
    quantity: int

    def evaluate(self, journal: Journal) -> None:
        """Refuses HoldingTooLarge, InsufficientFunds, InvalidAmount, Unknown(Player, Symbol)."""
        slot, _ = journal.player(journal.subject)
        price_slot, price = journal.price(self.symbol)
        journal.move(slot, MARKET_SLOT, self.quantity * price.price)
        _change_holding(journal, slot, price_slot, self.quantity)


class Sell(NamedTuple):
    """The subject sells shares to the market at the present price."""

    symbol: str
    quantity: int

    def evaluate(self, journal: Journal) -> None:
        """Refuses InsufficientHoldings, InvalidAmount, MarketIlliquid, Unknown(Player, Symbol)."""
        slot, _ = journal.player(journal.subject)
        price_slot, price = journal.price(self.symbol)
        _change_holding(journal, slot, price_slot, -self.quantity)
        journal.move(MARKET_SLOT, slot, self.quantity * price.price)


class RecordScore(NamedTuple):
    """The subject has reached ``score``; a player's score is the best it ever reached."""

    score: int

    def evaluate(self, journal: Journal) -> None:
        """Refuses UnknownPlayer."""
        slot, player = journal.player(journal.subject)
        if self.score > player.score:
            row = player._replace(score=self.score, scored_at_ns=journal.now_ns)
            journal.put(slot, row)


Operation = (
    CreatePlayer
    | Credit
    | Debit
    | Transfer
    | OpenDeposit
    | CloseDeposit
    | SetPrice
    | Buy
    | Sell
    | RecordScore
)

#: In the order of ``game_journal.KIND_NAMES``.
OPERATIONS: tuple[type[Operation], ...] = (
    CreatePlayer,
    Credit,
    Debit,
    Transfer,
    OpenDeposit,
    CloseDeposit,
    SetPrice,
    Buy,
    Sell,
    RecordScore,
)


def _require_name(name: str) -> None:
    """Refuse a name that could be taken for another one, or that shows as something else."""
    if not name.strip():
        refuse("NameEmpty", "a player needs a name")
    if len(name) > NAME_LENGTH_MAX:
        refuse("NameTooLong", f"{len(name)} characters, at most {NAME_LENGTH_MAX} allowed")
    if name != name.strip() or unicodedata.normalize("NFKC", name) != name:
        refuse("NameNotAllowed", "blanks around it, or not in the normal form NFKC")
    scripts: set[str] = set()
    for character in name:
        category = unicodedata.category(character)
        if category[0] == "C" or category in _LINE_ENDS:
            refuse("NameNotAllowed", f"U+{ord(character):04X} is no character of a name")
        if category[0] == "L":
            script = unicodedata.name(character, "UNKNOWN").split(" ")[0]
            scripts.add("CJK" if script in _WITH_CJK else script)
    if len(scripts) > 1:
        refuse("NameMixedScripts", f"letters of {', '.join(sorted(scripts))} in one name")


def _change_holding(journal: Journal, slot: int, price_slot: int, change: int) -> None:
    """Add shares to a player's holding, or take them away when ``change`` is negative."""
    player = journal.row(slot)
    assert isinstance(player, PlayerRow), player
    held = sum(other.quantity for other in player.holdings if other.price_slot == price_slot)
    quantity = held + change
    if quantity < 0:
        refuse("InsufficientHoldings", f"{held} held, {-change} to sell")
    if quantity > MONEY_MAX:
        refuse("HoldingTooLarge", f"at most {MONEY_MAX} shares of a symbol")
    holdings = [other for other in player.holdings if other.price_slot != price_slot]
    if quantity:
        holdings.append(Holding(price_slot, quantity))
    journal.put(slot, player._replace(holdings=tuple(sorted(holdings))))
