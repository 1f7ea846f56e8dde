"""How one mutable object of each kind is remembered, compared and put back in place.

Comparison is by identity, element by element, and calls no method that a canister could have
overridden: a rollback must neither run the canister's code nor mistake ``True`` for ``1``. So
objects are asked for their ``type`` and never for their ``__class__``, as ``isinstance`` does, and
classes are read by what ``type`` itself has, whatever their metaclass says.

Common kinds are kept in groups that compare many objects by one pass of C code. The pass asks
``gc.get_referents``, which lists what objects hold four times faster than iterating them.
"""

import gc
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from operator import attrgetter, is_not
from types import CellType, FunctionType, GetSetDescriptorType, MemberDescriptorType
from typing import Any, Generic, TypeVar, cast

__all__ = [
    "CellGroup",
    "ClassGroup",
    "DictGroup",
    "FunctionGroup",
    "Group",
    "InstanceGroup",
    "SequenceGroup",
    "SetGroup",
    "attribute_of",
    "has_attributes",
    "module_of",
    "slots_of",
]

_CHUNK_SIZE = 128
"""Objects compared by one pass; a chunk that differs is searched one by one.

Measured 2026-11 on 10,000 small dicts: larger chunks gain under 3 %, and smaller ones find the
one changed object sooner.
"""

_ABSENT = object()
"""Stands for what an unbound cell or slot holds."""

_contents_of_cell = attrgetter("cell_contents")
_attributes_of_function = attrgetter("__dict__")
_size_of_dict: Callable[[dict[str, Any]], int] = cast("Any", dict).__len__
_clear_dict: Callable[[dict[str, Any]], None] = cast("Any", dict).clear

_class: Any = vars(object)["__class__"]
_class_fields: Any = vars(type)
_bases_of: Callable[[type[Any]], tuple[type[Any], ...]] = _class_fields["__mro__"].__get__
_attributes_of: Callable[[type[Any]], Mapping[str, Any]] = _class_fields["__dict__"].__get__
_module_of: Callable[[type[Any]], object] = _class_fields["__module__"].__get__

T = TypeVar("T")
Memory = TypeVar("Memory")


@dataclass(slots=True)
class _Chunk(Generic[T, Memory]):
    targets: list[T]
    memories: list[Memory]
    fingerprint: object
    """What ``Group._fingerprint`` said of the targets; equal only when all hold the same."""


class Group(ABC, Generic[T, Memory]):
    """Objects of one kind, each with the memory of how it was.

    New objects are first discovered, level by level, and remembered when all are known: so that
    chunks are full, also where a heap is deep.
    """

    def __init__(self) -> None:
        self._chunks: list[_Chunk[T, Memory]] = []
        self._discovered: list[T] = []
        self.size = 0

    def discover(self, targets: Sequence[T]) -> Iterable[object]:
        """Take new objects, and return what they hold."""
        self._discovered += targets
        return self._parts(targets)

    def remember_discovered(self) -> None:
        """Remember the new objects as they are now."""
        targets, self._discovered = self._discovered, []
        for start in range(0, len(targets), _CHUNK_SIZE):
            some = targets[start : start + _CHUNK_SIZE]
            self._chunks.append(self._make_chunk(some))
        self.size += len(targets)

    def restore(self) -> int:
        """Put back the objects that are not as remembered, and return how many those were."""
        count = 0
        for chunk in self._chunks:
            if self._is_same(chunk.targets, chunk.fingerprint):
                continue
            for target, memory in zip(chunk.targets, chunk.memories, strict=True):
                if self._has_changed(target, memory):
                    self._put_back(target, memory)
                    count += 1
        return count

    def renew(self) -> list[object]:
        """Remember changed objects as they are now, and return what they hold."""
        held: list[object] = []
        for index, chunk in enumerate(self._chunks):
            if not self._is_same(chunk.targets, chunk.fingerprint):
                held += self._parts(chunk.targets)
                self._chunks[index] = self._make_chunk(chunk.targets)
        return held

    def _make_chunk(self, targets: list[T]) -> _Chunk[T, Memory]:
        return _Chunk(targets, list(map(self._remember, targets)), self._fingerprint(targets))

    def _parts(self, targets: Sequence[T]) -> Iterable[object]:
        """Return what the objects hold that must be remembered too."""
        return gc.get_referents(*targets)

    @abstractmethod
    def _fingerprint(self, targets: Sequence[T]) -> Any:
        """Return what ``_is_same`` compares with."""

    @abstractmethod
    def _is_same(self, targets: Sequence[T], fingerprint: Any) -> bool:
        """Whether nothing changed; may say no wrongly, never yes."""

    @abstractmethod
    def _remember(self, target: T) -> Memory:
        """Return what ``_put_back`` needs."""

    @abstractmethod
    def _has_changed(self, target: T, memory: Memory) -> bool:
        """Whether one object is not as remembered."""

    @abstractmethod
    def _put_back(self, target: T, memory: Memory) -> None:
        """Make the object what it was."""


