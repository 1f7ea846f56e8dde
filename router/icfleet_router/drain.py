"""A limit that closing puts on everything still running."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

__all__ = ["DrainLimit"]


class DrainLimit:
    """Pieces of work run within ``scope``; nothing limits them until ``start``."""

    def __init__(self) -> None:
        self._scopes: set[asyncio.Timeout] = set()
        self._ends_at_s: float | None = None

    @property
    def is_over(self) -> bool:
        """Whether nothing should be begun any more."""
        return self._ends_at_s is not None and asyncio.get_running_loop().time() >= self._ends_at_s

    @asynccontextmanager
    async def scope(self) -> AsyncGenerator[None]:
        """Run a piece of work.

        Raises:
            TimeoutError: If it was still running when the limit came.
        """
        async with asyncio.timeout_at(self._ends_at_s) as timeout:
            self._scopes.add(timeout)
            try:
                yield
            finally:
                self._scopes.discard(timeout)

    def start(self, timeout_s: float) -> None:
        """Let what runs, and what may still begin, end within so many seconds."""
        self._ends_at_s = asyncio.get_running_loop().time() + timeout_s
        for scope in self._scopes:
            scope.reschedule(self._ends_at_s)
