"""How a main notices that it may be a copy of its own past.

When a canister is rolled back to a snapshot, heap and stable memory come back old together, and
nothing inside tells. Only time does: the last message that the copy remembers is long ago. So a
main that finds such a gap asks its replicas before it decides anything: while it is *waking*, it
tells whoever pulls that it wants to know their positions, and one that is ahead fences it.

A main without replicas has nobody to ask, and one that is merely idle is kept awake by a timer.
"""

from __future__ import annotations

from collections.abc import Iterable

__all__ = ["WAKE_GAP_NS", "WAKE_MAX_NS", "WAKE_RETRY_NS", "WakeGuard"]

#: Longest silence that proves nothing: three times the pause between two looks at the timers.
WAKE_GAP_NS = 90 * 1_000_000_000

#: How long replicas are waited for. They pull at least every 30 s when they can.
WAKE_MAX_NS = 40 * 1_000_000_000

#: What operations are told meanwhile.
WAKE_RETRY_NS = 2 * 1_000_000_000


class WakeGuard:
    """The times at which a main was active.

    Args:
        last_active_ns: Time of the last message, 0 if there was none.
        waking_since_ns: Time at which the last gap was found, 0 if there was none.
    """

    def __init__(self, last_active_ns: int = 0, waking_since_ns: int = 0) -> None:
        self.last_active_ns = last_active_ns
        self.waking_since_ns = waking_since_ns

    def touch(self, now_ns: int, *, has_replicas: bool) -> None:
        """Note that a message is executed; without replicas a gap has no consequence."""
        if has_replicas and self._is_gap(now_ns):
            self.waking_since_ns = now_ns
        self.last_active_ns = max(self.last_active_ns, now_ns)

    def wakes(self, now_ns: int, seen_at_ns: Iterable[int]) -> bool:
        """Return whether replicas must be waited for; changes nothing, so that a query may ask.

        Args:
            now_ns: Time of this message.
            seen_at_ns: When each attached replica last told its position.
        """
        times = list(seen_at_ns)
        if not times:
            return False
        if self._is_gap(now_ns):
            return True
        if not self.waking_since_ns <= now_ns < self.waking_since_ns + WAKE_MAX_NS:
            return False
        return min(times) < self.waking_since_ns

    def _is_gap(self, now_ns: int) -> bool:
        return 0 < self.last_active_ns < now_ns - WAKE_GAP_NS
