"""How much a network has to do, by the second, for its status page.

One bucket a second over a short window, and totals; time is an argument.
"""

from collections import Counter, deque
from typing import Literal

__all__ = ["Kind", "Traffic"]

Kind = Literal["rounds", "messages", "updates", "queries", "read_states"]

_WINDOW_S = 10
"""Long enough to be steady, short enough to see a change while looking."""


class Traffic:
    """Counts events."""

    def __init__(self) -> None:
        self.totals: Counter[Kind] = Counter()
        self._buckets: deque[tuple[int, Counter[Kind]]] = deque(maxlen=_WINDOW_S + 1)

    def note(self, kind: Kind, now_s: float, count: int = 1) -> None:
        """Count events that happened now."""
        self.totals[kind] += count
        second = int(now_s)
        if not self._buckets or self._buckets[-1][0] != second:
            self._buckets.append((second, Counter()))
        self._buckets[-1][1][kind] += count

    def per_second(self, kind: Kind, now_s: float) -> float:
        """The mean of the last whole seconds."""
        now = int(now_s)
        counts = [
            counts[kind] for second, counts in self._buckets if now - _WINDOW_S <= second < now
        ]
        return sum(counts) / _WINDOW_S
