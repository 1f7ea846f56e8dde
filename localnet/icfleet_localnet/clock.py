"""The network's time: this computer's, shifted forward at will.

Canisters, certificates and expiries all go by it, so a test can let a day pass in a moment.
"""

import time
from typing import Protocol

__all__ = ["Clock", "NetworkClock"]


class Clock(Protocol):
    """Tells the time."""

    def now_ns(self) -> int:
        """Nanoseconds since 1970."""
        ...


class NetworkClock:
    """Runs at the speed of real time; ``shift`` moves it."""

    def __init__(self) -> None:
        self.offset_ns = 0
        """How far it is ahead of this computer's clock."""

    def now_ns(self) -> int:
        """Nanoseconds since 1970, by the network's reckoning."""
        return time.time_ns() + self.offset_ns

    def shift(self, by_ns: int) -> None:
        """Move it forward. A subnet's time never goes back, whatever its clock does.

        Raises:
            ValueError: If asked to go back.
        """
        if by_ns < 0:
            reason = f"the network's time cannot go back by {-by_ns} ns"
            raise ValueError(reason)
        self.offset_ns += by_ns
