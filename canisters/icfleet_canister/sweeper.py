"""The cleanup that timers drive: a bounded piece of work at a time, until nothing is left.

Memory on the IC is paid by the second and the heap is small, so whatever grows must also be
looked through. Each kind of memory is a ``Sweepable``; the sweeper asks them in turn and stops
when its budget is used up. The next tick begins with the one after, so that a memory with more
garbage than one tick can take, or one that fails, holds up none of the others.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, Protocol

from icfleet_canister.fleet_errors import ConfigurationError

__all__ = ["SWEEP_PERIOD_S", "SWEEP_WORK_MAX", "SweepReport", "Sweepable", "Sweeper"]

#: Pause between rounds. A timer's message costs about 16 M cycles: nothing, at this pace.
SWEEP_PERIOD_S = 300

#: Pause before an unfinished round goes on.
RESUME_S = 1

#: Entries looked at in one tick: some 50 M instructions of the 40 G that a timer may use.
SWEEP_WORK_MAX = 1_000

_NS_PER_S = 1_000_000_000


class Sweepable(Protocol):
    """A memory that can give some of itself back."""

    def sweep(self, now_ns: int, work_max: int) -> int:
        """Do up to ``work_max`` units; fewer done than allowed means finished for now."""
        ...

    def next_sweep_ns(self) -> int | None:
        """Return the time before which nothing can be given back, or ``None`` for empty."""
        ...


class SweepReport(NamedTuple):
    """What one tick did, and when the next one is due."""

    work: int
    next_delay_s: int | None
    """``None``: nothing to sweep; ask ``next_delay_s`` again after the next write."""


class Sweeper:
    """Take turns over the registered memories.

    Args:
        memories: Asked in this order.
        work_max: Units of work in one tick, over all memories.
    """

    def __init__(self, memories: Sequence[Sweepable], work_max: int = SWEEP_WORK_MAX) -> None:
        if work_max < 1:
            reason = f"{work_max} units of work a tick"
            raise ConfigurationError(reason)
        self._memories = memories
        self._work_max = work_max
        self._next = 0
        self.is_at_start = True
        """Whether the last tick ended a round: no memory had more to give."""
        self.ticks = 0
        """Ticks so far, since the heap was made; so are the other figures."""
        self.swept = 0
        """Units of work done."""
        self.failures = 0
        """Memories that raised when asked; each is asked again in the next round."""

    def next_delay_s(self, now_ns: int) -> int | None:
        """Return when to tick, in whole seconds from now, or ``None`` if there is nothing to do.

        It is at least one period away: what has just been written is not garbage yet.
        """
        times = [self._next_sweep_ns(memory) for memory in self._memories]
        due_ns = min((time_ns for time_ns in times if time_ns is not None), default=None)
        if due_ns is None:
            return None
        return max(SWEEP_PERIOD_S, -(-(due_ns - now_ns) // _NS_PER_S))

    def tick(self, now_ns: int) -> SweepReport:
        """Sweep until no memory has more to give, or the work of one tick is used up."""
        self.ticks += 1
        self.is_at_start = False
        work = 0
        for _ in self._memories:
            memory = self._memories[self._next]
            self._next = (self._next + 1) % len(self._memories)
            allowed = self._work_max - work
            done = self._sweep(memory, now_ns, allowed)
            work += done
            if done >= allowed:
                self.swept += work
                return SweepReport(work, RESUME_S)
        self.is_at_start = True
        self.swept += work
        return SweepReport(work, self.next_delay_s(now_ns))

    def _sweep(self, memory: Sweepable, now_ns: int, allowed: int) -> int:
        try:
            return memory.sweep(now_ns, allowed)
        except Exception:  # noqa: BLE001 - one broken memory must not keep the others from shrinking
            self.failures += 1
            return 0

    def _next_sweep_ns(self, memory: Sweepable) -> int | None:
        try:
            return memory.next_sweep_ns()
        except Exception:  # noqa: BLE001 - asked after every write, which must not fail for it
            return None
