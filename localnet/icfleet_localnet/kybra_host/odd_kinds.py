"""Uncommon mutable objects: subclasses of containers, buffers, random generators, caches.

Each ``Keeper`` works through the base class's own methods, so that nothing a canister overrode
runs during a rollback.
"""

import functools
import gc
import io
import itertools
import logging
import random
from array import array
from collections import OrderedDict, defaultdict, deque
from collections.abc import Iterable
from operator import is_not
from typing import Any, Protocol

__all__ = ["LRU_CACHE", "Keeper", "OddGroup", "hidden_parts", "keeper_for"]

_log = logging.getLogger(__name__)

LRU_CACHE: type[Any] = type(functools.lru_cache(lambda: None))


class Keeper(Protocol):
    """Remembers and restores one uncommon kind of object."""

    def remember(self, target: Any) -> Any:
        """Return what ``put_back`` needs."""
        ...

    def is_same(self, target: Any, memory: Any) -> bool:
        """Whether the object is as remembered."""
        ...

    def put_back(self, target: Any, memory: Any) -> None:
        """Make the object what it was."""
        ...


class OddGroup:
    """Objects with a keeper each."""

    def __init__(self) -> None:
        self._kept: list[tuple[Keeper, object, Any]] = []

    @property
    def size(self) -> int:
        """Objects remembered."""
        return len(self._kept)

    def add(self, target: object, keeper: Keeper) -> None:
        """Remember one object as it is now."""
        self._kept.append((keeper, target, keeper.remember(target)))

    def restore(self) -> int:
        """Put back the objects that are not as remembered, and return how many those were."""
        changed = [kept for kept in self._kept if not kept[0].is_same(kept[1], kept[2])]
        for keeper, target, memory in changed:
            keeper.put_back(target, memory)
        return len(changed)

    def renew(self) -> list[object]:
        """Remember changed objects as they are now, and return what they hold."""
        held: list[object] = []
        for index, (keeper, target, memory) in enumerate(self._kept):
            if not keeper.is_same(target, memory):
                self._kept[index] = keeper, target, keeper.remember(target)
                held += gc.get_referents(target)
        return held


def _are_identical(now: Iterable[Any], before: Iterable[Any]) -> bool:
    return not any(map(is_not, now, before))


# The base classes as ``Any``: their methods are called unbound, on objects of subclasses.
_dict: Any = dict
_ordered: Any = OrderedDict


class _DictSubclassKeeper:
    def remember(self, target: Any) -> Any:
        return _dict.copy(target)

    def is_same(self, target: Any, memory: dict[Any, Any]) -> bool:
        return (
            len(memory) == _dict.__len__(target)
            and _are_identical(_dict.__iter__(target), memory)
            and _are_identical(_dict.values(target), memory.values())
        )

    def put_back(self, target: Any, memory: dict[Any, Any]) -> None:
        _dict.clear(target)
        _dict.update(target, memory)


class _DefaultDictKeeper:
    _items = _DictSubclassKeeper()

    def remember(self, target: Any) -> tuple[dict[Any, Any], Any]:
        return self._items.remember(target), target.default_factory

    def is_same(self, target: Any, memory: tuple[dict[Any, Any], Any]) -> bool:
        return target.default_factory is memory[1] and self._items.is_same(target, memory[0])

    def put_back(self, target: Any, memory: tuple[dict[Any, Any], Any]) -> None:
        self._items.put_back(target, memory[0])
        target.default_factory = memory[1]


class _OrderedDictKeeper:
    """An ``OrderedDict`` keeps its order apart from its dict, so only its own methods will do."""

    def remember(self, target: Any) -> tuple[list[Any], list[Any]]:
        keys = list(_ordered.__iter__(target))
        return keys, [_dict.__getitem__(target, key) for key in keys]

    def is_same(self, target: Any, memory: tuple[list[Any], list[Any]]) -> bool:
        keys, values = self.remember(target)
        return (
            len(keys) == len(memory[0])
            and _are_identical(keys, memory[0])
            and _are_identical(values, memory[1])
        )

    def put_back(self, target: Any, memory: tuple[list[Any], list[Any]]) -> None:
        _ordered.clear(target)
        for key, value in zip(*memory, strict=True):
            _ordered.__setitem__(target, key, value)


class _IterableKeeper:
    """Subclasses of ``list``, ``set`` and ``deque``."""

    def __init__(self, base: Any, fill: str) -> None:
        self._base = base
        self._fill = getattr(base, fill)

    def remember(self, target: Any) -> list[Any]:
        return list(self._base.__iter__(target))

    def is_same(self, target: Any, memory: list[Any]) -> bool:
        now = self.remember(target)
        return len(now) == len(memory) and _are_identical(now, memory)

    def put_back(self, target: Any, memory: list[Any]) -> None:
        self._base.clear(target)
        self._fill(target, memory)


