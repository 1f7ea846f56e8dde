"""One canister of a fleet: its role, its log, and everything of the library that hangs on them.

A main decides batches; a replica pulls; both append to the same kind of log, answer pulls, and
survive upgrades with the same small row of state. The canister's entry file turns its Candid
records into calls of this class and the results back into records.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Generic, NamedTuple, Protocol, TypeVar

from icfleet_canister.batch_applier import Application, BatchApplier, PendingOperation, Verdict
from icfleet_canister.change_log import RECORD_SIZE_MAX, ChangeLog
from icfleet_canister.fleet_errors import ConfigurationError, EncodingError
from icfleet_canister.id_window import IdWindow
from icfleet_canister.log_record import (
    APPLIED,
    HASH_SIZE,
    ChangeRecord,
    LogHead,
    RowChange,
    encode_record,
    operation_digest,
)
from icfleet_canister.rate_limiter import RateLimiter
from icfleet_canister.replication import (
    PullAnswer,
    PullRequest,
    ReplicaRegistry,
    Replication,
    answer_pull,
)
from icfleet_canister.stable_map import StableMap
from icfleet_canister.wire_codec import ByteReader, ByteWriter

__all__ = ["FIRST_EPOCH", "FleetMember", "MemberApplication", "MemberStores"]

#: Epoch of a main's first log. A replica is in epoch 0 until it has accepted a main.
FIRST_EPOCH = 1

#: Pages of the log read back in one slice after an upgrade: some 1,500 records.
RESTORE_PAGES_MAX = 50

_STATE_KEY = "member"
_STATE_VERSION = 1

Body = TypeVar("Body")


class MemberApplication(Application[Body], Protocol[Body]):
    """The rules and rows of a canister that can be main or replica."""

    def flush(self) -> None:
        """Write what ``apply`` changed to stable memory."""
        ...


class MemberStores(NamedTuple):
    """The stable maps of a member."""

    state: StableMap[str, bytes]
    """A few rows of up to 8,000 bytes."""
    pages: StableMap[int, bytes]
    """The log: see ``change_log.PAGE_SIZE_MAX``."""


class _State(NamedTuple):
    """What must survive an upgrade besides rows and log."""

    is_main: bool
    installer: str
    head: LogHead
    page_count: int = 0
    applied: int = 0
    refused: int = 0
    upstream: str = ""
    attached: Sequence[str] = ()


class FleetMember(Generic[Body]):
    """Main or replica, by state.

    ``start`` or ``resume`` must be called before anything else.

    Args:
        application: The rules and rows.
        stores: Stable memory.
        limiter: Rates, charged when a batch is decided.
        row_size_max: Longest row in bytes.
    """

    def __init__(
        self,
        application: MemberApplication[Body],
        stores: MemberStores,
        limiter: RateLimiter,
        *,
        row_size_max: int,
    ) -> None:
        self._application = application
        self._stores = stores
        self._limiter = limiter
        self._row_size_max = row_size_max
        self.is_main: bool
        self.installer: str
        self.applied: int
        """Records in the log whose operation was applied."""
        self.refused: int
        """Records in the log whose operation was refused."""
        self.log: ChangeLog
        self.replicas: ReplicaRegistry
        self.window: IdWindow
        self.applier: BatchApplier[Body]
        self.replication: Replication
        self._load(_State(is_main=False, installer="", head=LogHead.empty(0)))

    def start(self, *, is_main: bool, installer: str) -> None:
        """Begin an empty log, at installation.

        Args:
            is_main: A main opens ``FIRST_EPOCH``; a replica waits for its first upstream's epoch.
            installer: Principal that installed the canister, as text.
        """
        head = LogHead.empty(FIRST_EPOCH if is_main else 0)
        self._load(_State(is_main=is_main, installer=installer, head=head))
        self._save()

    def resume(self) -> None:
        """Go on after an upgrade; the window of ids is restored by ``restore_step``.

        Raises:
            ConfigurationError: If stable memory holds no state of a member.
            EncodingError: If it holds one that this version cannot read.
        """
        data = self._stores.state.get(_STATE_KEY)
        if data is None:
            reason = "no member state in stable memory: was the canister installed with it?"
            raise ConfigurationError(reason)
        self._load(_decode_state(data))

    @property
    def head(self) -> LogHead:
        """Where the log ends."""
        return self.log.head

    def submit(
        self,
        caller: str,
        operations: Sequence[PendingOperation[Body]],
        *,
        now_ns: int,
        is_exhausted: Callable[[], bool],
    ) -> list[Verdict]:
        """Decide a batch, on the main; see ``BatchApplier.apply``."""
        assert self.is_main, "a replica decides nothing"
        before = self.head.seq
        verdicts = self.applier.apply(caller, operations, now_ns=now_ns, is_exhausted=is_exhausted)
        if self.head.seq > before:
            fresh = {verdict.seq for verdict in verdicts if verdict.seq > before}
            applied = {verdict.seq for verdict in verdicts if verdict.case == "Applied"} & fresh
            self.applied += len(applied)
            self.refused += len(fresh) - len(applied)
            self._save()
        self._application.flush()
        return verdicts

    def record_change(self, subject: str, rows: Sequence[RowChange], now_ns: int) -> None:
        """Put a change that is not an operation into the log, on the main: a setting, a role.

        Its id is the eight bytes ``icfleet:`` and its position, its digest that of nothing.
        """
        assert self.is_main, "a replica decides nothing"
        seq = self.head.seq + 1
        record = ChangeRecord(
            seq=seq,
            subject=subject,
            operation_id=b"icfleet:" + seq.to_bytes(8, "big"),
            digest=operation_digest(now_ns, b""),
            created_at_ns=now_ns,
            result=APPLIED,
            rows=rows,
        )
        data = encode_record(record)
        assert len(data) <= RECORD_SIZE_MAX, len(data)
        self._application.apply(rows)
        self.log.append([data], now_ns)
        self.applied += 1
        self._application.flush()
        self._save()

    def answer_pull(self, position: LogHead, size_max: int) -> PullAnswer | None:
        """Return records for a replica, or ``None`` if its history is another."""
        return answer_pull(self.log, position, size_max)

    def pull_request(self, now_ns: int) -> PullRequest | None:
        """Return what to ask the upstream now, if anything."""
        return None if self.is_main else self.replication.request(now_ns)

    def receive_pull(self, answer: PullAnswer, now_ns: int) -> int:
        """Apply an upstream's answer; return the number of new records.

        Raises:
            BatchRefusedError: If the records do not continue this log; nothing was applied.
        """
        epoch = self.head.epoch
        records = self.replication.receive(answer, now_ns)
        applied = sum(1 for record in records if record.result == APPLIED)
        self.applied += applied
        self.refused += len(records) - applied
        if records or self.head.epoch != epoch:
            self._application.flush()
            self._save()
        return len(records)

    def follow(self, upstream: str) -> None:
        """Pull from this canister from now on."""
        self.replication.follow(upstream)
        self._save()

    def attach(self, canister: str) -> bool:
        """Let a canister pull; return whether there was room for it."""
        is_attached = self.replicas.attach(canister)
        self._save()
        return is_attached

    def detach(self, canister: str) -> None:
        """Let it pull no more."""
        self.replicas.detach(canister)
        self._save()

    def restore_step(self, now_ns: int) -> bool:
        """Read a slice of the log back into the window of ids; return whether it is complete."""
        if not self.window.is_complete:
            self.window.restore(self.log, now_ns, RESTORE_PAGES_MAX)
        return self.window.is_complete

    def _load(self, state: _State) -> None:
        self.is_main = state.is_main
        self.installer = state.installer
        self.applied = state.applied
        self.refused = state.refused
        self.log = ChangeLog(self._stores.pages, state.head, state.page_count)
        self.replicas = ReplicaRegistry(state.attached)
        # Only a main decides, so only a main must know which ids are used.
        restore_from_page = state.page_count - 1 if state.is_main else -1
        self.window = IdWindow(restore_from_page=restore_from_page)
        self.applier = BatchApplier(
            self._application,
            self.log,
            self.window,
            self._limiter,
            row_size_max=self._row_size_max,
        )
        self.replication = Replication(
            self.log,
            self._application.apply,
            row_size_max=self._row_size_max,
            upstream=state.upstream or None,
        )

    def _save(self) -> None:
        state = _State(
            is_main=self.is_main,
            installer=self.installer,
            head=self.log.head,
            page_count=self.log.page_count,
            applied=self.applied,
            refused=self.refused,
            upstream=self.replication.upstream or "",
            attached=[replica.canister for replica in self.replicas.all],
        )
        self._stores.state.insert(_STATE_KEY, _encode_state(state))


def _encode_state(state: _State) -> bytes:
    writer = ByteWriter().number(_STATE_VERSION, 1).number(int(state.is_main), 1)
    writer.text(state.installer).number(state.head.epoch, 8).number(state.head.seq, 8)
    writer.raw(state.head.chain_hash).number(state.page_count, 8)
    writer.number(state.applied, 8).number(state.refused, 8).text(state.upstream)
    writer.number(len(state.attached), 2)
    for canister in state.attached:
        writer.text(canister)
    return writer.finish()


def _decode_state(data: bytes) -> _State:
    reader = ByteReader(data)
    version = reader.number(1)
    if version != _STATE_VERSION:
        reason = f"member state of version {version}"
        raise EncodingError(reason)
    is_main = bool(reader.number(1))
    installer = reader.text()
    head = LogHead(reader.number(8), reader.number(8), reader.raw(HASH_SIZE))
    page_count, applied, refused = reader.number(8), reader.number(8), reader.number(8)
    upstream = reader.text()
    attached = [reader.text() for _ in range(reader.number(2))]
    reader.finish()
    return _State(is_main, installer, head, page_count, applied, refused, upstream, attached)