class _DictsPrint:
    """What many dicts hold, to be compared by a few passes of C code."""

    def __init__(self, dicts: Sequence[dict[Any, Any]]) -> None:
        self._dicts = dicts
        self._sizes = list(map(len, dicts))
        self._keys = list(chain.from_iterable(dicts))
        # From Python 3.13 on, the values of an instance's dict are referents of the instance.
        self._has_hidden_values = any(one and not gc.get_referents(one) for one in dicts)
        self._held = self._list_held()

    @property
    def is_current(self) -> bool:
        # Without the sizes, an item moved from one dict to the next would go unseen. Referents
        # are the values, and keys that are not all text; so ``==`` on keys meets text only.
        held = self._list_held()
        return (
            list(map(len, self._dicts)) == self._sizes
            and len(held) == len(self._held)
            and not any(map(is_not, held, self._held))
            and list(chain.from_iterable(self._dicts)) == self._keys
        )

    def _list_held(self) -> list[object]:
        if self._has_hidden_values:
            return list(chain.from_iterable(one.values() for one in self._dicts))
        return gc.get_referents(*self._dicts)


class DictGroup(Group[dict[Any, Any], dict[Any, Any]]):
    """Plain dicts, among them the namespaces of modules and instances."""

    def _fingerprint(self, targets: Sequence[dict[Any, Any]]) -> _DictsPrint:
        return _DictsPrint(targets)

    def _is_same(self, targets: Sequence[dict[Any, Any]], fingerprint: _DictsPrint) -> bool:
        del targets
        return fingerprint.is_current

    def _remember(self, target: dict[Any, Any]) -> dict[Any, Any]:
        return target.copy()

    def _has_changed(self, target: dict[Any, Any], memory: dict[Any, Any]) -> bool:
        return (
            len(target) != len(memory)
            or any(map(is_not, target, memory))
            or any(map(is_not, target.values(), memory.values()))
        )

    def _put_back(self, target: dict[Any, Any], memory: dict[Any, Any]) -> None:
        target.clear()
        target.update(memory)


class _SizedGroup(Group[Any, Memory]):
    """Containers that are known by their sizes and by what they hold, in its order."""

    def _fingerprint(self, targets: Sequence[Any]) -> tuple[list[int], list[object]]:
        return list(map(len, targets)), gc.get_referents(*targets)

    def _is_same(self, targets: Sequence[Any], fingerprint: tuple[list[int], list[object]]) -> bool:
        sizes, referents = fingerprint
        return list(map(len, targets)) == sizes and not any(
            map(is_not, gc.get_referents(*targets), referents)
        )


class SequenceGroup(_SizedGroup[list[Any]]):
    """Plain lists and deques."""

    def _remember(self, target: Any) -> list[Any]:
        return list(target)

    def _has_changed(self, target: Any, memory: list[Any]) -> bool:
        return len(target) != len(memory) or any(map(is_not, target, memory))

    def _put_back(self, target: Any, memory: list[Any]) -> None:
        target.clear()
        target.extend(memory)


