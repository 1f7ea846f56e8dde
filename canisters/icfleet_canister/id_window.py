"""Which operation ids have been used, for as long as they could be used again.

An operation is accepted from 20 minutes before to 5 minutes after its ``created_at``, so one that
was applied now can come again for 25 minutes at most. The window holds each id exactly that long
and never drops one earlier: when it is full, new operations must wait (``has_room``).

So until 20 minutes after its ``created_at`` a repetition is recognised, whenever the operation
was applied. Later it is as long as the id is still held, and ``Expired`` then.

The window lives in the heap. What it holds is in the log too, and ``restore`` reads it back from
there after an upgrade or a promotion, newest page first, a bounded number of pages at a time. What
a main decided before a replica took over its rows is in no log of that replica: ids from before
that ``horizon_ns`` are never taken to be fresh (``knows``).
"""

from __future__ import annotations

from collections import deque

from icfleet_canister.change_log import ChangeLog
from icfleet_canister.log_record import (
    CREATED_AHEAD_MAX_NS,
    CREATED_BEHIND_MAX_NS,
    ID_MEMORY_NS,
    is_library_id,
    record_id,
)

__all__ = [
    "CREATED_AHEAD_MAX_NS",
    "CREATED_BEHIND_MAX_NS",
    "ID_MEMORY_NS",
    "WINDOW_CAPACITY",
    "IdWindow",
]

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
    """

    def __init__(self, capacity: int = WINDOW_CAPACITY) -> None:
        self._capacity = capacity
        self._seqs: dict[bytes, int] = {}
        self._cohorts: deque[_Cohort] = deque()
        self._restore_page = -1
        self.horizon_ns = 0
        """No id of an operation created until then is known to be fresh; 0: there is no such."""

    def __len__(self) -> int:
        return len(self._seqs)

    @property
    def is_complete(self) -> bool:
        """Whether every unexpired id of the log is known; before that none may be applied."""
        return self._restore_page < 0

    @property
    def has_room(self) -> bool:
        """Whether one more id can be remembered."""
        return len(self._seqs) < self._capacity

    def knows(self, created_at_ns: int) -> bool:
        """Return whether an operation created then is fresh if the window does not have its id."""
        return self._restore_page < 0 and created_at_ns > self.horizon_ns

    def seq_of(self, subject: str, operation_id: bytes) -> int | None:
        """Return the position of the operation's record, or ``None`` for a fresh id."""
        return self._seqs.get(_key(subject, operation_id))

    def remember(self, subject: str, operation_id: bytes, seq: int, now_ns: int) -> None:
        """Take in an id that was applied now; there must be room."""
        assert len(self._seqs) < self._capacity, self._capacity
        cohorts, forget_at_ns = self._cohorts, now_ns + ID_MEMORY_NS
        if not cohorts or cohorts[-1].forget_at_ns != forget_at_ns:
            cohorts.append(_Cohort(forget_at_ns))
        key = _key(subject, operation_id)
        cohorts[-1].keys.append(key)
        self._seqs[key] = seq

    def retry_after_ns(self, now_ns: int) -> int:
        """Return when the oldest ids go, in nanoseconds from now; at least one second."""
        oldest_ns = self._cohorts[0].forget_at_ns if self._cohorts else now_ns
        return max(oldest_ns - now_ns, 1_000_000_000)

    def clear(self) -> None:
        """Forget everything: on a replica, which decides nothing."""
        self._seqs = {}
        self._cohorts = deque()
        self._restore_page = -1

    def begin_restore(self, log: ChangeLog) -> None:
        """Start anew from the log's pages; until ``restore`` is through, nothing is complete."""
        self.clear()
        if log.page_count:
            self._restore_page = log.end_page - 1

    def restore(self, log: ChangeLog, now_ns: int, pages_max: int) -> int:
        """Read up to ``pages_max`` pages, newest first; return how many were read.

        The library's own records have no ids that a client could send.
        """
        read = 0
        while read < pages_max and self._restore_page >= 0:
            if self._restore_page < log.first_page:
                self._restore_page = -1
                break
            page = log.page(self._restore_page)
            read += 1
            self._restore_page -= 1
            if page.kept_until_ns < now_ns:
                self._restore_page = -1
                break
            cohort = _Cohort(page.kept_until_ns)
            for data in reversed(page.records):
                seq, subject, operation_id = record_id(data)
                key = subject + b"\x00" + operation_id
                # An id that was used again after it was forgotten stands for the later operation.
                if is_library_id(operation_id) or key in self._seqs:
                    continue
                cohort.keys.append(key)
                self._seqs[key] = seq
            self._cohorts.appendleft(cohort)
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
