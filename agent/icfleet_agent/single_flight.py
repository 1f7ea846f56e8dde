"""One piece of work for all who want its result at the same time.

The work runs in a task of its own: whoever asked first may be cancelled, and the others still get
the result. The task lives exactly as long as somebody waits for it. The last one to leave cancels
it and sees it end, so nothing is left behind and there is nothing to close. (A ``TaskGroup`` cannot
express that: it has one parent, and this work has as many as there are callers.)
"""

import asyncio
from collections.abc import Awaitable, Callable, Hashable
from dataclasses import dataclass
from typing import Generic, TypeVar

__all__ = ["SingleFlight"]

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


@dataclass(slots=True)
class _Flight(Generic[V]):
    task: "asyncio.Task[V]"
    waiters_count: int = 0


class SingleFlight(Generic[K, V]):
    """Shares work by key among the callers of one event loop."""

    __slots__ = ("_flights",)

    def __init__(self) -> None:
        self._flights: dict[K, _Flight[V]] = {}

    def __len__(self) -> int:
        """Pieces of work under way."""
        return len(self._flights)

    async def run(self, key: K, work: Callable[[], Awaitable[V]]) -> V:
        """Join the work under way for ``key``, or start it.

        ``work`` should have a deadline of its own: the caller's may be shorter than others'.

        Raises:
            Exception: Whatever the work raised, to each who waited for it.
        """
        flight = self._flights.get(key)
        if flight is None or flight.task.done():
            flight = self._start(key, work)
        flight.waiters_count += 1
        try:
            # Unlike ``await task``, this leaves the task alone when the caller is cancelled.
            await asyncio.wait((flight.task,))
        finally:
            flight.waiters_count -= 1
            if flight.waiters_count == 0 and not flight.task.done():
                self._forget(key, flight)
                flight.task.cancel()
                await asyncio.wait((flight.task,))
        return flight.task.result()

    def _start(self, key: K, work: Callable[[], Awaitable[V]]) -> _Flight[V]:
        task = asyncio.get_running_loop().create_task(_run(work))
        flight = _Flight(task)
        self._flights[key] = flight

        def finish(task: "asyncio.Task[V]") -> None:
            self._forget(key, flight)
            if not task.cancelled():
                # The last waiter may have left while the work was failing: not worth a warning.
                task.exception()

        task.add_done_callback(finish)
        return flight

    def _forget(self, key: K, flight: _Flight[V]) -> None:
        if self._flights.get(key) is flight:
            del self._flights[key]


async def _run(work: Callable[[], Awaitable[V]]) -> V:
    return await work()
