"""The smallest application with everything in it: counters, and canisters of them in memory.

Anybody with a key may count for itself; ``Award`` needs the application's own role ``judge``.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from icfleet_canister.application import Application, content_of
from icfleet_canister.authority import ANY, OWN, SCOPE
from icfleet_canister.batch_applier import PendingOperation, Verdict
from icfleet_canister.fleet_admin import AdminOutcome
from icfleet_canister.fleet_errors import EncodingError
from icfleet_canister.fleet_service import FleetService, FleetStores
from icfleet_canister.log_record import LogHead
from icfleet_canister.replication import PageRequest
from icfleet_canister.row_journal import RowJournal, refuse
from icfleet_canister.row_kinds import Row, RowKind
from icfleet_canister.row_table import RowTable
from icfleet_canister.stable_map import MemoryMap
from icfleet_canister.view_cache import View
from icfleet_canister.wire_codec import ByteReader, ByteWriter
from icfleet_protocol.principal import Principal

__all__ = [
    "ADMIN",
    "MAIN",
    "NOW_NS",
    "SECOND_NS",
    "Add",
    "Award",
    "Counter",
    "Crash",
    "Reset",
    "TinyNode",
    "principal",
    "submitted",
    "tiny_application",
]

SECOND_NS = 1_000_000_000
NOW_NS = 1_800_000_000 * SECOND_NS
VALUE_MAX = 1_000_000


def principal(number: int) -> str:
    """One of many principals, as text."""
    return str(Principal(b"player" + number.to_bytes(4, "big") + b"\x01"))


ADMIN = str(Principal(b"admin\x01"))
MAIN = str(Principal(b"main\x01"))


class Counter(NamedTuple):
    """What somebody has counted."""

    owner: str
    created_by: str
    value: int


class Add(NamedTuple):
    """Count for the subject."""

    amount: int

    def evaluate(self, journal: RowJournal) -> None:
        """Refuses TooMuch."""
        slot = journal.slot_of("c:" + journal.subject)
        if slot is None:
            slot = journal.add(Counter(journal.subject, journal.caller, 0))
        row = journal.row(slot)
        assert isinstance(row, Counter), row
        if row.value + self.amount > VALUE_MAX:
            refuse("TooMuch", f"{row.value} + {self.amount}")
        journal.put(slot, row._replace(value=row.value + self.amount))


class Award(NamedTuple):
    """Count for anybody."""

    amount: int

    def evaluate(self, journal: RowJournal) -> None:
        """Refuses TooMuch."""
        Add(self.amount).evaluate(journal)


class Reset(NamedTuple):
    """Begin anew."""

    def evaluate(self, journal: RowJournal) -> None:
        """Refuses UnknownCounter."""
        slot = journal.slot_of("c:" + journal.subject)
        if slot is None:
            refuse("UnknownCounter", f"{journal.subject} has none")
        row = journal.row(slot)
        assert isinstance(row, Counter), row
        journal.put(slot, row._replace(value=0))


class Crash(NamedTuple):
    """A rule with a bug."""

    note: str

    def evaluate(self, journal: RowJournal) -> None:
        """Raise."""
        raise ZeroDivisionError(journal.subject)


class Total:
    """The sum of all counters."""

    def __init__(self) -> None:
        self.value = 0

    def reset(self) -> None:
        """Forget everything."""
        self.value = 0

    def fold(self, slot: int, before: Row | None, after: Row | None) -> Iterable[str]:
        """Count a row in, and what it was before out."""
        del slot
        change = _value(after) - _value(before)
        self.value += change
        return ["total"] if change else []

    def dump(self) -> bytes:
        """Return the sum."""
        return self.value.to_bytes(8, "big")

    def load(self, data: bytes, table: RowTable) -> None:
        """Take it back."""
        del table
        if len(data) != 8:
            reason = f"a total of {len(data)} bytes"
            raise EncodingError(reason)
        self.value = int.from_bytes(data, "big")


def _value(row: Row | None) -> int:
    return row.value if isinstance(row, Counter) else 0


def _write(writer: ByteWriter, row: Counter) -> None:
    writer.text(row.owner).text(row.created_by).number(row.value, 8)


def _read(reader: ByteReader) -> Counter:
    return Counter(reader.text(), reader.text(), reader.number(8))


def _key(row: Counter) -> str:
    return "c:" + row.owner


def _creator(row: Counter) -> str:
    return row.created_by


def _total(app: Application) -> int:
    assert isinstance(app.derived, Total)
    return app.derived.value


def _views(app: Application) -> Sequence[View[Any]]:
    return [View("total", lambda: b"%d" % _total(app), tags=["total"])]


def _figures(app: Application) -> Iterable[tuple[str, int]]:
    return [("total", _total(app))]


def tiny_application(**changes: Any) -> Application:
    """A counter for everybody; ``changes`` replace arguments of ``Application``."""
    arguments: dict[str, Any] = {
        "operations": [Add, Award, Reset, Crash],
        "kinds": [RowKind(16, Counter, _write, {1: _read}, key=_key)],
        "authority": {
            "Add": {"stranger": OWN, "owner": OWN, "gateway": SCOPE},
            "Award": {"judge": ANY},
            "Reset": {"owner": OWN, "gateway": SCOPE},
            "Crash": {"owner": OWN},
        },
        "reads": {"value": {"stranger": OWN, "owner": OWN, "gateway": SCOPE, "admin": ANY}},
        "views": _views,
        "derived": Total,
        "roles": ["judge"],
        "weights": {"Reset": 5},
        "owner_key": "c:",
        "created_by": _creator,
        "figures": _figures,
    }
    return Application(**{**arguments, **changes})


def submitted(
    number: int, subject: str, body: Any, created_at_ns: int = NOW_NS
) -> PendingOperation[Any]:
    """An operation as ``submit`` gets it."""
    operation_id = number.to_bytes(16, "big")
    return PendingOperation(operation_id, subject, created_at_ns, body, content_of(body))


def _stores() -> FleetStores:
    return FleetStores(
        rows=MemoryMap(1_000), slots=MemoryMap(), state=MemoryMap(7_984), pages=MemoryMap(7_984)
    )


@dataclass
class TinyNode:
    """A canister of counters: stable maps that stay, and a heap that an upgrade replaces."""

    canister: str
    stores: FleetStores = field(default_factory=_stores)
    changes: dict[str, Any] = field(default_factory=dict[str, Any])

    def __post_init__(self) -> None:
        self.service = self._service()
        self._number = 1_000_000

    @classmethod
    def main(cls, now_ns: int = NOW_NS, epoch: int = 1, **changes: Any) -> TinyNode:
        """A main, installed by ``ADMIN``, whose first epoch is open."""
        node = cls.fresh(MAIN, now_ns, is_main=True, **changes)
        outcome = node.service.promote(ADMIN, 0, epoch, now_ns)
        assert outcome == AdminOutcome("Done"), outcome
        return node

    @classmethod
    def fresh(
        cls, canister: str, now_ns: int = NOW_NS, *, is_main: bool, **changes: Any
    ) -> TinyNode:
        """A canister just installed by ``ADMIN``."""
        node = cls(canister, changes=changes)
        node.service.start(is_main=is_main, installer=ADMIN, canister=canister, now_ns=now_ns)
        return node

    @classmethod
    def replica(cls, number: int, upstream: TinyNode, now_ns: int = NOW_NS) -> TinyNode:
        """A replica that follows ``upstream``, attached there; nothing is pulled yet."""
        node = cls.fresh(principal(900_000 + number), now_ns, is_main=False)
        assert upstream.service.attach(ADMIN, node.canister).case == "Done"
        assert node.service.follow(ADMIN, upstream.canister).case == "Done"
        return node

    @property
    def head(self) -> LogHead:
        """Where its log ends."""
        return self.service.member.head

    @property
    def figures(self) -> dict[str, int]:
        """What ``status`` counts."""
        return dict(self.service.figures())

    @property
    def counters(self) -> dict[str, int]:
        """All counters, by owner."""
        rows = self.service.table.rows(0, 1_000_000)
        return {row.owner: row.value for _, row in rows if isinstance(row, Counter)}

    def upgrade(self, now_ns: int = NOW_NS, *, suspend: bool = True, restore: bool = True) -> None:
        """Lose the heap; bring it back unless told otherwise."""
        if suspend:
            self.service.suspend(now_ns)
        self.service = self._service()
        self.service.resume(self.canister, now_ns)
        if restore:
            self.restore(now_ns)

    def restore(self, now_ns: int = NOW_NS) -> None:
        """Bring the heap back."""
        for _ in range(1_000):
            if not self.service.needs_restoring:
                return
            self.service.restore_step(now_ns)
        raise AssertionError

    def submit(
        self, caller: str, *operations: PendingOperation[Any], now_ns: int = NOW_NS
    ) -> Sequence[Verdict]:
        """Send a batch to a main."""
        outcome = self.service.submit(caller, operations, now_ns=now_ns, is_exhausted=lambda: False)
        assert outcome.case == "Done", outcome
        return outcome.verdicts

    def do(self, caller: str, subject: str, body: Any, now_ns: int = NOW_NS) -> Verdict:
        """Send one operation under a fresh id."""
        self._number += 1
        operation = submitted(self._number, subject, body, now_ns)
        return self.submit(caller, operation, now_ns=now_ns)[0]

    def pull(self, upstream: TinyNode, now_ns: int = NOW_NS) -> None:
        """Ask the upstream once, and take in its answer."""
        service = self.service
        request = service.member.pull_request(now_ns)
        assert request is not None, "nothing to ask now"
        if isinstance(request, PageRequest):
            page = upstream.service.state_page(
                self.canister, request.cursor, request.size_max, now_ns
            )
            service.receive_page(request, page, now_ns)
        else:
            answer = upstream.service.log_since(
                self.canister, request.head, request.size_max, now_ns
            )
            service.receive_log(request, answer, now_ns)

    def catch_up(self, upstream: TinyNode, now_ns: int = NOW_NS) -> None:
        """Pull until both are at one position and everything is whole."""
        for _ in range(1_000):
            if self.head == upstream.head and self.service.phase == "Serving":
                return
            self.pull(upstream, now_ns)
            self.restore(now_ns)
        raise AssertionError(self.head, upstream.head, self.service.member.replication.error)

    def _service(self) -> FleetService:
        return FleetService(self.stores, tiny_application(**self.changes), row_size_max=1_000)
