"""An asyncio loop on which time passes only when everybody waits, and chance comes from a seed."""

import asyncio
from collections.abc import Callable, Coroutine
from random import Random
from typing import Any, TypeVar

__all__ = ["VirtualClock", "VirtualTimeLoop", "run_in_virtual_time"]

T = TypeVar("T")

STEPS_MAX = 2_000_000
"""Callbacks of one run; more means that something runs in circles."""

TURN_S = 1e-6
"""What one turn of the loop takes, in seconds. Were it nothing, a pause shorter than the clock's
last digit would never end."""

_EPOCH_NS = 1_750_000_000_000_000_000
"""Where the wall clock starts: some day in 2025."""


class VirtualTimeLoop(asyncio.BaseEventLoop):
    """Runs coroutines without sockets, threads or real waiting.

    Whatever is ready at the same moment runs in an order that the seed decides, so that a run is
    replayed exactly by its seed, and other seeds find other orders.
    """

    def __init__(self, random: Random) -> None:
        super().__init__()
        self._random = random
        self._virtual_s = 0.0
        self._steps_count = 0
        self._clock_resolution = 1e-9
        self._selector = self
        self.problems: list[dict[str, Any]] = []
        self.set_exception_handler(lambda _, context: self.problems.append(context))

    def time(self) -> float:
        """Seconds of virtual time."""
        return self._virtual_s

    def select(self, timeout: float | None) -> list[object]:
        """Take the place of the selector: jump to the next timer, and shuffle what is ready."""
        ready: Any = getattr(self, "_ready")  # noqa: B009 - asyncio's queue is not in its stubs
        if timeout is None and not ready:
            message = f"everybody waits for ever at {self._virtual_s:.3f} s"
            raise RuntimeError(message)
        self._virtual_s += max(timeout or 0.0, TURN_S)
        self._steps_count += len(ready)
        if self._steps_count > STEPS_MAX:
            message = f"more than {STEPS_MAX} steps by {self._virtual_s:.3f} s"
            raise RuntimeError(message)
        shuffled = list(ready)
        self._random.shuffle(shuffled)
        ready.clear()
        ready.extend(shuffled)
        return []

    def close(self) -> None:
        """Close, as any loop is."""
        if not self.is_running():
            super().close()

    def _process_events(self, event_list: list[object]) -> None:
        assert not event_list

    def _write_to_self(self) -> None:
        pass


class VirtualClock:
    """The loop's time as the agent's ``Clock``."""

    def now_ns(self) -> int:
        """Nanoseconds since 1970, of a world that begins in 2025."""
        return _EPOCH_NS + round(self.now_s() * 1e9)

    def now_s(self) -> float:
        """Seconds since the loop began."""
        return asyncio.get_running_loop().time()

    async def sleep(self, duration_s: float) -> None:
        """Wait, which takes no real time."""
        await asyncio.sleep(duration_s)


def run_in_virtual_time(main: Callable[[], Coroutine[Any, Any, T]], random: Random) -> T:
    """Run a coroutine to its end on a loop of its own.

    Args:
        main: Makes the coroutine.
        random: Decides who runs first of those that could run at once.

    Raises:
        Exception: Whatever the coroutine raised.
        RuntimeError: If it waits for ever, or a task or callback failed unseen.
    """
    loop = VirtualTimeLoop(random)
    try:
        result = loop.run_until_complete(main())
        left = asyncio.all_tasks(loop)
        if left or loop.problems:
            message = f"left behind: tasks {left}, problems {loop.problems}"
            raise RuntimeError(message)
        return result
    finally:
        _cancel_all(loop)
        loop.close()


def _cancel_all(loop: VirtualTimeLoop) -> None:
    left = asyncio.all_tasks(loop)
    for task in left:
        task.cancel()
    if left:
        # What ends them badly now matters less than the error that is on its way already.
        loop.run_until_complete(asyncio.wait(left))
        for task in left:
            if not task.cancelled():
                task.exception()
