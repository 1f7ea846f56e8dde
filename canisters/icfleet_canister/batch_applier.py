"""Apply a batch of operations in order, each exactly once, each wholly or not at all.

An operation is known by its subject and id. What the rules decided about it, an effect or a
refusal, is in the log for good and in the window of ids while it can be repeated: a repetition
gets the first answer again, and another operation under the same id gets ``IdReused``.
The window is asked before rights and times are: what is decided stays decided when the caller's
rights are gone, and a stranger who does not know the exact content learns nothing about it.

What is not decided is not remembered: ``RateLimited``, ``Busy`` and ``Deferred`` say "send it
again". Later operations of the same subject in the batch are then deferred too, so that nobody's
operations change their order.

An operation's effects are computed first, as row changes; their sizes are checked; only then is
the first one written. So an operation that fails leaves nothing behind and its neighbours alone.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Generic, Literal, NamedTuple, Protocol, TypeVar

from icfleet_canister.change_log import RECORD_SIZE_MAX, ChangeLog
from icfleet_canister.fleet_errors import EncodingError
from icfleet_canister.id_window import CREATED_AHEAD_MAX_NS, CREATED_BEHIND_MAX_NS, IdWindow
from icfleet_canister.log_record import (
    APPLIED,
    ChangeRecord,
    RowChange,
    decode_record,
    decode_refusal,
    encode_record,
    encode_refusal,
    operation_digest,
)
from icfleet_canister.rate_limiter import Charge, RateLimiter

__all__ = [
    "BATCH_SIZE_MAX",
    "OPERATIONS_MAX",
    "Application",
    "BatchApplier",
    "Effects",
    "PendingOperation",
    "Verdict",
    "batch_problem",
]

#: At some 10 M instructions each, 500 operations are an eighth of what one update may use.
OPERATIONS_MAX = 500

#: Bytes of an argument; the IC refuses an ingress message above 2 MiB without saying why.
BATCH_SIZE_MAX = 1_500_000

#: Random ids of 16 bytes never meet; 32 have room for a hash.
ID_SIZE_MIN = 16
ID_SIZE_MAX = 32

#: Answer of a window that is still being restored after an upgrade.
RESTORE_RETRY_NS = 1_000_000_000

Body = TypeVar("Body")

Case = Literal[
    "Applied",
    "Refused",
    "Forbidden",
    "Expired",
    "InFuture",
    "IdReused",
    "Invalid",
    "RateLimited",
    "Deferred",
    "Busy",
]


class Verdict(NamedTuple):
    """What became of one operation; the case says which of the other fields mean something."""

    case: Case
    seq: int = 0
    """Position of the record: Applied, Refused."""
    code: str = ""
    """For programs: Refused."""
    reason: str = ""
    """For people: Refused, Forbidden, Invalid."""
    retry_after_ns: int = 0
    """When to send it again: RateLimited, Busy."""


class Effects(NamedTuple):
    """What the rules decided: rows to change, or a refusal as code and reason."""

    rows: Sequence[RowChange] = ()
    refusal: tuple[str, str] | None = None


@dataclass(frozen=True)
class PendingOperation(Generic[Body]):
    """One operation of a batch."""

    operation_id: bytes
    subject: str
    """The principal it is about, as text."""
    created_at_ns: int
    body: Body
    content: bytes
    """Canonical bytes of the body: equal for equal operations, different for different ones."""


class Application(Protocol[Body]):
    """A canister's own rules and rows."""

    def forbids(self, caller: str, operation: PendingOperation[Body]) -> str | None:
        """Return why the caller may not do this, or ``None`` when it may."""
        ...

    def charges(self, caller: str, operation: PendingOperation[Body]) -> Sequence[Charge]:
        """Return who pays how much of its rate, no key twice."""
        ...

    def evaluate(self, caller: str, operation: PendingOperation[Body], now_ns: int) -> Effects:
        """Decide; read rows, change none."""
        ...

    def apply(self, changes: Sequence[RowChange]) -> None:
        """Change rows and whatever is derived from them; must not fail."""
        ...


def batch_problem(count: int, size: int) -> str | None:
    """Return why a batch of ``count`` operations in ``size`` bytes is too large, or ``None``."""
    if count > OPERATIONS_MAX:
        return f"{count} operations, at most {OPERATIONS_MAX} allowed"
    if size > BATCH_SIZE_MAX:
        return f"{size} bytes, at most {BATCH_SIZE_MAX} allowed"
    return None


class _Batch:
    """One batch on its way into the log."""

    def __init__(self, caller: str, first_seq: int, now_ns: int) -> None:
        self.caller = caller
        self.first_seq = first_seq
        self.now_ns = now_ns
        self.records: list[bytes] = []
        self.blocked: set[str] = set()

    @property
    def next_seq(self) -> int:
        return self.first_seq + len(self.records)


