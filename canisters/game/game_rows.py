"""The game's rows: what lies in stable memory, one value type for each kind of row.

A row is ``u8 version (1), u8 kind``, then its fields in the order below, in the encoding of
``icfleet_canister.wire_codec``. Money is in paise. A row of a version that this code does not know
is an error: the code is older than the data.

Slots 0 to 3 are fixed; players, prices and grants take the next ones as they come, and keep them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from icfleet_canister import ByteReader, ByteWriter, EncodingError

__all__ = [
    "BANK_SLOT",
    "BOOK_SLOT",
    "FIRST_FREE_SLOT",
    "FLEET_SLOT",
    "MARKET_SLOT",
    "ROW_SIZE_MAX",
    "BookRow",
    "Deposit",
    "FleetRow",
    "GrantRow",
    "Holding",
    "PlayerRow",
    "PriceRow",
    "Row",
    "SystemRow",
    "decode_row",
    "encode_row",
    "index_key",
]

BOOK_SLOT = 0
BANK_SLOT = 1
MARKET_SLOT = 2
FLEET_SLOT = 3
FIRST_FREE_SLOT = 4

#: The largest player: 32 holdings, 8 deposits, a name of 32 characters; 10 bytes of Candid are
#: added in the stable map, whose values may have 1,300.
ROW_SIZE_MAX = 1_200

_VERSION = 1


class BookRow(NamedTuple):
    """The totals: all money there is equals ``credits`` minus ``debits``."""

    credits: int
    debits: int
    next_slot: int
    players: int
    symbols: int
    grants: int
    admins: int


class SystemRow(NamedTuple):
    """An account of the game itself: the bank, or the market."""

    name: str
    balance: int


class FleetRow(NamedTuple):
    """Which canister writes this log."""

    main: str


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


class PriceRow(NamedTuple):
    """What one share costs."""

    symbol: str
    price: int
    updated_at_ns: int


class GrantRow(NamedTuple):
    """What a principal may do beyond its own player; empty ``roles`` when all was taken back."""

    holder: str
    roles: Sequence[str]
    operations: Sequence[str]
    """As a gateway."""
    all_players: bool
    """As a gateway; else only the players it created."""


Row = BookRow | SystemRow | FleetRow | PlayerRow | PriceRow | GrantRow


def index_key(row: Row) -> str | None:
    """Return the key under which the row's slot is found, or ``None`` for a fixed slot."""
    if isinstance(row, PlayerRow):
        return "p:" + row.owner
    if isinstance(row, PriceRow):
        return "s:" + row.symbol
    if isinstance(row, GrantRow):
        return "g:" + row.holder
    return None


def encode_row(row: Row) -> bytes:
    """Return the row's bytes.

    Raises:
        EncodingError: If a number or text has no room.
    """
    kind, write, _ = _CODECS[type(row)]
    writer = ByteWriter().number(_VERSION, 1).number(kind, 1)
    write(writer, row)
    return writer.finish()


def decode_row(data: bytes) -> Row:
    """Read a row back.

    Raises:
        EncodingError: If the bytes are not a row of this version.
    """
    reader = ByteReader(data)
    version, kind = reader.number(1), reader.number(1)
    if version != _VERSION or kind not in _READERS:
        reason = f"row of version {version} and kind {kind}"
        raise EncodingError(reason)
    row = _READERS[kind](reader)
    reader.finish()
    return row


def _write_book(writer: ByteWriter, row: BookRow) -> None:
    writer.numbers(row)


def _read_book(reader: ByteReader) -> BookRow:
    return BookRow(*reader.numbers(len(BookRow._fields)))


def _write_system(writer: ByteWriter, row: SystemRow) -> None:
    writer.text(row.name).number(row.balance, 8)


def _read_system(reader: ByteReader) -> SystemRow:
    return SystemRow(reader.text(), reader.number(8))


def _write_fleet(writer: ByteWriter, row: FleetRow) -> None:
    writer.text(row.main)


def _read_fleet(reader: ByteReader) -> FleetRow:
    return FleetRow(reader.text())


def _write_player(writer: ByteWriter, row: PlayerRow) -> None:
    writer.text(row.owner).text(row.name).text(row.created_by)
    writer.numbers((row.balance, row.score, row.scored_at_ns, row.next_deposit))
    writer.number(len(row.deposits), 1)
    for deposit in row.deposits:
        writer.numbers(deposit)
    writer.number(len(row.holdings), 1)
    for holding in row.holdings:
        writer.numbers(holding)


def _read_player(reader: ByteReader) -> PlayerRow:
    owner, name, created_by = reader.text(), reader.text(), reader.text()
    balance, score, scored_at_ns, next_deposit = reader.numbers(4)
    deposits = tuple(Deposit(*reader.numbers(4)) for _ in range(reader.number(1)))
    holdings = tuple(Holding(*reader.numbers(2)) for _ in range(reader.number(1)))
    return PlayerRow(
        owner, name, created_by, balance, score, scored_at_ns, next_deposit, deposits, holdings
    )


def _write_price(writer: ByteWriter, row: PriceRow) -> None:
    writer.text(row.symbol).number(row.price, 8).number(row.updated_at_ns, 8)


def _read_price(reader: ByteReader) -> PriceRow:
    return PriceRow(reader.text(), reader.number(8), reader.number(8))


def _write_grant(writer: ByteWriter, row: GrantRow) -> None:
    writer.text(row.holder)
    for names in (row.roles, row.operations):
        writer.number(len(names), 1)
        for name in names:
            writer.text(name)
    writer.number(int(row.all_players), 1)


def _read_grant(reader: ByteReader) -> GrantRow:
    holder = reader.text()
    roles = tuple(reader.text() for _ in range(reader.number(1)))
    operations = tuple(reader.text() for _ in range(reader.number(1)))
    return GrantRow(holder, roles, operations, bool(reader.number(1)))


_Codec = tuple[int, Callable[[ByteWriter, Any], None], Callable[[ByteReader], Row]]

_CODECS: dict[type[Row], _Codec] = {
    BookRow: (0, _write_book, _read_book),
    SystemRow: (1, _write_system, _read_system),
    FleetRow: (2, _write_fleet, _read_fleet),
    PlayerRow: (3, _write_player, _read_player),
    PriceRow: (4, _write_price, _read_price),
    GrantRow: (5, _write_grant, _read_grant),
}

_READERS: dict[int, Callable[[ByteReader], Row]] = {
    kind: read for kind, _, read in _CODECS.values()
}
