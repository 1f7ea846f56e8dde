"""Which operation ids have been used, for as long as they could be used again.

An operation is accepted from 20 minutes before to 5 minutes after its ``created_at``, so one that
was applied now can come again for 25 minutes at most. The window holds each id exactly that long
and never drops one earlier: when it is full, new operations must wait (``has_room``).

So until 20 minutes after its ``created_at`` a repetition is recognised, whenever the operation
was applied. Later it is as long as the id is still held, and ``Expired`` then.

The window lives in the heap. What it holds is in the log too, and ``restore`` reads it back from
there after an upgrade, newest page first, a bounded number of pages at a time.
"""

from __future__ import annotations

from collections import deque

from icfleet_canister.change_log import ChangeLog
from icfleet_canister.log_record import decode_record

__all__ = [
    "CREATED_AHEAD_MAX_NS",
    "CREATED_BEHIND_MAX_NS",
    "ID_MEMORY_NS",
    "WINDOW_CAPACITY",
    "IdWindow",
]

#: An agent may retry one signed message for 5 minutes and a router a batch for longer.
CREATED_BEHIND_MAX_NS = 20 * 60 * 1_000_000_000

#: The IC accepts messages that expire up to 5 minutes ahead; clocks may be as wrong as that.
CREATED_AHEAD_MAX_NS = 5 * 60 * 1_000_000_000

#: Longest time between an operation's application and its last possible repetition.
ID_MEMORY_NS = CREATED_BEHIND_MAX_NS + CREATED_AHEAD_MAX_NS

#: About 130 operations a second for 25 minutes, at some 300 bytes of heap each.
WINDOW_CAPACITY = 200_000


class _Cohort:
    """Ids applied at one time; forgotten together."""

    __slots__ = ("forget_at_ns", "keys")

    def __init__(self, forget_at_ns: int) -> None:
        self.forget_at_ns = forget_at_ns
        self.keys: list[bytes] = []


class IdWindow:
    """The used ids, each with the position of its record.

    Args:
        capacity: Ids held at most.
        restore_from_page: Page at which ``restore`` starts, the log's last one; -1 when the log
            is empty, so that nothing is to restore.
    """

    def __init__(self, capacity: int = WINDOW_CAPACITY, *, restore_from_page: int = -1) -> None:
        self._capacity = capacity
        self._seqs: dict[bytes, int] = {}
        self._cohorts: deque[_Cohort] = deque()
        self._restore_page = restore_from_page

    def __len__(self) -> int:
        return len(self._seqs)

    @property
    def is_complete(self) -> bool:
        """Whether every unexpired id is known; before that no operation may be applied."""
        return self._restore_page < 0

    @property
    def has_room(self) -> bool:
        """Whether one more id can be remembered."""
        return len(self._seqs) < self._capacity

    def seq_of(self, subject: str, operation_id: bytes) -> int | None:
        """Return the position of the operation's record, or ``None`` for a fresh id."""
        return self._seqs.get(_key(subject, operation_id))

    def remember(self, subject: str, operation_id: bytes, seq: int, now_ns: int) -> None:
        """Take in an id that was applied now; there must be room."""
        assert self.has_room, self._capacity
        forget_at_ns = now_ns + ID_MEMORY_NS
        if not self._cohorts or self._cohorts[-1].forget_at_ns != forget_at_ns:
            self._cohorts.append(_Cohort(forget_at_ns))
        key = _key(subject, operation_id)
        self._cohorts[-1].keys.append(key)
        self._seqs[key] = seq

    def retry_after_ns(self, now_ns: int) -> int:
        """Return when the oldest ids go, in nanoseconds from now; at least one second."""
        oldest_ns = self._cohorts[0].forget_at_ns if self._cohorts else now_ns
        return max(oldest_ns - now_ns, 1_000_000_000)

    def restore(self, log: ChangeLog, now_ns: int, pages_max: int) -> int:
        """Read up to ``pages_max`` pages, newest first; return how many were read."""
        read = 0
        while read < pages_max and self._restore_page >= 0:
            page = log.page(self._restore_page)
            read += 1
            forget_at_ns = page.written_at_ns + ID_MEMORY_NS
            if forget_at_ns < now_ns:
                self._restore_page = -1
                break
            cohort = _Cohort(forget_at_ns)
            for data in page.records:
                record = decode_record(data)
                key = _key(record.subject, record.operation_id)
                cohort.keys.append(key)
                self._seqs[key] = record.seq
            self._cohorts.appendleft(cohort)
            self._restore_page -= 1
        return read

    def next_sweep_ns(self) -> int | None:
        """Return when the next id may go, or ``None`` when the window is empty."""
        return self._cohorts[0].forget_at_ns if self._cohorts else None

    def sweep(self, now_ns: int, work_max: int) -> int:
        """Forget up to ``work_max`` expired ids; return how many were looked at."""
        done = 0
        while done < work_max and self._cohorts and self._cohorts[0].forget_at_ns < now_ns:
            keys = self._cohorts[0].keys
            while keys and done < work_max:
                self._seqs.pop(keys.pop(), None)
                done += 1
            if not keys:
                self._cohorts.popleft()
        return done


def _key(subject: str, operation_id: bytes) -> bytes:
    # No principal's text contains a zero, so the pair can be read back: no two pairs share a key.
    return subject.encode() + b"\x00" + operation_id
