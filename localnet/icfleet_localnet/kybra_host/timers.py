"""One canister's timers, as Kybra's runtime keeps them.

Source: ``ic-cdk-timers`` 0.7.0: one-shots are gone once they are due, whether or not their
callback traps; intervals are armed again from the moment they are due, and none is caught up. One
whose callback could not be started stays due.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

__all__ = ["NS_PER_S", "Timer", "TimerState", "TimerTable"]

NS_PER_S = 1_000_000_000

_FIRST_ID = 1 << 32
"""Ids look as ``ic-cdk-timers`` makes them: a version above, an index below."""

Callback = Callable[[], Any]


@dataclass(frozen=True, slots=True)
class Timer:
    """A callback and when to call it."""

    deadline_ns: int
    callback: Callback
    interval_ns: int | None = None
    """``None``: once."""


TimerState = tuple[Mapping[int, Timer], Mapping[int, Timer], int]
"""The timers that are set, those that are due and wait for their callback, and the last id."""


class TimerTable:
    """All timers that are set. Its state is a value, so that a message can be undone."""

    def __init__(self) -> None:
        self._armed: Mapping[int, Timer] = {}
        self._due: Mapping[int, Timer] = {}
        self._last_id = _FIRST_ID

    @property
    def state(self) -> TimerState:
        """What ``restore`` takes."""
        return self._armed, self._due, self._last_id

    @property
    def callbacks(self) -> list[object]:
        """Everything that timers will call."""
        return [timer.callback for timer in (*self._armed.values(), *self._due.values())]

    @property
    def next_deadline_ns(self) -> int | None:
        """The earliest deadline, or ``None`` when no timer is set."""
        timers = (*self._armed.values(), *self._due.values())
        return min((timer.deadline_ns for timer in timers), default=None)

    def restore(self, state: TimerState) -> None:
        """Go back to an earlier state."""
        self._armed, self._due, self._last_id = state

    def set(self, timer: Timer) -> int:
        """Arm a timer and return its id."""
        self._last_id += 1
        self._armed = {**self._armed, self._last_id: timer}
        return self._last_id

    def clear(self, timer_id: int) -> None:
        """Remove a timer; an unknown id is no error."""
        self._due = _without(self._due, timer_id)
        self._armed = _without(self._armed, timer_id)

    def take_due(self, now_ns: int) -> tuple[int, ...]:
        """Return the timers whose deadline has passed, and arm intervals again.

        One-shots that were returned before and did not fire since are among them.
        """
        passed = {
            timer_id: timer
            for timer_id, timer in self._armed.items()
            if timer.deadline_ns <= now_ns
        }
        once = {key: timer for key, timer in passed.items() if timer.interval_ns is None}
        self._due = {**self._due, **once}
        armed = {key: timer for key, timer in self._armed.items() if key not in self._due}
        for timer_id, timer in passed.items():
            if timer.interval_ns is not None:
                armed[timer_id] = replace(timer, deadline_ns=now_ns + timer.interval_ns)
        self._armed = armed
        due = {**passed, **self._due}
        return tuple(sorted(due, key=lambda timer_id: (due[timer_id].deadline_ns, timer_id)))

    def fire(self, timer_id: int) -> Callback | None:
        """Return the callback of a timer that was due; ``None`` when it was cleared since."""
        timer = self._due.get(timer_id) or self._armed.get(timer_id)
        self._due = _without(self._due, timer_id)
        return None if timer is None else timer.callback


def _without(timers: Mapping[int, Timer], timer_id: int) -> Mapping[int, Timer]:
    return {key: timer for key, timer in timers.items() if key != timer_id}
