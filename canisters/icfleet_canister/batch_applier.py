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
the first one written. So an operation that fails leaves nothing behind and its neighbours alone,
whatever the rules raise.
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

#: At some 2.6 M instructions each, as the game's transfers take, 500 operations are a thirtieth of
#: what one update may use: that leaves rules room to do ten times as much.
OPERATIONS_MAX = 500

#: Bytes of an argument; the IC refuses an ingress message above 2 MiB without saying why.
BATCH_SIZE_MAX = 1_500_000

#: Random ids of 16 bytes never meet; 32 have room for a hash.
ID_SIZE_MIN = 16
ID_SIZE_MAX = 32

#: Answer of a window that is still being restored after an upgrade.
RESTORE_RETRY_NS = 1_000_000_000

#: Codes of ``Invalid``.
ID_SIZE = "IdSize"
RECORD_TOO_LARGE = "RecordTooLarge"
ROW_TOO_LARGE = "RowTooLarge"
RULES_FAILED = "RulesFailed"
ENCODING = "Encoding"

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
    """For programs: Refused, Invalid."""
    reason: str = ""
    """For people: Refused, Forbidden, Invalid."""
    retry_after_ns: int = 0
    """When to send it again: RateLimited, Busy."""


class Effects(NamedTuple):
    """What the rules decided: rows to change, or a refusal as code and reason."""

    rows: Sequence[RowChange] = ()
    refusal: tuple[str, str] | None = None


@dataclass
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

    def evaluate(
        self, caller: str, operation: PendingOperation[Body], now_ns: int, seq: int
    ) -> Effects:
        """Decide; read rows, change none. If it counts, its record will be number ``seq``."""
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


class _RulesFailedError(Exception):
    """What the application raised, by the name of its class; this operation goes no further."""


