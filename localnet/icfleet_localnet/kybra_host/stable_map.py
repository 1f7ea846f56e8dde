"""``StableBTreeMap`` as compiled Kybra canisters have it, over one canister's stable memory.

Keys and values are stored as Candid messages: so they are copied in and out, checked against the
declared types and measured against the declared sizes. Listings come in Rust's order of keys.

Sizes of whole listings are the canister's to bound; a listing after a change sorts the keys once.

Source: ``ic-stable-structures`` 0.5.6, ``btreemap``; ``kybra`` 0.7.1,
``kybra_generate/src/ic_object/functions/stable_b_tree_map``.
"""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from icfleet_localnet.kybra_host.border import Border
from icfleet_localnet.kybra_host.candid_order import sort_key_for
from icfleet_localnet.kybra_host.conversion import PythonSide
from icfleet_localnet.kybra_host.interface import StableMapDeclaration
from icfleet_localnet.kybra_host.metering import PRICES
from icfleet_localnet.kybra_host.stable_memory import Entries, MapEntries, StableMemory
from icfleet_localnet.kybra_host.traps import Panic
from icfleet_protocol.candid import TypeEnvironment
from icfleet_protocol.errors import CandidError

__all__ = ["StableMap", "open_maps"]


def _free(instructions: int) -> None:
    """Count nothing."""
    del instructions


class StableMap:
    """One map; keys and values go in and come out as canister code has them.

    Args:
        declaration: Its types and sizes.
        memory: Where it is stored.
        environment: What named types are looked up in.
        python: Converts values.
        charge: Told the approximated instructions of each operation; by default nobody is.

    Raises:
        Panic: Where the compiled canister would trap: an item too large, stored bytes that the
            declared types do not fit, sizes that grew at an upgrade.
    """

    def __init__(
        self,
        declaration: StableMapDeclaration,
        memory: StableMemory,
        environment: TypeEnvironment,
        python: PythonSide,
        charge: Callable[[int], None] = _free,
    ) -> None:
        self._charge = charge
        self._declaration = declaration
        self._memory = memory
        self._key = Border((declaration.key,), environment, python)
        self._value = Border((declaration.value,), environment, python)
        self._sort_key = sort_key_for(declaration.key, environment)
        self._opened: MapEntries | None = None
        self._order: list[Any] | None = None
        self._generation = memory.generation

    def __len__(self) -> int:
        return len(self._open().entries)

    def contains_key(self, key: object) -> bool:
        """Whether there is a value at ``key``."""
        entries = self._open().entries
        self._charge(PRICES.of_map(PRICES.map_get, len(entries)))
        return self._sort_key_of(key) in entries

    def get(self, key: object) -> Any:
        """Return a copy of the value at ``key``, or ``None``."""
        sort_key = self._sort_key_of(key)
        entries = self._open().entries
        stored = entries.get(sort_key)
        size = 0 if stored is None else len(stored[0]) + len(stored[1])
        self._charge(PRICES.of_map(PRICES.map_get, len(entries)) + size * PRICES.candid_byte)
        return None if stored is None else _load(self._value, stored[1])

    def insert(self, key: object, value: object) -> Any:
        """Set the value at ``key``, and return the old one or ``None``."""
        taken_key, taken_value = self._key.take([key]), self._value.take([value])
        stored = self._open()
        key_bytes, value_bytes = self._key.encode(taken_key), self._value.encode(taken_value)
        _check_size("Key", len(key_bytes), self._declaration.key_size_max)
        _check_size("Value", len(value_bytes), self._declaration.value_size_max)
        sort_key = self._sort_key(taken_key[0])
        before = stored.entries.get(sort_key)
        size = len(key_bytes) + len(value_bytes) + (0 if before is None else len(before[1]))
        price = PRICES.of_map(PRICES.map_insert, len(stored.entries))
        self._charge(price + size * PRICES.candid_byte)
        if before is None:
            self._order = None
        self._memory.write(stored.entries, sort_key, (key_bytes, value_bytes))
        return None if before is None else _load(self._value, before[1])

    def remove(self, key: object) -> Any:
        """Remove the value at ``key``, and return it or ``None``."""
        sort_key = self._sort_key_of(key)
        stored = self._open()
        before = stored.entries.get(sort_key)
        self._charge(PRICES.of_map(PRICES.map_remove, len(stored.entries)))
        if before is None:
            return None
        self._order = None
        self._memory.remove(stored.entries, sort_key)
        return _load(self._value, before[1])

    def keys(self) -> list[Any]:
        """Return copies of all keys, in order."""
        return [_load(self._key, key) for key, _ in self._listed()]

    def values(self) -> list[Any]:
        """Return copies of all values, in the order of their keys."""
        return [_load(self._value, value) for _, value in self._listed()]

    def items(self) -> list[tuple[Any, Any]]:
        """Return copies of all keys with their values, in order."""
        return [(_load(self._key, key), _load(self._value, value)) for key, value in self._listed()]

    def _sort_key_of(self, key: object) -> Any:
        return self._sort_key(self._key.take([key])[0])

    def _listed(self) -> Iterable[tuple[bytes, bytes]]:
        entries = self._open().entries
        self._charge(len(entries) * PRICES.map_listed + entries.stored_bytes * PRICES.candid_byte)
        if self._order is None or self._generation != self._memory.generation:
            self._order = sorted(entries)
            self._generation = self._memory.generation
        return [entries[sort_key] for sort_key in self._order]

    def _open(self) -> MapEntries:
        """Return what is stored; the first use after an install or upgrade checks it."""
        declaration = self._declaration
        stored = self._memory.maps.get(declaration.memory_id)
        if stored is not None and stored is self._opened:
            return stored
        if stored is None:
            stored = MapEntries(declaration.key_size_max, declaration.value_size_max)
        else:
            _check_growth("max_key_size", declaration.key_size_max, stored.key_size_max)
            _check_growth("max_value_size", declaration.value_size_max, stored.value_size_max)
            stored = self._reread(stored)
        self._memory.write(self._memory.maps, declaration.memory_id, stored)
        self._opened = stored
        self._order = None
        return stored

    def _reread(self, stored: MapEntries) -> MapEntries:
        """Sort what earlier code stored by the key type as it is declared now."""
        entries = {
            self._sort_key(_decode(self._key, pair[0])): pair for pair in stored.entries.values()
        }
        return MapEntries(stored.key_size_max, stored.value_size_max, Entries(entries))


def open_maps(
    declarations: Mapping[int, StableMapDeclaration],
    memory: StableMemory,
    environment: TypeEnvironment,
    python: PythonSide,
    charge: Callable[[int], None],
) -> dict[int, StableMap]:
    """Return a canister's maps by memory id."""
    return {
        memory_id: StableMap(declaration, memory, environment, python, charge)
        for memory_id, declaration in declarations.items()
    }


def _decode(side: Border, stored: bytes) -> Any:
    try:
        return side.decode(stored)[0]
    except CandidError as error:
        reason = f"CandidError: {error}"
        raise Panic(reason) from error


def _load(side: Border, stored: bytes) -> Any:
    """Decode a stored key or value for canister code."""
    return side.give([_decode(side, stored)])[0]


def _check_size(what: str, size: int, size_max: int) -> None:
    if size > size_max:
        reason = (
            f"Panicked at '{what} is too large. Expected <= {size_max} bytes, found {size} bytes'"
        )
        raise Panic(reason)


def _check_growth(what: str, declared: int, stored: int) -> None:
    if declared > stored:
        reason = f"Panicked at '{what} must be <= {stored}'"
        raise Panic(reason)
