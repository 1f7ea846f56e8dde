"""One canister's timers, as Kybra's runtime keeps them.

Source: ``ic-cdk-timers`` 0.7.0: one-shots are gone once they are due, whether or not their
callback traps; intervals are armed again from the moment they are due, and none is caught up.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

__all__ = ["NS_PER_S", "Timer", "TimerTable"]

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


class TimerTable:
    """All timers that are set. Its state is a value, so that a message can be undone."""

    def __init__(self) -> None:
        self._armed: Mapping[int, Timer] = {}
        self._due: dict[int, Timer] = {}
        self._last_id = _FIRST_ID

    @property
    def state(self) -> tuple[Mapping[int, Timer], int]:
        """What ``restore`` takes."""
        return self._armed, self._last_id

    @property
    def callbacks(self) -> list[object]:
        """Everything that timers will call."""
        return [timer.callback for timer in (*self._armed.values(), *self._due.values())]

    @property
    def next_deadline_ns(self) -> int | None:
        """The earliest deadline, or ``None`` when no timer is set."""
        return min((timer.deadline_ns for timer in self._armed.values()), default=None)

    def restore(self, state: tuple[Mapping[int, Timer], int]) -> None:
        """Go back to an earlier state, as far as timers are concerned that are not due yet."""
        self._armed, self._last_id = state

    def set(self, timer: Timer) -> int:
        """Arm a timer and return its id."""
        self._last_id += 1
        self._armed = {**self._armed, self._last_id: timer}
        return self._last_id

    def clear(self, timer_id: int) -> None:
        """Remove a timer; an unknown id is no error."""
        self._due.pop(timer_id, None)
        self._armed = {key: timer for key, timer in self._armed.items() if key != timer_id}

    def take_due(self, now_ns: int) -> tuple[int, ...]:
        """Return the timers whose deadline has passed, and arm intervals again."""
        due = sorted(
            (timer.deadline_ns, timer_id)
            for timer_id, timer in self._armed.items()
            if timer.deadline_ns <= now_ns
        )
        armed = dict(self._armed)
        for _, timer_id in due:
            timer = armed.pop(timer_id)
            if timer.interval_ns is None:
                self._due[timer_id] = timer
            else:
                armed[timer_id] = replace(timer, deadline_ns=now_ns + timer.interval_ns)
        self._armed = armed
        return tuple(timer_id for _, timer_id in due)

    def fire(self, timer_id: int) -> Callback | None:
        """Return the callback of a timer that was due; ``None`` when it was cleared since."""
        timer = self._due.pop(timer_id, None) or self._armed.get(timer_id)
        return None if timer is None else timer.callback