class _Batch:
    """One batch on its way into the log."""

    def __init__(self, caller: str, first_seq: int, now_ns: int, busy_ns: int) -> None:
        self.caller = caller
        self.first_seq = first_seq
        self.now_ns = now_ns
        self.busy_ns = busy_ns
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
        self.applied = 0
        """Operations applied, since the heap was made; so are the other figures."""
        self.refused = 0
        """Operations that the rules refused."""
        self.repeated = 0
        """Operations that got their first answer again."""
        self.limited = 0
        """Operations whose caller or subject was out of allowance."""
        self.deferred = 0
        """Operations put off, because the message was used up or an earlier one was put off."""
        self.busy = 0
        """Operations put off, because it could not be told yet whether they are new."""
        self.rejected = 0
        """Operations answered for good without being decided: forbidden, late, not valid."""
        self.failures = 0
        """Operations on which the rules raised."""

    def apply(
        self,
        caller: str,
        operations: Sequence[PendingOperation[Body]],
        *,
        now_ns: int,
        is_exhausted: Callable[[], bool],
        busy_ns: int = 0,
    ) -> list[Verdict]:
        """Decide every operation, in order, and append what was decided to the log.

        Args:
            caller: Who sent the batch, as text.
            operations: At most as many as ``batch_problem`` lets pass.
            now_ns: Time of this message.
            is_exhausted: Whether the message should stop deciding; asked before each operation.
            busy_ns: If not 0, nothing is decided: whatever the window does not know gets ``Busy``.
        """
        batch = _Batch(caller, self._log.head.seq + 1, now_ns, busy_ns)
        verdicts = [self._verdict(operation, batch, is_exhausted) for operation in operations]
        self._log.append(batch.records, now_ns)
        return verdicts

    def _verdict(
        self, operation: PendingOperation[Body], batch: _Batch, is_exhausted: Callable[[], bool]
    ) -> Verdict:
        next_seq = batch.next_seq
        try:
            verdict = self._settled(operation, batch) or self._postponed(
                operation, batch, is_exhausted
            )
            verdict = verdict or self._decide(operation, batch)
        except _RulesFailedError as failed:
            self.failures += 1
            verdict = Verdict("Invalid", code=RULES_FAILED, reason=f"the rules failed: {failed}")
        self._count(verdict, next_seq)
        return verdict

    def _settled(self, operation: PendingOperation[Body], batch: _Batch) -> Verdict | None:
        """Answer what needs no decision: the same answer would come again.

        An id that the window does not have, but might have had, is left to ``_postponed``: whether
        it was used is not known, so nothing final may be said of it, except that its time is over.
        """
        size = len(operation.operation_id)
        if not ID_SIZE_MIN <= size <= ID_SIZE_MAX:
            reason = f"id of {size} bytes, {ID_SIZE_MIN} to {ID_SIZE_MAX} allowed"
            return Verdict("Invalid", code=ID_SIZE, reason=reason)
        seq = self._window.seq_of(operation.subject, operation.operation_id)
        if seq is not None:
            repeated = self._repeat(operation, seq, batch)
            return repeated or self._forbidden(operation, batch) or Verdict("IdReused")
        if self._window.knows(operation.created_at_ns) and not batch.busy_ns:
            return self._forbidden(operation, batch) or self._untimely(operation, batch)
        if batch.busy_ns or not self._window.is_complete:
            return None
        return self._untimely(operation, batch)

    def _forbidden(self, operation: PendingOperation[Body], batch: _Batch) -> Verdict | None:
        try:
            reason = self._application.forbids(batch.caller, operation)
        except Exception as error:
            raise _RulesFailedError(type(error).__name__) from error
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
        if batch.busy_ns:
            return Verdict("Busy", retry_after_ns=batch.busy_ns)
        if operation.subject in batch.blocked:
            return Verdict("Deferred")
        verdict = Verdict("Deferred") if is_exhausted() else self._busy(operation, batch)
        if verdict is None:
            wait_ns = self._charge(operation, batch)
            if not wait_ns:
                return None
            verdict = Verdict("RateLimited", retry_after_ns=wait_ns)
        batch.blocked.add(operation.subject)
        return verdict

    def _busy(self, operation: PendingOperation[Body], batch: _Batch) -> Verdict | None:
        window = self._window
        if window.knows(operation.created_at_ns) and window.has_room:
            return None
        if not window.is_complete:
            return Verdict("Busy", retry_after_ns=RESTORE_RETRY_NS)
        if not window.has_room:
            return Verdict("Busy", retry_after_ns=window.retry_after_ns(batch.now_ns))
        left_ns = window.horizon_ns - batch.now_ns
        return Verdict("Busy", retry_after_ns=max(left_ns, RESTORE_RETRY_NS))

    def _charge(self, operation: PendingOperation[Body], batch: _Batch) -> int:
        try:
            charges = self._application.charges(batch.caller, operation)
            return self._limiter.admit(charges, batch.now_ns)
        except Exception as error:
            raise _RulesFailedError(type(error).__name__) from error

    def _decide(self, operation: PendingOperation[Body], batch: _Batch) -> Verdict:
        seq = batch.next_seq
        try:
            effects = self._application.evaluate(batch.caller, operation, batch.now_ns, seq)
            data = encode_record(_record(operation, effects, seq))
        except EncodingError as error:
            return Verdict("Invalid", code=ENCODING, reason=str(error))
        except Exception as error:
            raise _RulesFailedError(type(error).__name__) from error
        problem = self._size_problem(effects, data)
        if problem is not None:
            return problem
        self._application.apply(effects.rows)
        batch.records.append(data)
        self._window.remember(operation.subject, operation.operation_id, seq, batch.now_ns)
        return _verdict(seq, effects.refusal)

    def _size_problem(self, effects: Effects, data: bytes) -> Verdict | None:
        if len(data) > RECORD_SIZE_MAX:
            reason = f"record of {len(data)} bytes, at most {RECORD_SIZE_MAX} allowed"
            return Verdict("Invalid", code=RECORD_TOO_LARGE, reason=reason)
        size_max = self._row_size_max
        for _, value in effects.rows:
            if value is not None and len(value) > size_max:
                reason = f"row of {len(value)} bytes, at most {size_max} allowed"
                return Verdict("Invalid", code=ROW_TOO_LARGE, reason=reason)
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

    def _count(self, verdict: Verdict, next_seq: int) -> None:
        case = verdict.case
        if 0 < verdict.seq < next_seq:
            self.repeated += 1
        elif case == "Applied":
            self.applied += 1
        elif case == "Refused":
            self.refused += 1
        elif case == "RateLimited":
            self.limited += 1
        elif case == "Deferred":
            self.deferred += 1
        elif case == "Busy":
            self.busy += 1
        else:
            self.rejected += 1


def _record(operation: PendingOperation[Body], effects: Effects, seq: int) -> ChangeRecord:
    rows, refusal = effects
    created_at_ns = operation.created_at_ns
    return ChangeRecord(
        seq,
        operation.subject,
        operation.operation_id,
        operation_digest(created_at_ns, operation.content),
        created_at_ns,
        APPLIED if refusal is None else encode_refusal(*refusal),
        rows,
    )


def _verdict(seq: int, refusal: tuple[str, str] | None) -> Verdict:
    if refusal is None:
        return Verdict("Applied", seq=seq)
    code, reason = refusal
    return Verdict("Refused", seq=seq, code=code, reason=reason)