class BatchApplier(Generic[Body]):
    """Turn batches into records.

    Args:
        application: The rules.
        log: Where records go.
        window: The used ids.
        limiter: Charged for each operation that is about to be decided; repetitions are free.
        row_size_max: Longest row in bytes, as the stable map has it.
    """

    def __init__(
        self,
        application: Application[Body],
        log: ChangeLog,
        window: IdWindow,
        limiter: RateLimiter,
        *,
        row_size_max: int,
    ) -> None:
        self._application = application
        self._log = log
        self._window = window
        self._limiter = limiter
        self._row_size_max = row_size_max
        self.failures = 0
        """Operations on which the rules raised, since the heap was made."""

    def apply(
        self,
        caller: str,
        operations: Sequence[PendingOperation[Body]],
        *,
        now_ns: int,
        is_exhausted: Callable[[], bool],
    ) -> list[Verdict]:
        """Decide every operation, in order, and append what was decided to the log.

        Args:
            caller: Who sent the batch, as text.
            operations: At most as many as ``batch_problem`` lets pass.
            now_ns: Time of this message.
            is_exhausted: Whether the message should stop deciding; asked before each operation.
        """
        batch = _Batch(caller, self._log.head.seq + 1, now_ns)
        verdicts: list[Verdict] = []
        for operation in operations:
            verdict = self._settled(operation, batch) or self._postponed(
                operation, batch, is_exhausted
            )
            verdicts.append(verdict or self._decide(operation, batch))
        self._log.append(batch.records, now_ns)
        return verdicts

    def _settled(self, operation: PendingOperation[Body], batch: _Batch) -> Verdict | None:
        """Answer what needs no decision: the same answer would come again.

        An id that an incomplete window does not have is left to ``_postponed``: whether it was
        used is not known yet, so nothing final may be said of it.
        """
        if not ID_SIZE_MIN <= len(operation.operation_id) <= ID_SIZE_MAX:
            size = len(operation.operation_id)
            reason = f"id of {size} bytes, {ID_SIZE_MIN} to {ID_SIZE_MAX} allowed"
            return Verdict("Invalid", reason=reason)
        seq = self._window.seq_of(operation.subject, operation.operation_id)
        if seq is not None:
            repeated = self._repeat(operation, seq, batch)
            return repeated or self._forbidden(operation, batch) or Verdict("IdReused")
        if not self._window.is_complete:
            return None
        return self._forbidden(operation, batch) or self._untimely(operation, batch)

    def _forbidden(self, operation: PendingOperation[Body], batch: _Batch) -> Verdict | None:
        reason = self._application.forbids(batch.caller, operation)
        return None if reason is None else Verdict("Forbidden", reason=reason)

    def _untimely(self, operation: PendingOperation[Body], batch: _Batch) -> Verdict | None:
        if operation.created_at_ns < batch.now_ns - CREATED_BEHIND_MAX_NS:
            return Verdict("Expired")
        if operation.created_at_ns > batch.now_ns + CREATED_AHEAD_MAX_NS:
            return Verdict("InFuture")
        return None

    def _postponed(
        self,
        operation: PendingOperation[Body],
        batch: _Batch,
        is_exhausted: Callable[[], bool],
    ) -> Verdict | None:
        """Answer what cannot be decided now, and hold back the subject's later operations."""
        if operation.subject in batch.blocked:
            return Verdict("Deferred")
        verdict = None
        if is_exhausted():
            verdict = Verdict("Deferred")
        elif not self._window.is_complete:
            verdict = Verdict("Busy", retry_after_ns=RESTORE_RETRY_NS)
        elif not self._window.has_room:
            verdict = Verdict("Busy", retry_after_ns=self._window.retry_after_ns(batch.now_ns))
        else:
            charges = self._application.charges(batch.caller, operation)
            wait_ns = self._limiter.admit(charges, batch.now_ns)
            if wait_ns:
                verdict = Verdict("RateLimited", retry_after_ns=wait_ns)
        if verdict is not None:
            batch.blocked.add(operation.subject)
        return verdict

    def _decide(self, operation: PendingOperation[Body], batch: _Batch) -> Verdict:
        try:
            effects = self._application.evaluate(batch.caller, operation, batch.now_ns)
            data = encode_record(_record(operation, effects, batch.next_seq))
        except EncodingError as error:
            return Verdict("Invalid", reason=str(error))
        except Exception as error:  # noqa: BLE001 - a bug in one rule must not stop the batch
            self.failures += 1
            return Verdict("Invalid", reason=f"the rules failed: {type(error).__name__}")
        problem = self._size_problem(effects, data)
        if problem is not None:
            return Verdict("Invalid", reason=problem)
        seq = batch.next_seq
        self._application.apply(effects.rows)
        batch.records.append(data)
        self._window.remember(operation.subject, operation.operation_id, seq, batch.now_ns)
        return _verdict(seq, effects.refusal)

    def _size_problem(self, effects: Effects, data: bytes) -> str | None:
        if len(data) > RECORD_SIZE_MAX:
            return f"record of {len(data)} bytes, at most {RECORD_SIZE_MAX} allowed"
        for row in effects.rows:
            if row.value is not None and len(row.value) > self._row_size_max:
                return f"row of {len(row.value)} bytes, at most {self._row_size_max} allowed"
        return None

    def _repeat(self, operation: PendingOperation[Body], seq: int, batch: _Batch) -> Verdict | None:
        """Return the remembered verdict, or ``None`` if it is of another content or time."""
        if seq >= batch.first_seq:
            record = decode_record(batch.records[seq - batch.first_seq])
        else:
            record = self._log.record(seq)
        if record.digest != operation_digest(operation.created_at_ns, operation.content):
            return None
        return _verdict(seq, decode_refusal(record.result))


def _record(operation: PendingOperation[Body], effects: Effects, seq: int) -> ChangeRecord:
    return ChangeRecord(
        seq=seq,
        subject=operation.subject,
        operation_id=operation.operation_id,
        digest=operation_digest(operation.created_at_ns, operation.content),
        created_at_ns=operation.created_at_ns,
        result=APPLIED if effects.refusal is None else encode_refusal(*effects.refusal),
        rows=effects.rows,
    )


def _verdict(seq: int, refusal: tuple[str, str] | None) -> Verdict:
    if refusal is None:
        return Verdict("Applied", seq=seq)
    code, reason = refusal
    return Verdict("Refused", seq=seq, code=code, reason=reason)
