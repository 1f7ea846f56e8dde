"""A bounded cache with a time to live, in which concurrent misses load once."""

from collections.abc import Awaitable, Callable, Hashable
from dataclasses import dataclass
from typing import Generic, TypeVar

from cachetools import TTLCache

from icfleet_agent.clock import Clock
from icfleet_agent.single_flight import SingleFlight

__all__ = ["TtlCache"]

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


@dataclass(frozen=True, slots=True)
class _Entry(Generic[V]):
    value: V
    loaded_s: float
    """When loading began: the value may be as old as that."""


class TtlCache(Generic[K, V]):
    """Keeps values for ``ttl_s`` seconds, the ``entries_max`` most recently used of them."""

    __slots__ = ("_clock", "_entries", "_loads")

    def __init__(self, *, entries_max: int, ttl_s: float, clock: Clock) -> None:
        self._clock = clock
        self._entries: TTLCache[K, _Entry[V]] = TTLCache(entries_max, ttl_s, clock.now_s)
        self._loads: SingleFlight[K, V] = SingleFlight()

    def __len__(self) -> int:
        """Values that are kept and have not expired."""
        return len(self._entries)

    async def get(
        self, key: K, load: Callable[[], Awaitable[V]], *, age_max_s: float | None = None
    ) -> V:
        """Return the value for ``key``, loading it if there is none.

        Callers that miss at the same time share one load. A failed load is not remembered.

        Args:
            key: Names the value.
            load: Makes it; with a deadline of its own, see ``SingleFlight.run``.
            age_max_s: Take no value that is older, though it has not expired.

        Raises:
            Exception: Whatever ``load`` raised.
        """
        entry = self._entries.get(key)
        if entry is not None and not self._is_too_old(entry, age_max_s):
            return entry.value
        return await self._loads.run(key, lambda: self._load(key, load))

    def peek(self, key: K) -> V | None:
        """Return the value for ``key`` if it is there."""
        entry = self._entries.get(key)
        return None if entry is None else entry.value

    def put(self, key: K, value: V) -> None:
        """Keep a value that is known already."""
        self._entries[key] = _Entry(value, self._clock.now_s())

    def drop(self, key: K) -> None:
        """Forget a value; a load under way is not stopped and will be kept."""
        self._entries.pop(key, None)

    def _is_too_old(self, entry: _Entry[V], age_max_s: float | None) -> bool:
        return age_max_s is not None and self._clock.now_s() - entry.loaded_s > age_max_s

    async def _load(self, key: K, load: Callable[[], Awaitable[V]]) -> V:
        started_s = self._clock.now_s()
        value = await load()
        self._entries[key] = _Entry(value, started_s)
        return value
