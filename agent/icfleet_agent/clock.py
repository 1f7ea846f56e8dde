"""Time, as an argument: the wall's for expiries and certificates, a steady one for deadlines."""

import asyncio
import time
from typing import Protocol

__all__ = ["Clock", "SystemClock"]


class Clock(Protocol):
    """What the agent knows of time."""

    def now_ns(self) -> int:
        """Nanoseconds since 1970 by the wall clock, which may jump."""
        ...

    def now_s(self) -> float:
        """Seconds since an arbitrary start; never goes back."""
        ...

    async def sleep(self, duration_s: float) -> None:
        """Pause the calling task."""
        ...


class SystemClock:
    """This computer's clocks."""

    __slots__ = ()

    def now_ns(self) -> int:
        """Nanoseconds since 1970."""
        return time.time_ns()

    def now_s(self) -> float:
        """Seconds since an arbitrary start."""
        return time.monotonic()

    async def sleep(self, duration_s: float) -> None:
        """Pause the calling task on its event loop."""
        await asyncio.sleep(duration_s)
