"""Kinds of rows: what lies in stable memory, and how code of tomorrow still reads it.

A row is ``u8 version, u8 kind``, then the kind's fields in the encoding of ``wire_codec``. What is
written must be read back as an equal row: a main goes on with the row that it has encoded, its
replicas with what they have read. Each
kind has its own versions: its newest one is written, every one that it has a reader for is read,
so an upgrade changes no row that nobody writes. A version or kind that this code does not know is
an error: the code is older than the data.

Kinds below 16 are the library's, 16 to 255 the application's; a number is never used again.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from icfleet_canister.fleet_errors import ConfigurationError, EncodingError
from icfleet_canister.wire_codec import ByteReader, ByteWriter, utf8

__all__ = [
    "FLEET_KIND",
    "FLEET_SLOT",
    "GRANT_KIND",
    "KEY_SIZE_MAX",
    "FleetRow",
    "GrantRow",
    "Row",
    "RowKind",
    "RowKinds",
    "grant_key",
]

#: A row is a ``NamedTuple`` of one of the kinds.
Row = tuple[Any, ...]

#: The one row that every canister of a fleet has in a fixed place.
FLEET_SLOT = 0

#: Bytes of a key: the map of slots has keys of 100 bytes, 10 of which are Candid's.
KEY_SIZE_MAX = 90

_FIRST_OWN_KIND = 16

#: Versions and kinds are one byte each.
_BYTE_MAX = 255


class FleetRow(NamedTuple):
    """Which canister writes this log, and what its admins have made."""

    main: str
    grants: int
    """How many rows of grants there are."""
    admins: Sequence[int]
    """The slots of those that make an admin, in the order in which they were given."""


class GrantRow(NamedTuple):
    """What a principal may do beyond its own; empty ``roles`` when all was taken back."""

    holder: str
    roles: Sequence[str]
    operations: Sequence[str]
    """As a gateway."""
    all_players: bool
    """As a gateway; else only those it created."""


class RowKind:
    """One kind of row.

    Args:
        number: Its number, 16 to 255 for an application's.
        row_type: The ``NamedTuple`` in the heap.
        write: Appends a row's fields, in the newest version.
        readers: Reads the fields, by version; each returns the row as it would be today.
        key: Returns the text under which a row's slot is found; none if it is found otherwise.
    """

    def __init__(
        self,
        number: int,
        row_type: type[Any],
        write: Callable[[ByteWriter, Any], None],
        readers: Mapping[int, Callable[[ByteReader], Any]],
        key: Callable[[Any], str] | None = None,
    ) -> None:
        versions = [version for version in readers if not 1 <= version <= _BYTE_MAX]
        if not 0 <= number <= _BYTE_MAX or versions or not readers:
            reason = f"kind {number} of rows with versions {sorted(readers)}"
            raise ConfigurationError(reason)
        self.number = number
        self.row_type = row_type
        self.write = write
        self.readers = dict(readers)
        self.key = key
        self.version = max(readers)
        """The version that is written."""
        self.head = bytes((self.version, number))
        """What a row begins with, as it is written."""


def grant_key(holder: str) -> str:
    """Return the key of a principal's grant."""
    return "g:" + holder


def _write_fleet(writer: ByteWriter, row: FleetRow) -> None:
    writer.text(row.main).number(row.grants, 8).number(len(row.admins), 1).numbers(row.admins)


def _read_fleet(reader: ByteReader) -> FleetRow:
    return FleetRow(reader.text(), reader.number(8), reader.numbers(reader.number(1)))


def _write_grant(writer: ByteWriter, row: GrantRow) -> None:
    writer.text(row.holder)
    _write_texts(writer, row.roles)
    _write_texts(writer, row.operations)
    writer.number(int(row.all_players), 1)


def _read_grant(reader: ByteReader) -> GrantRow:
    holder = reader.text()
    roles, operations = _read_texts(reader), _read_texts(reader)
    flag = reader.number(1)
    if flag > 1:
        reason = f"a grant for all players, or not: {flag}"
        raise EncodingError(reason)
    return GrantRow(holder, roles, operations, bool(flag))