class _BufferKeeper:
    """``bytearray`` and ``array``, whose items are plain numbers."""

    def __init__(self, base: Any) -> None:
        self._base = base

    def remember(self, target: Any) -> Any:
        return self._base.__getitem__(target, slice(None))

    def is_same(self, target: Any, memory: Any) -> bool:
        return bool(self._base.__eq__(target, memory))

    def put_back(self, target: Any, memory: Any) -> None:
        self._base.__setitem__(target, slice(None), memory)


class _RandomKeeper:
    """Random generators of Python."""

    _base: Any = random.Random

    def remember(self, target: Any) -> Any:
        return self._base.getstate(target)

    def is_same(self, target: Any, memory: Any) -> bool:
        return bool(self._base.getstate(target) == memory)

    def put_back(self, target: Any, memory: Any) -> None:
        self._base.setstate(target, memory)


class _MemoryFileKeeper:
    """``io.StringIO`` and ``io.BytesIO``; ``None`` stands for a closed one."""

    def __init__(self, base: Any) -> None:
        self._base = base

    def remember(self, target: Any) -> Any:
        if target.closed:
            return None
        # Without the last item, the attributes: they are a dict, found like any other.
        return self._base.__getstate__(target)[:-1]

    def is_same(self, target: Any, memory: Any) -> bool:
        return bool(self.remember(target) == memory)

    def put_back(self, target: Any, memory: Any) -> None:
        if memory is None:
            self._base.close(target)
            return
        self._base.__init__(target)  # Opens it again.
        self._base.__setstate__(target, (*memory, None))


class _BoundedCacheKeeper:
    """``functools.lru_cache`` with a bound: its links cannot be put back, so it is emptied.

    Only when entries were added: a hit adds none, so an object that lives in the cache since an
    earlier commit stays there.
    """

    def remember(self, target: Any) -> tuple[int, int]:
        info = target.cache_info()
        return info.misses, info.currsize

    def is_same(self, target: Any, memory: tuple[int, int]) -> bool:
        return self.remember(target) == memory

    def put_back(self, target: Any, memory: tuple[int, int]) -> None:
        del memory
        target.cache_clear()


class _CountKeeper:
    """``itertools.count``, which cannot be set back: the developer is told."""

    def remember(self, target: object) -> str:
        return repr(target)

    def is_same(self, target: object, memory: str) -> bool:
        return repr(target) == memory

    def put_back(self, target: object, memory: str) -> None:
        _log.warning(
            "a message was undone, but %s in the heap cannot be set back to %s: count with an int",
            target,
            memory,
        )


_KEEPERS: tuple[tuple[type[Any], Keeper], ...] = (
    (OrderedDict, _OrderedDictKeeper()),
    (defaultdict, _DefaultDictKeeper()),
    (dict, _DictSubclassKeeper()),
    (list, _IterableKeeper(list, "extend")),
    (set, _IterableKeeper(set, "update")),
    (deque, _IterableKeeper(deque, "extend")),
    (bytearray, _BufferKeeper(bytearray)),
    (array, _BufferKeeper(array)),
    (itertools.count, _CountKeeper()),
    (random.Random, _RandomKeeper()),
    (io.BytesIO, _MemoryFileKeeper(io.BytesIO)),
    (io.StringIO, _MemoryFileKeeper(io.StringIO)),
)

_bounded_cache_keeper = _BoundedCacheKeeper()


def keeper_for(target: Any) -> Keeper | None:
    """Return the keeper for an object's C-level content, or ``None`` when it needs none."""
    if isinstance(target, random.SystemRandom):
        return None  # It has no state, and asking for it is an error.
    if isinstance(target, LRU_CACHE):
        # An unbounded cache is one plain dict, which is found and put back like any other.
        is_bounded = target.cache_parameters()["maxsize"] is not None
        return _bounded_cache_keeper if is_bounded else None
    for base, keeper in _KEEPERS:
        if isinstance(target, base):
            return keeper
    return None


def hidden_parts(target: Any) -> list[object]:
    """Return parts that the keeper answers for, and that nobody else may write to.

    A bounded cache's dict holds links; writing to it would tear the chain beside it.
    """
    if keeper_for(target) is not _bounded_cache_keeper:
        return []
    return [
        part
        for part in gc.get_referents(target)
        if type(part) is dict and part is not target.__dict__
    ]
