"""Kybra's system calls for stable maps and raw stable memory.

Raw access is refused to a canister that declares maps: compiled, they share one memory, and each
would overwrite the other. Only its size can be asked, which is then a model of Kybra's.
"""

from collections.abc import Callable
from typing import Any, NoReturn, TypeVar

from icfleet_localnet.executor import Trap
from icfleet_localnet.kybra_host.host_state import HostState
from icfleet_localnet.kybra_host.leaf_values import as_bytes, as_u8, as_u32, as_u64
from icfleet_localnet.kybra_host.message import MessageState
from icfleet_localnet.kybra_host.metering import PRICES
from icfleet_localnet.kybra_host.stable_map import StableMap
from icfleet_localnet.kybra_host.stable_memory import PAGE_SIZE
from icfleet_localnet.kybra_host.traps import EXPLICIT_TRAP, OTHER_TRAP, Panic

__all__ = ["StableApi"]

_PAGES_32_MAX = 1 << 16
"""Pages that the 32-bit calls can reach: 4 GiB. Source: IC interface specification."""

_READ_SIZE_MAX = 256 * 1024 * 1024
"""Bytes of one read here, so that a wrong length cannot exhaust the machine's memory."""

T = TypeVar("T")


class StableApi:
    """The part of ``_kybra_ic`` that reads and writes stable memory."""

    def __init__(self, state: HostState) -> None:
        self._state = state
        self._memory = state.memory
        self._maps = state.maps

    def stable_b_tree_map_contains_key(self, memory_id: object, key: object) -> bool:
        """Whether the map has a value at ``key``."""
        return self._map_call(memory_id, lambda found: found.contains_key(key))

    def stable_b_tree_map_get(self, memory_id: object, key: object) -> Any:
        """Return the value at ``key``, or ``None``."""
        return self._map_call(memory_id, lambda found: found.get(key))

    def stable_b_tree_map_insert(self, memory_id: object, key: object, value: object) -> Any:
        """Set the value at ``key``, and return the old one or ``None``."""
        return self._map_call(memory_id, lambda found: found.insert(key, value))

    def stable_b_tree_map_is_empty(self, memory_id: object) -> bool:
        """Whether the map has no items."""
        return self._map_call(memory_id, lambda found: not len(found))

    def stable_b_tree_map_items(self, memory_id: object) -> list[tuple[Any, Any]]:
        """Return all items in the order of their keys."""
        return self._map_call(memory_id, StableMap.items)

    def stable_b_tree_map_keys(self, memory_id: object) -> list[Any]:
        """Return all keys in order."""
        return self._map_call(memory_id, StableMap.keys)

    def stable_b_tree_map_len(self, memory_id: object) -> int:
        """Return the number of items."""
        return self._map_call(memory_id, len)

    def stable_b_tree_map_remove(self, memory_id: object, key: object) -> Any:
        """Remove the value at ``key``, and return it or ``None``."""
        return self._map_call(memory_id, lambda found: found.remove(key))

    def stable_b_tree_map_values(self, memory_id: object) -> list[Any]:
        """Return all values in the order of their keys."""
        return self._map_call(memory_id, StableMap.values)

    def stable_bytes(self) -> bytes:
        """Return the whole raw memory."""
        message = self._raw_access()
        self._check_32_bit(message)
        return self._read(message, 0, self._memory.size_pages * PAGE_SIZE)

    def stable_size(self) -> int:
        """Return the number of pages, below 65,536."""
        message = self._state.current()
        self._check_32_bit(message)
        return self.stable64_size()

    def stable64_size(self) -> int:
        """Return the number of pages."""
        self._state.current()
        return self._memory.modelled_pages if self._maps else self._memory.size_pages

    def stable_grow(self, new_pages: object) -> dict[str, Any]:
        """Add pages; the whole must stay below 4 GiB."""
        message, pages = self._raw_access(), as_u32(new_pages)
        self._check_32_bit(message)
        if self._memory.size_pages + pages > _PAGES_32_MAX:
            return {"Err": {"OutOfMemory": None}}
        return self._grow(pages)

    def stable64_grow(self, new_pages: object) -> dict[str, Any]:
        """Add pages."""
        self._raw_access()
        return self._grow(as_u64(new_pages))

    def stable_read(self, offset: object, length: object) -> bytes:
        """Read raw memory below 4 GiB."""
        message = self._raw_access()
        start, size = as_u32(offset), as_u32(length)
        self._check_32_bit(message)
        return self._read(message, start, size)

    def stable64_read(self, offset: object, length: object) -> bytes:
        """Read raw memory."""
        return self._read(self._raw_access(), as_u64(offset), as_u64(length))

    def stable_write(self, offset: object, buf: object) -> None:
        """Write raw memory below 4 GiB."""
        message = self._raw_access()
        start, content = as_u32(offset), as_bytes(buf)
        self._check_32_bit(message)
        self._write(message, start, content)

    def stable64_write(self, offset: object, buf: object) -> None:
        """Write raw memory."""
        self._write(self._raw_access(), as_u64(offset), as_bytes(buf))

    def _map_call(self, memory_id: object, call: Callable[[StableMap], T]) -> T:
        message = self._state.current()
        number = as_u8(memory_id)
        found = self._maps.get(number)
        if found is None:
            reason = f"memory_id {number} does not have an associated StableBTreeMap"
            raise LookupError(reason)
        try:
            return call(found)
        except Panic as panic:
            message.stop(Trap(str(panic), EXPLICIT_TRAP))

    def _raw_access(self) -> MessageState:
        message = self._state.current()
        if self._maps:
            reason = (
                "raw stable memory is not available beside StableBTreeMap: compiled by Kybra, "
                "both would overwrite each other from offset 0"
            )
            message.stop(Trap(reason, OTHER_TRAP))
        return message

    def _check_32_bit(self, message: MessageState) -> None:
        if self._memory.size_pages > _PAGES_32_MAX:
            reason = "32 bit stable memory api used on a memory larger than 4GB"
            message.stop(Trap(reason, OTHER_TRAP))

    def _grow(self, pages: int) -> dict[str, Any]:
        before = self._memory.grow(pages)
        return {"Err": {"OutOfMemory": None}} if before is None else {"Ok": before}

    def _read(self, message: MessageState, offset: int, size: int) -> bytes:
        if not self._memory.is_within(offset, size):
            self._out_of_bounds(message)
        if size > _READ_SIZE_MAX:
            reason = f"reading {size} bytes of stable memory at once, at most {_READ_SIZE_MAX} here"
            message.stop(Trap(reason, OTHER_TRAP))
        self._state.meter.charge(size * PRICES.raw_byte)
        return self._memory.read(offset, size)

    def _write(self, message: MessageState, offset: int, content: bytes) -> None:
        if not self._memory.is_within(offset, len(content)):
            self._out_of_bounds(message)
        self._state.meter.charge(len(content) * PRICES.raw_byte)
        self._memory.write_raw(offset, content)

    def _out_of_bounds(self, message: MessageState) -> NoReturn:
        message.stop(Trap("stable memory out of bounds", OTHER_TRAP))