class SetGroup(_SizedGroup[tuple[list[Any], set[Any]]]):
    """Plain sets. They are filled from a copy, which hashes and compares no element."""

    def _remember(self, target: set[Any]) -> tuple[list[Any], set[Any]]:
        return list(target), target.copy()

    def _has_changed(self, target: set[Any], memory: tuple[list[Any], set[Any]]) -> bool:
        order, _ = memory
        return len(target) != len(order) or any(map(is_not, target, order))

    def _put_back(self, target: set[Any], memory: tuple[list[Any], set[Any]]) -> None:
        target.clear()
        target.update(memory[1])


class CellGroup(Group[CellType, object]):
    """Closure cells: what ``nonlocal`` writes to."""

    def _fingerprint(self, targets: Sequence[CellType]) -> list[object]:
        return list(map(self._remember, targets))

    def _is_same(self, targets: Sequence[CellType], fingerprint: list[object]) -> bool:
        try:
            return not any(map(is_not, map(_contents_of_cell, targets), fingerprint))
        except ValueError:  # An unbound cell is among them.
            return False

    def _remember(self, target: CellType) -> object:
        try:
            return target.cell_contents
        except ValueError:
            return _ABSENT

    def _has_changed(self, target: CellType, memory: object) -> bool:
        return self._remember(target) is not memory

    def _put_back(self, target: CellType, memory: object) -> None:
        if memory is _ABSENT:
            del target.cell_contents
        else:
            target.cell_contents = memory


class FunctionGroup(Group[FunctionType, None]):
    """Functions without attributes of their own.

    A function that gets some is cleared of them by ``restore``; by ``renew`` it leaves the group,
    and its attributes become a dict like any other.
    """

    def renew(self) -> list[object]:
        """Let go of functions that got attributes, and return those."""
        held = [target.__dict__ for chunk in self._chunks for target in chunk.targets]
        for chunk in self._chunks:
            chunk.targets = [each for each in chunk.targets if not has_attributes(each)]
            chunk.memories = [None] * len(chunk.targets)
        self.size = sum(len(chunk.targets) for chunk in self._chunks)
        return [one for one in held if _size_of_dict(one)]

    def _parts(self, targets: Sequence[FunctionType]) -> list[object]:
        # The referents lead through ``__globals__`` to whole modules.
        del targets
        return []

    def _fingerprint(self, targets: Sequence[FunctionType]) -> None:
        assert self._is_same(targets, None), "attributes are a dict's business"

    def _is_same(self, targets: Sequence[FunctionType], fingerprint: None) -> bool:
        del fingerprint
        # Not the dicts' truth: a canister may have put in one of its own kind.
        return not any(map(_size_of_dict, map(_attributes_of_function, targets)))

    def _remember(self, target: FunctionType) -> None:
        del target

    def _has_changed(self, target: FunctionType, memory: None) -> bool:
        del memory
        return has_attributes(target)

    def _put_back(self, target: FunctionType, memory: None) -> None:
        del memory
        _clear_dict(target.__dict__)


class ClassGroup(Group[type[Any], dict[str, Any]]):
    """The canister's own classes, for their attributes."""

    def _parts(self, targets: Sequence[type[Any]]) -> Iterable[object]:
        # Not the referents: among them is the class's real dict, which must not be written to.
        return chain.from_iterable(_attributes_of(target).values() for target in targets)

    def _fingerprint(self, targets: Sequence[type[Any]]) -> _DictsPrint:
        proxies = [_attributes_of(target) for target in targets]
        # The one referent of a proxy is the real dict, for reading only.
        return _DictsPrint(cast("list[dict[Any, Any]]", gc.get_referents(*proxies)))

    def _is_same(self, targets: Sequence[type[Any]], fingerprint: _DictsPrint) -> bool:
        del targets
        return fingerprint.is_current

    def _remember(self, target: type[Any]) -> dict[str, Any]:
        return dict(_attributes_of(target))

    def _has_changed(self, target: type[Any], memory: dict[str, Any]) -> bool:
        attributes = _attributes_of(target)
        return attributes.keys() != memory.keys() or any(
            attributes[name] is not value for name, value in memory.items()
        )

    def _put_back(self, target: type[Any], memory: dict[str, Any]) -> None:
        # ``type``'s own methods, because an Enum's metaclass refuses to set a member.
        attributes = _attributes_of(target)
        for name in [name for name in attributes if name not in memory]:
            type.__delattr__(target, name)
        for name, value in memory.items():
            if attributes.get(name, _ABSENT) is not value:
                type.__setattr__(target, name, value)


