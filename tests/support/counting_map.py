"""Stable maps that count what is asked of them, as the chain charges for it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Generic, TypeVar

from icfleet_canister import MemoryMap, StableMap

__all__ = ["CountingMap", "LazyRows"]

Key = TypeVar("Key")
Value = TypeVar("Value")


class CountingMap(Generic[Key, Value]):
    """A map in memory; ``calls`` counts by method."""

    def __init__(self, inner: StableMap[Key, Value] | None = None) -> None:
        memory: MemoryMap[Key, Value] = MemoryMap()
        self._inner: StableMap[Key, Value] = memory if inner is None else inner
        self.calls: Counter[str] = Counter()

    def take(self) -> dict[str, int]:
        """Return the counts since the last time."""
        calls = dict(self.calls)
        self.calls.clear()
        return calls

    def get(self, key: Key) -> Value | None:
        self.calls["get"] += 1
        return self._inner.get(key)

    def insert(self, key: Key, value: Value) -> Value | None:
        self.calls["insert"] += 1
        return self._inner.insert(key, value)

    def remove(self, key: Key) -> Value | None:
        self.calls["remove"] += 1
        return self._inner.remove(key)


class LazyRows:
    """As many rows as one likes: those that were never written are made when they are read."""

    def __init__(self, count: int, make: Callable[[int], bytes]) -> None:
        self._count = count
        self._make = make
        self._written: dict[int, bytes | None] = {}

    def get(self, key: int) -> bytes | None:
        if key in self._written:
            return self._written[key]
        return self._make(key) if 0 <= key < self._count else None

    def insert(self, key: int, value: bytes) -> bytes | None:
        previous = self.get(key)
        self._written[key] = value
        return previous

    def remove(self, key: int) -> bytes | None:
        previous = self.get(key)
        self._written[key] = None
        return previous
