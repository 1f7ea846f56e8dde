"""The port to stable memory: what the library asks of a map, and a map of that kind for tests.

``kybra.StableBTreeMap`` has these methods and is passed as it is. ``keys``, ``values`` and
``items`` are left out on purpose: they copy the whole map, which one message cannot afford once
the map has grown.
"""

from __future__ import annotations

from typing import Generic, Protocol, TypeVar

from icfleet_canister.fleet_errors import EncodingError

__all__ = ["MemoryMap", "RowOverlay", "StableMap"]

Key = TypeVar("Key")
Key_contra = TypeVar("Key_contra", contravariant=True)
Value = TypeVar("Value")


class StableMap(Protocol[Key_contra, Value]):
    """A map that survives upgrades."""

    def get(self, key: Key_contra) -> Value | None:
        """Return the value, or ``None``."""
        ...

    def insert(self, key: Key_contra, value: Value) -> Value | None:
        """Set the value and return the one it replaced."""
        ...

    def remove(self, key: Key_contra) -> Value | None:
        """Drop the value and return it."""
        ...


class MemoryMap(Generic[Key, Value]):
    """A ``StableMap`` in the heap, for tests: it outlives the objects built on it.

    Args:
        value_size_max: Longest value in bytes; a longer one fails as it would trap on chain.
    """

    def __init__(self, value_size_max: int | None = None) -> None:
        self._entries: dict[Key, Value] = {}
        self._value_size_max = value_size_max

    def __len__(self) -> int:
        return len(self._entries)

    def get(self, key: Key) -> Value | None:
        """Return the value, or ``None``."""
        return self._entries.get(key)

    def insert(self, key: Key, value: Value) -> Value | None:
        """Set the value and return the one it replaced.

        Raises:
            EncodingError: If the value is longer than this map's values may be.
        """
        limit = self._value_size_max
        if limit is not None and isinstance(value, bytes) and len(value) > limit:
            reason = f"value of {len(value)} bytes, at most {limit} allowed"
            raise EncodingError(reason)
        previous = self._entries.get(key)
        self._entries[key] = value
        return previous

    def remove(self, key: Key) -> Value | None:
        """Drop the value and return it."""
        return self._entries.pop(key, None)


class RowOverlay:
    """Rows of one message, kept in the heap until ``flush`` writes each changed row once.

    A batch of 200 trades writes the market's row 200 times; stable memory sees it once. The
    overlay must be flushed before the message ends: what is not flushed is as if never written.
    """

    def __init__(self, rows: StableMap[int, bytes]) -> None:
        self._rows = rows
        self._changed: dict[int, bytes | None] = {}

    def get(self, key: int) -> bytes | None:
        """Return the row as the last change left it, or ``None``."""
        if key in self._changed:
            return self._changed[key]
        return self._rows.get(key)

    def put(self, key: int, value: bytes | None) -> None:
        """Change a row; ``None`` removes it."""
        self._changed[key] = value

    def flush(self) -> None:
        """Write every changed row to stable memory."""
        changed = self._changed
        self._changed = {}
        for key, value in changed.items():
            if value is None:
                self._rows.remove(key)
            else:
                self._rows.insert(key, value)