class InstanceGroup(Group[Any, tuple[type[Any], list[Any]]]):
    """Instances of Python classes: their class, their slots, and *which* dict they have.

    What is in that dict is remembered as any dict is.
    """

    def __init__(self) -> None:
        super().__init__()
        self._slots: dict[type[Any], tuple[Any, ...]] = {}

    def _parts(self, targets: Sequence[Any]) -> Iterable[object]:
        # Dicts must be asked for: many an instance has none until then.
        values = chain.from_iterable(self._remember(target)[1] for target in targets)
        return [*values, *gc.get_referents(*targets)]

    def _fingerprint(self, targets: Sequence[Any]) -> list[object]:
        # Each instance's referents end in its class, so a value moved between two is seen.
        return gc.get_referents(*targets)

    def _is_same(self, targets: Sequence[Any], fingerprint: list[object]) -> bool:
        now = gc.get_referents(*targets)
        return len(now) == len(fingerprint) and not any(map(is_not, now, fingerprint))

    def _remember(self, target: Any) -> tuple[type[Any], list[Any]]:
        kind = type(cast("object", target))
        slots = self._slots.get(kind)
        if slots is None:
            slots = self._slots[kind] = slots_of(target)
        values: list[Any] = []
        for slot in slots:
            try:
                values.append(slot.__get__(target, kind))
            except AttributeError:
                values.append(_ABSENT)
        return kind, values

    def _has_changed(self, target: Any, memory: tuple[type[Any], list[Any]]) -> bool:
        kind, values = memory
        return type(target) is not kind or any(map(is_not, self._remember(target)[1], values))

    def _put_back(self, target: Any, memory: tuple[type[Any], list[Any]]) -> None:
        kind, values = memory
        if type(target) is not kind:
            _class.__set__(target, kind)
        now = self._remember(target)[1]
        for slot, value, current in zip(self._slots[kind], values, now, strict=True):
            if value is current:
                continue
            if value is _ABSENT:
                slot.__delete__(target)
            else:
                slot.__set__(target, value)


def has_attributes(function: FunctionType) -> bool:
    """Whether a function has attributes of its own."""
    return _size_of_dict(function.__dict__) > 0


def module_of(kind: type[Any]) -> object:
    """Return what a class says of its module: a text, unless the canister put something else."""
    try:
        return _module_of(kind)
    except AttributeError:  # It was deleted.
        return None


def attribute_of(kind: type[Any], name: str) -> object:
    """Return a class's attribute as it is, or ``None``."""
    found = (_attributes_of(base)[name] for base in _bases_of(kind) if name in _attributes_of(base))
    return next(found, None)


def slots_of(target: object) -> tuple[Any, ...]:
    """Return the descriptors of what an instance holds: its ``__slots__``, and its dict.

    Empty for objects of C types that have neither.
    """
    slots: list[Any] = [
        member
        for base in _bases_of(type(target))
        if "__slots__" in _attributes_of(base)
        for member in _attributes_of(base).values()
        if type(member) is MemberDescriptorType
    ]
    for base in _bases_of(type(target)):
        descriptor = _attributes_of(base).get("__dict__")
        if type(descriptor) is GetSetDescriptorType:
            slots.append(descriptor)
            break
    return tuple(slots)
