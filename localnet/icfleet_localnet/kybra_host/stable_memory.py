"""One canister's stable memory: maps and raw pages, with an undo journal under both.

Kybra lets maps and raw access share one memory, where they overwrite each other. Here they lie
apart, and the system interface refuses raw access to a canister that declares maps.
"""

from collections.abc import Hashable, Mapping
from dataclasses import dataclass, field
from typing import Any

__all__ = ["PAGE_SIZE", "STABLE_PAGES_MAX", "Entries", "MapEntries", "StableMemory", "Undone"]

PAGE_SIZE = 64 * 1024
"""Bytes. Source: WebAssembly core specification."""

STABLE_PAGES_MAX = 500 * 1024 * 1024 * 1024 // PAGE_SIZE
"""500 GiB. Only pages written to take memory. Source: IC interface specification, "Limits"."""

_MANAGER_PAGES = 1
_BUCKET_PAGES = 128
"""What Kybra's memory manager takes: a header page, and memory in buckets of 8 MiB.
Source: ic-stable-structures 0.5.6, ``memory_manager``."""

_ABSENT = object()

Undone = list[tuple[dict[Any, Any], Hashable, object]]
"""Writes that were taken back, to be made again by ``redo``."""


class Entries(dict[Any, tuple[bytes, bytes]]):
    """Keys and values of one map, as Candid messages, by sort key.

    Written through ``StableMemory`` only, which keeps the count of their bytes.
    """

    __slots__ = ("stored_bytes",)

    def __init__(self, entries: Mapping[Any, tuple[bytes, bytes]] | None = None) -> None:
        super().__init__(entries or {})
        self.stored_bytes = sum(len(key) + len(value) for key, value in self.values())
        """Bytes of all keys and values."""


@dataclass(slots=True)
class MapEntries:
    """What is stored of one map; outlives the code that declared it."""

    key_size_max: int
    value_size_max: int
    entries: Entries = field(default_factory=Entries)


class StableMemory:
    """Stable memory; every write between ``begin`` and ``commit`` can be taken back."""

    def __init__(self) -> None:
        self.maps: dict[int, MapEntries] = {}
        self.generation = 0
        """Goes up when writes were taken back or made again without their map's knowledge."""
        self._pages: dict[int, bytes] = {}
        self._header: dict[str, int] = {"pages": 0}
        self._journal: list[tuple[dict[Any, Any], Hashable, object]] | None = None

    @property
    def size_pages(self) -> int:
        """Pages of raw memory."""
        return self._header["pages"]

    @property
    def stored_bytes(self) -> int:
        """Bytes of raw memory, and of keys and values in maps, of which there are 255 at most."""
        stored = sum([stored_map.entries.stored_bytes for stored_map in self.maps.values()])
        return stored + self.size_pages * PAGE_SIZE

    @property
    def modelled_pages(self) -> int:
        """Pages that Kybra's memory manager would have taken for the maps, about."""
        buckets = 0
        for stored_map in self.maps.values():
            buckets += 1 + stored_map.entries.stored_bytes // (_BUCKET_PAGES * PAGE_SIZE)
        return _MANAGER_PAGES + buckets * _BUCKET_PAGES if self.maps else 0

    def begin(self) -> None:
        """Start a unit of work."""
        assert self._journal is None, "the last unit of work was not finished"
        self._journal = []

    def commit(self) -> Undone:
        """Keep what was written, and return what stood there before each write."""
        assert self._journal is not None, "nothing was begun"
        journal, self._journal = self._journal, None
        return journal

    def rollback(self) -> Undone:
        """Take back what was written, and return it."""
        assert self._journal is not None, "nothing was begun"
        journal, self._journal = self._journal, None
        undone: Undone = []
        for store, key, before in reversed(journal):
            written = store.get(key, _ABSENT)
            undone.append((store, key, written))
            _replace(store, key, written, before)
        if journal:
            self.generation += 1
        undone.reverse()
        return undone

    def redo(self, undone: Undone) -> None:
        """Make writes again that a rollback took back, as part of the current unit of work."""
        for store, key, value in undone:
            self.write(store, key, value)
        self.generation += 1

    def write(self, store: dict[Any, Any], key: Hashable, value: object) -> None:
        """Set one item of a store that belongs to this memory."""
        assert self._journal is not None, "nothing was begun"
        before = store.get(key, _ABSENT)
        self._journal.append((store, key, before))
        _replace(store, key, before, value)

    def remove(self, store: dict[Any, Any], key: Hashable) -> None:
        """Remove one item of a store that belongs to this memory."""
        self.write(store, key, _ABSENT)

    def grow(self, pages: int) -> int | None:
        """Add pages of zeros; return the size before, or ``None`` when there is no room."""
        before = self.size_pages
        if before + pages > STABLE_PAGES_MAX:
            return None
        self.write(self._header, "pages", before + pages)
        return before

    def is_within(self, offset: int, size: int) -> bool:
        """Whether these bytes of raw memory exist."""
        return offset + size <= self.size_pages * PAGE_SIZE

    def read(self, offset: int, size: int) -> bytes:
        """Read raw memory."""
        assert self.is_within(offset, size), (offset, size)
        parts: list[bytes] = []
        while size:
            page, start = divmod(offset, PAGE_SIZE)
            count = min(size, PAGE_SIZE - start)
            content = self._pages.get(page)
            parts.append(bytes(count) if content is None else content[start : start + count])
            offset, size = offset + count, size - count
        return b"".join(parts)

    def write_raw(self, offset: int, content: bytes) -> None:
        """Write raw memory."""
        assert self.is_within(offset, len(content)), (offset, len(content))
        done = 0
        while done < len(content):
            page, start = divmod(offset + done, PAGE_SIZE)
            part = content[done : done + PAGE_SIZE - start]
            before = self._pages.get(page) or bytes(PAGE_SIZE)
            after = before[:start] + part + before[start + len(part) :]
            self.write(self._pages, page, after)
            done += len(part)


def _replace(store: dict[Any, Any], key: Hashable, before: Any, after: Any) -> None:
    if after is _ABSENT:
        store.pop(key, None)
    else:
        store[key] = after
    if isinstance(store, Entries):
        if before is not _ABSENT:
            store.stored_bytes -= len(before[0]) + len(before[1])
        if after is not _ABSENT:
            store.stored_bytes += len(after[0]) + len(after[1])
