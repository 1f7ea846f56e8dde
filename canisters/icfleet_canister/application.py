"""What a studio writes: its operations, rows and rights, named in one place.

Everything else of a canister that joins a fleet is in ``FleetService``, which puts itself and the
rows into the application; an ``Application`` belongs to one canister.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, cast

from icfleet_canister.batch_applier import Effects, PendingOperation
from icfleet_canister.fleet_errors import ConfigurationError, EncodingError
from icfleet_canister.log_record import LogHead
from icfleet_canister.principal_text import principal_text
from icfleet_canister.row_journal import RowJournal, RuleRefusedError
from icfleet_canister.row_kinds import Row, RowKind, RowKinds
from icfleet_canister.row_table import Derived, RowTable
from icfleet_canister.stable_map import StableMap
from icfleet_canister.view_cache import View
from icfleet_canister.wire_codec import utf8

if TYPE_CHECKING:
    from icfleet_canister.fleet_service import FleetService

__all__ = ["Application", "content_of"]

_U64_END = 1 << 64

#: Nesting of lists and records in an operation's fields.
_DEPTH_MAX = 16

_TOO_DEEP = f"an operation nested deeper than {_DEPTH_MAX}"


class Application:
    """A canister's own part: all of it is given by name, most of it may be left out.

    Args:
        operations: ``NamedTuple`` classes with ``evaluate(self, journal)``, which changes rows by
            the journal or raises by ``refuse``. A class is named as the case of the Candid variant
            ``Operation``, its fields as those of the case's record; one without fields is a case
            of type ``null``. Principals are text here.
        kinds: The kinds of the application's rows.
        authority: By operation: which roles may send it, and how far each reaches.
        reads: The same, by the name of the application's own query method.
        views: Returns the views to keep, from the application once it has its rows.
        derived: Makes what the heap derives from the rows: the class, usually.
        roles: Roles beyond the fleet's, which admins may give.
        weights: By operation: how much of its rate it uses up; 1 where nothing is said.
        owner_key: A principal is an ``owner`` when a row's key is this and the principal.
        created_by: Returns who created such a row; needed for gateways that are not for all.
        open: Makes the first rows, at the first epoch; gets the canister's principal.
        journal: What ``evaluate`` gets: a ``RowJournal`` with the application's own words.
        figures: Returns figures for ``status``, beside the fleet's.

    Raises:
        ConfigurationError: If the names do not fit together.
    """

    def __init__(  # noqa: PLR0913 - everything a canister can have, all by name
        self,
        *,
        operations: Sequence[type[Any]],
        kinds: Sequence[RowKind],
        authority: Mapping[str, Mapping[str, str]],
        reads: Mapping[str, Mapping[str, str]] | None = None,
        views: Callable[[Application], Sequence[View[Any]]] | None = None,
        derived: Callable[[], Derived] | None = None,
        roles: Sequence[str] = (),
        weights: Mapping[str, int] | None = None,
        owner_key: str = "",
        created_by: Callable[[Any], str] | None = None,
        open: Callable[[Any, str], None] | None = None,  # noqa: A002 - read as `open=...`
        journal: Callable[..., RowJournal] = RowJournal,
        figures: Callable[[Application], Iterable[tuple[str, int]]] | None = None,
    ) -> None:
        self.operations: Mapping[str, type[Any]] = {kind.__name__: kind for kind in operations}
        self.kinds = RowKinds(kinds)
        self.authority = authority
        self.reads = dict(reads or {})
        self.roles = roles
        self.weights = dict(weights or {})
        self.owner_key = owner_key
        self._views = views
        self._derived = derived
        self._created_by = created_by
        self._open = open
        self._journal = journal
        self._figures = figures
        self.derived: Derived | None = None
        """What the heap derives from the rows; it comes with the table."""
        self.table: RowTable
        self.service: FleetService
        self._require_fitting_names(len(operations))

    def bind(
        self, service: FleetService, rows: StableMap[int, bytes], slots: StableMap[str, int]
    ) -> RowTable:
        """Become the application of this service, over these rows; return the table of rows."""
        self.service = service
        self.derived = None if self._derived is None else self._derived()
        self.table = RowTable(rows, slots, self.kinds, self.derived)
        return self.table

    def fresh(self) -> Application:
        """Return the same application for another canister: tests run several side by side."""
        other = object.__new__(type(self))
        other.__dict__.update(self.__dict__)
        for name in ("service", "table"):
            other.__dict__.pop(name, None)
        other.derived = None
        return other

    def views(self) -> Sequence[View[Any]]:
        """Return the application's views, none of them computed yet."""
        return () if self._views is None else self._views(self)

    def figures(self) -> Sequence[tuple[str, int]]:
        """Return the application's figures for ``status``."""
        return () if self._figures is None else list(self._figures(self))

    def weight(self, operation: str) -> int:
        """Return how much of a rate an operation uses up."""
        return self.weights.get(operation, 1)

    def owned_row(self, principal: str) -> Row | None:
        """Return the row that makes a principal an ``owner``, or ``None``."""
        return self.table.row_by_key(self.owner_key + principal) if self.owner_key else None

    def creator_in(self, row: Row | None) -> str | None:
        """Return who created this row of a principal, or ``None``."""
        return None if row is None or self._created_by is None else self._created_by(row)

    def as_of(self) -> LogHead:
        """Return the position that rows show now."""
        return self.service.member.head

    def forbids(self, caller: str, method: str, subject: str | None = None) -> str | None:
        """Return why the table of authority says no to one of ``reads``, or ``None``.

        Args:
            caller: Who asks, as text.
            method: The query method.
            subject: Whose row it asks for; none if it asks for nobody's in particular.
        """
        return self.service.forbids(caller, method, subject=subject)

    def readable(self) -> dict[str, str | None]:
        """Answer as a query's guard: rows, views and derived values are whole, or why not."""
        problem = self.service.readable_problem()
        return {"Ok": None} if problem is None else {"Err": problem}

    def rows_readable(self) -> dict[str, str | None]:
        """Answer as the guard of a query that reads rows alone: an upgrade leaves them whole."""
        return self.readable() if self.service.phase == "Seeding" else {"Ok": None}

    def begin(self, journal: RowJournal, canister: str) -> None:
        """Make the first rows."""
        if self._open is not None:
            self._open(journal, canister)

    def journal(
        self, caller: str, subject: str, now_ns: int, seq: int, operation: str = ""
    ) -> RowJournal:
        """Return a working copy for one change."""
        return self._journal(self.table, caller, subject, now_ns, seq, operation)

    def evaluate(
        self, caller: str, operation: PendingOperation[Any], now_ns: int, seq: int
    ) -> Effects:
        """Decide by the operation's own rule; read rows, change none.

        Raises:
            EncodingError: If a row has no room for what it should hold.
        """
        body = operation.body
        name = type(body).__name__
        journal = self._journal(self.table, caller, operation.subject, now_ns, seq, name)
        try:
            body.evaluate(journal)
        except RuleRefusedError as error:
            return Effects(refusal=(error.code, error.reason))
        return Effects(rows=journal.changes())

    def parse_operation(self, body: Mapping[str, Any]) -> Any:
        """Return the operation of a Candid variant, as Kybra decodes it: a dict with one case.

        Principals in it become their text, lists become tuples.

        Raises:
            EncodingError: If it has no case of these operations, or is nested too deeply.
        """
        name = next(iter(body), "")
        kind = self.operations.get(name)
        if kind is None or len(body) != 1:
            reason = f"no operation, or several: {', '.join(body)}"
            raise EncodingError(reason)
        fields = body[name]
        return kind(*[_plain(fields[field], _DEPTH_MAX) for field in kind._fields])

    def _require_fitting_names(self, count: int) -> None:
        names = set(self.operations)
        unknown = sorted({*self.authority, *self.weights} - names)
        silent = sorted(names - set(self.authority))
        if len(names) != count:
            reason = "two operations of one name"
        elif unknown:
            reason = f"no such operation: {', '.join(unknown)}"
        elif silent:
            reason = f"nothing says who may send {', '.join(silent)}"
        else:
            return
        raise ConfigurationError(reason)


