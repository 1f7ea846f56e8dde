"""The game's rows: what lies in stable memory, one value type for each kind of row.

The layout is that of ``icfleet_canister.row_kinds``; the fields are in the order below. Money is
in paise. Slot 0 is the fleet's, 1 to 3 are fixed; players and prices take the next ones as they
come, and keep them.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain
from typing import NamedTuple

from icfleet_canister import ByteReader, ByteWriter
from icfleet_canister.row_kinds import RowKind

__all__ = [
    "BANK_SLOT",
    "BOOK_SLOT",
    "KINDS",
    "MARKET_SLOT",
    "RECENT_MAX",
    "ROW_SIZE_MAX",
    "BookRow",
    "Deposit",
    "Holding",
    "PlayerRow",
    "PriceRow",
    "Recent",
    "SystemRow",
    "player_key",
    "price_key",
]

BOOK_SLOT = 1
BANK_SLOT = 2
MARKET_SLOT = 3

#: The largest player: 32 holdings, 8 deposits, 16 operations, a name of 32 characters.
ROW_SIZE_MAX = 1_250

#: A player's last operations: its history, without a table of its own.
RECENT_MAX = 16


class BookRow(NamedTuple):
    """The totals: all money there is equals ``credits`` minus ``debits``."""

    credits: int
    debits: int
    players: int
    symbols: int


class SystemRow(NamedTuple):
    """An account of the game itself: the bank, or the market."""

    name: str
    balance: int


class Deposit(NamedTuple):
    """Money with the bank until ``due_ns``."""

    number: int
    amount: int
    interest: int
    due_ns: int


class Holding(NamedTuple):
    """Shares of the symbol in ``price_slot``."""

    price_slot: int
    quantity: int


class Recent(NamedTuple):
    """An operation that changed a player; the log has the rest of it."""

    seq: int
    kind: int
    """Place of its name in ``game_journal.KIND_NAMES``."""


class PlayerRow(NamedTuple):
    """A player and its account."""

    owner: str
    name: str
    created_by: str
    balance: int
    score: int
    scored_at_ns: int
    next_deposit: int
    deposits: Sequence[Deposit]
    holdings: Sequence[Holding]
    recent: Sequence[tuple[int, ...]] = ()
    """As ``Recent``, oldest first; bare, for they are read with the row and hardly ever wanted."""


class PriceRow(NamedTuple):
    """What one share costs."""

    symbol: str
    price: int
    updated_at_ns: int


def player_key(principal: str) -> str:
    """Return the key of a principal's player."""
    return "p:" + principal


def price_key(symbol: str) -> str:
    """Return the key of a symbol's price."""
    return "s:" + symbol


def _write_book(writer: ByteWriter, row: BookRow) -> None:
    writer.numbers(row)


def _read_book(reader: ByteReader) -> BookRow:
    return BookRow(*reader.numbers(len(BookRow._fields)))


def _write_system(writer: ByteWriter, row: SystemRow) -> None:
    writer.text(row.name).number(row.balance, 8)


def _read_system(reader: ByteReader) -> SystemRow:
    return SystemRow(reader.text(), reader.number(8))


_DEPOSIT_FORM = ">QQQQ"
_HOLDING_FORM = ">QQ"

#: A seq in eight bytes and the number of an operation's kind in one.
_RECENT_FORM = ">QB"


def _write_player(writer: ByteWriter, row: PlayerRow) -> None:
    owner, name, created_by, balance, score, scored_at_ns, number, deposits, holdings, recent = row
    writer.texts((owner, name, created_by))
    writer.fields(">QQQQB", balance, score, scored_at_ns, number, len(deposits))
    if deposits:
        writer.packed(_DEPOSIT_FORM, deposits)
    # Small numbers and many: together, for every operation writes a player or two.
    held, last = len(holdings), len(recent)
    form = f">B{'QQ' * held}B{'QB' * last}"
    writer.fields(form, held, *chain.from_iterable(holdings), last, *chain.from_iterable(recent))


def _read_player(reader: ByteReader) -> PlayerRow:
    owner, name, created_by = reader.texts(3)
    balance, score, scored_at_ns, next_deposit, count = reader.fields(">QQQQB")
    deposits: Sequence[Deposit] = ()
    holdings: Sequence[Holding] = ()
    if count:
        deposits = tuple(Deposit(*each) for each in reader.packed(_DEPOSIT_FORM, count))
    some = reader.counted(_HOLDING_FORM)
    if some:
        holdings = tuple(Holding(*each) for each in some)
    recent = reader.counted(_RECENT_FORM)
    return PlayerRow(
        owner,
        name,
        created_by,
        balance,
        score,
        scored_at_ns,
        next_deposit,
        deposits,
        holdings,
        recent,
    )


def _write_price(writer: ByteWriter, row: PriceRow) -> None:
    writer.text(row.symbol).number(row.price, 8).number(row.updated_at_ns, 8)


def _read_price(reader: ByteReader) -> PriceRow:
    return PriceRow(reader.text(), reader.number(8), reader.number(8))


def _key_of_player(row: PlayerRow) -> str:
    return "p:" + row.owner


def _key_of_price(row: PriceRow) -> str:
    return price_key(row.symbol)


KINDS = (
    RowKind(16, BookRow, _write_book, {1: _read_book}),
    RowKind(17, SystemRow, _write_system, {1: _read_system}),
    RowKind(18, PlayerRow, _write_player, {1: _read_player}, key=_key_of_player),
    RowKind(19, PriceRow, _write_price, {1: _read_price}, key=_key_of_price),
)
