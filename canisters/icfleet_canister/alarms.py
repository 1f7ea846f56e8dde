"""One-shot timers by name, at most one of each, that heal after a trap.

The IC's timers die with an upgrade, and one whose callback traps does not come back. So nothing
here is a repeating timer: each message says which jobs should run and when, and a deadline that
has passed without its callback is a timer that was lost and is set again.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

__all__ = ["OVERDUE_S", "Alarms"]

#: A timer fires within seconds of its deadline unless the subnet stalls, and then all wait.
OVERDUE_S = 5

_NS_PER_S = 1_000_000_000


class Alarms:
    """The armed timers.

    Args:
        set_timer: ``ic.set_timer``: whole seconds and a callback in, the timer's id out.
        clear_timer: ``ic.clear_timer``.
    """

    def __init__(
        self,
        set_timer: Callable[[int, Callable[[], Any]], int],
        clear_timer: Callable[[int], None],
    ) -> None:
        self._set_timer = set_timer
        self._clear_timer = clear_timer
        self._timers: dict[str, tuple[int, int]] = {}

    def ring(self, name: str) -> None:
        """Forget a timer; its callback calls this first."""
        self._timers.pop(name, None)

    def is_armed(self, name: str, now_ns: int) -> bool:
        """Whether a timer of that name will still fire."""
        timer = self._timers.get(name)
        return timer is not None and now_ns <= timer[1] + OVERDUE_S * _NS_PER_S

    def set(self, name: str, callback: Callable[[], Any], delay_s: int, now_ns: int) -> None:
        """Fire in ``delay_s`` seconds instead of whenever it would have."""
        timer = self._timers.pop(name, None)
        if timer is not None:
            self._clear_timer(timer[0])
        deadline_ns = now_ns + delay_s * _NS_PER_S
        self._timers[name] = (self._set_timer(delay_s, callback), deadline_ns)

    def by(self, name: str, callback: Callable[[], Any], delay_s: int, now_ns: int) -> None:
        """Fire in ``delay_s`` seconds at the latest, and at once where a timer was lost."""
        timer = self._timers.get(name)
        if timer is not None and not self.is_armed(name, now_ns):
            self.set(name, callback, 0, now_ns)
        elif timer is None or timer[1] > now_ns + delay_s * _NS_PER_S:
            self.set(name, callback, delay_s, now_ns)