def content_of(operation: Sequence[Any]) -> bytes:
    """Return canonical bytes of an operation: its name, then each field's value.

    A value is a tag of one byte and, with lengths and counts of four bytes: ``00`` nothing; ``01``
    a text as UTF-8, with its length; ``02`` a number of eight bytes; ``03`` any other integer, as
    its decimal text; ``04`` bytes, with their length; ``05`` a float of eight bytes; ``06`` a list,
    with its count; ``07`` a record, with its count, each field's name before its value, by name.
    A flag is the number 0 or 1.

    Raises:
        EncodingError: If a field is of another type, or nested too deeply.
    """
    name = utf8(type(operation).__name__)
    parts = [len(name).to_bytes(2, "big"), name]
    for field in operation:
        _add_value(parts, field, _DEPTH_MAX)
    return b"".join(parts)


def _add_value(parts: list[bytes], value: Any, depth: int) -> None:
    if depth == 0:
        raise EncodingError(_TOO_DEEP)
    if isinstance(value, str):
        data = utf8(value)
        parts.append(struct.pack(">BI", 1, len(data)))
        parts.append(data)
    elif isinstance(value, int):
        if 0 <= value < _U64_END:
            parts.append(struct.pack(">BQ", 2, value))
        else:
            _add_long(parts, 3, str(value).encode())
    elif value is None:
        parts.append(b"\x00")
    elif isinstance(value, bytes):
        _add_long(parts, 4, value)
    elif isinstance(value, float):
        parts.append(struct.pack(">Bd", 5, value))
    else:
        _add_many(parts, value, depth)


def _add_many(parts: list[bytes], value: Any, depth: int) -> None:
    if isinstance(value, (list, tuple)):
        items = cast("Sequence[Any]", value)
        parts.append(struct.pack(">BI", 6, len(items)))
        for item in items:
            _add_value(parts, item, depth - 1)
    elif isinstance(value, dict):
        fields = cast("Mapping[str, Any]", value)
        parts.append(struct.pack(">BI", 7, len(fields)))
        for name in sorted(fields):
            _add_long(parts, 1, utf8(name))
            _add_value(parts, fields[name], depth - 1)
    else:
        reason = f"an operation's field of type {type(value).__name__}"
        raise EncodingError(reason)


def _add_long(parts: list[bytes], tag: int, value: bytes) -> None:
    parts.append(struct.pack(">BI", tag, len(value)))
    parts.append(value)


def _plain(value: Any, depth: int) -> Any:
    """Return a value without Kybra's own types and without anything that could be changed."""
    if isinstance(value, (str, int, bytes, float)) or value is None:
        return value
    if depth == 0:
        raise EncodingError(_TOO_DEEP)
    if isinstance(value, (list, tuple)):
        items = cast("Sequence[Any]", value)
        return tuple(_plain(item, depth - 1) for item in items)
    if isinstance(value, dict):
        fields = cast("Mapping[str, Any]", value)
        return {name: _plain(fields[name], depth - 1) for name in fields}
    return principal_text(value)
