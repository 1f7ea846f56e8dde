"""One deadline around the whole of a piece of work, handed down to each of its steps."""

from dataclasses import dataclass
from typing import Self

__all__ = ["Deadline"]


@dataclass(frozen=True, slots=True)
class Deadline:
    """A moment of a steady clock, in seconds of that clock."""

    at_s: float

    @classmethod
    def after(cls, timeout_s: float, *, now_s: float) -> Self:
        """The moment ``timeout_s`` seconds from now."""
        return cls(now_s + timeout_s)

    def remaining_s(self, *, now_s: float) -> float:
        """Seconds left; 0 when it has passed."""
        return max(0.0, self.at_s - now_s)

    def has_passed(self, *, now_s: float) -> bool:
        """Whether there is no time left."""
        return now_s >= self.at_s
