"""Uncommon mutable objects: subclasses of containers, buffers, random generators, caches.

Each ``Keeper`` works through the base class's own methods, so that nothing a canister overrode
runs during a rollback. Two things are the canister's all the same, where it overrode them: the hash
of what is a key in an ``OrderedDict``, or in a dict that iterates in its own way.
"""

import decimal
import functools
import gc
import io
import itertools
import logging
from _random import Random
from array import array
from collections import OrderedDict, defaultdict, deque
from collections.abc import Iterable
from operator import is_not
from typing import Any, Protocol, cast

from icfleet_localnet.kybra_host.heap_kinds import attribute_of

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
_default: Any = defaultdict
_cache: Any = LRU_CACHE
_cache_attributes: Any = vars(LRU_CACHE)["__dict__"]
_count: Any = itertools.count


class _DictSubclassKeeper:
    def remember(self, target: Any) -> Any:
        if attribute_of(type(cast("object", target)), "__iter__") is _dict.__iter__:
            return _dict.copy(target)
        # The same would ask the subclass for its keys and items.
        return dict(_dict.items(target))

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
        return self._items.remember(target), _default.default_factory.__get__(target)

    def is_same(self, target: Any, memory: tuple[dict[Any, Any], Any]) -> bool:
        factory = _default.default_factory.__get__(target)
        return factory is memory[1] and self._items.is_same(target, memory[0])

    def put_back(self, target: Any, memory: tuple[dict[Any, Any], Any]) -> None:
        self._items.put_back(target, memory[0])
        _default.default_factory.__set__(target, memory[1])


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
    """Subclasses of ``list`` and ``deque``."""

    def __init__(self, base: Any) -> None:
        self._base = base

    def remember(self, target: Any) -> list[Any]:
        return list(self._base.__iter__(target))

    def is_same(self, target: Any, memory: list[Any]) -> bool:
        now = self.remember(target)
        return len(now) == len(memory) and _are_identical(now, memory)

    def put_back(self, target: Any, memory: list[Any]) -> None:
        self._base.clear(target)
        self._base.extend(target, memory)


class _SetSubclassKeeper:
    """They are filled from a plain set, which hashes and compares no element."""

    _base: Any = set

    def remember(self, target: Any) -> tuple[list[Any], set[Any]]:
        return list(self._base.__iter__(target)), set[Any]().union(target)

    def is_same(self, target: Any, memory: tuple[list[Any], set[Any]]) -> bool:
        now = list(self._base.__iter__(target))
        return len(now) == len(memory[0]) and _are_identical(now, memory[0])

    def put_back(self, target: Any, memory: tuple[list[Any], set[Any]]) -> None:
        self._base.clear(target)
        self._base.update(target, memory[1])


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
    """Random generators of Python, as far as they are C; the rest are attributes."""

    _base: Any = Random

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
        if self._base.closed.__get__(target):
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
        info = _cache.cache_info(target)
        return info.misses, info.currsize

    def is_same(self, target: Any, memory: tuple[int, int]) -> bool:
        return self.remember(target) == memory

    def put_back(self, target: Any, memory: tuple[int, int]) -> None:
        del memory
        _cache.cache_clear(target)


class _CountKeeper:
    """``itertools.count``, which cannot be set back: the developer is told."""

    def remember(self, target: object) -> str:
        return str(_count.__repr__(target))

    def is_same(self, target: object, memory: str) -> bool:
        return self.remember(target) == memory

    def put_back(self, target: object, memory: str) -> None:
        _log.warning(
            "a message was undone, but %s in the heap cannot be set back to %s: count with an int",
            self.remember(target),
            memory,
        )


class _DecimalContextKeeper:
    """A ``decimal.Context``, where the precision is set."""

    _names = ("prec", "rounding", "Emin", "Emax", "capitals", "clamp")

    def remember(self, target: Any) -> Any:
        plain = [getattr(target, name) for name in self._names]
        return plain, dict(target.flags), dict(target.traps)

    def is_same(self, target: Any, memory: Any) -> bool:
        return bool(self.remember(target) == memory)

    def put_back(self, target: Any, memory: Any) -> None:
        plain, target.flags, target.traps = memory
        for name, value in zip(self._names, plain, strict=True):
            setattr(target, name, value)


_KEEPERS: tuple[tuple[type[Any], Keeper], ...] = (
    (OrderedDict, _OrderedDictKeeper()),
    (defaultdict, _DefaultDictKeeper()),
    (dict, _DictSubclassKeeper()),
    (list, _IterableKeeper(list)),
    (set, _SetSubclassKeeper()),
    (deque, _IterableKeeper(deque)),
    (bytearray, _BufferKeeper(bytearray)),
    (array, _BufferKeeper(array)),
    (itertools.count, _CountKeeper()),
    (Random, _RandomKeeper()),
    (decimal.Context, _DecimalContextKeeper()),
    (io.BytesIO, _MemoryFileKeeper(io.BytesIO)),
    (io.StringIO, _MemoryFileKeeper(io.StringIO)),
)

_bounded_cache_keeper = _BoundedCacheKeeper()


def keeper_for(target: Any) -> Keeper | None:
    """Return the keeper for an object's C-level content, or ``None`` when it needs none."""
    kind = type(cast("object", target))
    if issubclass(kind, LRU_CACHE):
        # An unbounded cache is one plain dict, which is found and put back like any other.
        is_bounded = _cache.cache_info(target).maxsize is not None
        return _bounded_cache_keeper if is_bounded else None
    for base, keeper in _KEEPERS:
        if issubclass(kind, base):
            return keeper
    return None


def hidden_parts(target: Any) -> list[object]:
    """Return parts that the keeper answers for, and that nobody else may write to.

    A bounded cache's dict holds links; writing to it would tear the chain beside it.
    """
    if keeper_for(target) is not _bounded_cache_keeper:
        return []
    attributes = _cache_attributes.__get__(target)
    return [
        part for part in gc.get_referents(target) if type(part) is dict and part is not attributes
    ]