def _write_texts(writer: ByteWriter, texts: Sequence[str]) -> None:
    writer.number(len(texts), 1).texts(texts)


def _read_texts(reader: ByteReader) -> Sequence[str]:
    return tuple(reader.texts(reader.number(1)))


def _key_of_grant(row: GrantRow) -> str:
    return grant_key(row.holder)


FLEET_KIND = RowKind(0, FleetRow, _write_fleet, {1: _read_fleet})
GRANT_KIND = RowKind(1, GrantRow, _write_grant, {1: _read_grant}, key=_key_of_grant)


class RowKinds:
    """All kinds of one canister: the library's and its own.

    Args:
        own: The application's kinds.
    """

    def __init__(self, own: Sequence[RowKind] = ()) -> None:
        self._by_number: dict[int, RowKind] = {}
        self._by_type: dict[type[Any], RowKind] = {}
        self._proven: set[int] = set()
        self._readers: dict[bytes, Callable[[ByteReader], Any]] = {}
        for kind in (FLEET_KIND, GRANT_KIND):
            self._take_in(kind)
        for kind in own:
            if kind.number < _FIRST_OWN_KIND:
                reason = f"kind {kind.number} of rows: below {_FIRST_OWN_KIND} they are the fleet's"
                raise ConfigurationError(reason)
            self._take_in(kind)

    @property
    def all(self) -> Sequence[RowKind]:
        """Every kind, by number."""
        return [self._by_number[number] for number in sorted(self._by_number)]

    def encode(self, row: Row) -> bytes:
        """Return the row's bytes, in the newest version of its kind.

        Raises:
            EncodingError: If a number or text has no room, the row is of no kind, or its reader
                does not read what its writer wrote.
        """
        kind = self._by_type.get(type(row)) or self._kind_of(row)
        writer = ByteWriter().raw(kind.head)
        kind.write(writer, row)
        data = writer.finish()
        if kind.number not in self._proven:
            # Once for each kind: a reader that was forgotten must not be found when rows are lost.
            if self.decode(data) != row:
                reason = f"a {kind.row_type.__name__} is not read as it was written"
                raise EncodingError(reason)
            self._proven.add(kind.number)
        return data

    def decode(self, data: bytes) -> Row:
        """Read a row of any version that this code knows.

        Raises:
            EncodingError: If the bytes are not such a row.
        """
        read = self._readers.get(data[:2])
        if read is None:
            version, number = ByteReader(data).fields(">BB")
            reason = f"row of version {version} and kind {number}"
            raise EncodingError(reason)
        reader = ByteReader(data, 2)
        row: Row = read(reader)
        reader.finish()
        return row

    def key_of(self, row: Row) -> str | None:
        """Return the key under which the row's slot is found, or ``None``.

        Raises:
            EncodingError: If the key is longer than ``KEY_SIZE_MAX``, or the row is of no kind.
        """
        kind = self._by_type.get(type(row)) or self._kind_of(row)
        if kind.key is None:
            return None
        key = kind.key(row)
        if not key.isascii() or len(key) > KEY_SIZE_MAX:
            size = len(utf8(key))
            if size > KEY_SIZE_MAX:
                reason = f"key of {size} bytes, at most {KEY_SIZE_MAX} allowed"
                raise EncodingError(reason)
        return key

    def _kind_of(self, row: Row) -> RowKind:
        kind = self._by_type.get(type(row))
        if kind is None:
            reason = f"{type(row).__name__} is no kind of row here"
            raise EncodingError(reason)
        return kind

    def _take_in(self, kind: RowKind) -> None:
        if kind.number in self._by_number or kind.row_type in self._by_type:
            reason = f"kind {kind.number} of rows, {kind.row_type.__name__}, is there already"
            raise ConfigurationError(reason)
        self._by_number[kind.number] = kind
        self._by_type[kind.row_type] = kind
        for version, read in kind.readers.items():
            self._readers[bytes((version, kind.number))] = read
