"""Undoes a message in a canister's heap: remembers every mutable object, puts back what changed.

A checkpoint walks everything reachable from the canister's modules, timers and suspended
generators, and keeps a shallow copy of each mutable object. ``restore`` compares, and writes the
old content back into the *same* objects, so that references held by closures, generators and
other objects stay true. It may be restored any number of times, as each query does, and after a
commit ``renew`` takes over what changed. Weak references to what a commit dropped may live on
until the next full walk.

Not restored, because Python cannot rewind them: positions of iterators and generators that the
canister keeps in its heap, and the inner state of C objects such as ``hashlib`` hashes. A bounded
``lru_cache`` that gained entries is emptied. A set that changed may iterate in another order
afterwards. Rebinding a function's code or defaults is not seen.
"""

import builtins
import datetime as dt
import decimal
import gc
import operator
import re
import types
from collections import deque
from collections.abc import Callable, Generator, Iterable, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol, cast

from icfleet_localnet.kybra_host.heap_kinds import (
    CellGroup,
    ClassGroup,
    DictGroup,
    FunctionGroup,
    InstanceGroup,
    SequenceGroup,
    SetGroup,
    has_attributes,
    module_of,
    slots_of,
)
from icfleet_localnet.kybra_host.odd_kinds import LRU_CACHE, OddGroup, hidden_parts, keeper_for

__all__ = ["Checkpoint", "Snapshot", "Untouched"]

_RENEWALS_MAX = 64
"""Commits between full walks: what they left behind is held that long, and a walk costs as much
as three renewals."""

_GROWTH_FLOOR = 256
"""Objects by which a checkpoint may grow in any case, so that small heaps profit as well."""

_CONSTANT_KINDS: frozenset[object] = frozenset(
    {
        *(int, float, complex, str, bytes, bool, range, slice, memoryview),
        *(type(None), type(Ellipsis)),
        *(dt.date, dt.datetime, dt.time, dt.timedelta, dt.timezone),
        *(decimal.Decimal, re.Pattern, re.Match),
        *(types.CodeType, types.FrameType, types.TracebackType, types.ModuleType),
        *(types.GetSetDescriptorType, types.MemberDescriptorType, types.WrapperDescriptorType),
        *(types.MethodDescriptorType, types.ClassMethodDescriptorType, types.MethodWrapperType),
        *(types.GenericAlias, types.UnionType),
        # A class's real dict hides behind a proxy, and must never be written to directly.
        types.MappingProxyType,
    }
)
"""Kinds whose objects hold nothing that can change, or nothing that is the canister's."""

_FOREIGN_MODULES = frozenset(
    {
        *("_abc", "_contextvars", "_frozen_importlib", "_frozen_importlib_external", "_thread"),
        *("ast", "dataclasses", "icfleet_localnet", "icfleet_protocol", "importlib", "inspect"),
        *("logging", "os", "sys", "threading", "traceback", "typing", "warnings", "zipimport"),
    }
)
"""Instances of these modules' classes belong to the process, or describe code: never walked."""


class _Single(NamedTuple):
    item: object


_SETTLED_KINDS: frozenset[object] = frozenset(
    {
        *(property, classmethod, staticmethod, types.BuiltinFunctionType),
        *(type(cast("object", vars(_Single)["item"])), operator.attrgetter, operator.itemgetter),
    }
)
"""Kinds that hold others, but never come to hold, or be, anything else."""


class Snapshot(Protocol):
    """A heap to come back to."""

    @property
    def size(self) -> int:
        """Mutable objects remembered."""
        ...

    def restore(self) -> int:
        """Put back what changed, and return how many objects that were."""
        ...

    def renew(self, roots: Sequence[object]) -> bool:
        """Take over what changed since, or return ``False`` when a new one is due."""
        ...


class Untouched:
    """A heap that nobody puts back, because its process ends when it must be undone."""

    size = 0

    def restore(self) -> int:
        """Leave everything as it is."""
        return 0

    def renew(self, roots: Sequence[object]) -> bool:
        """Stay as it is."""
        del roots
        return True


class Checkpoint:
    """The heap as it was when this was made.

    Args:
        roots: Namespaces, callbacks and generators from which the heap is reached.
        is_own_module: Whether a module of this name is one of the canister's, which makes its
            classes and functions the canister's.
        foreign: Objects to stay out of, with all that only they lead to.
    """

    def __init__(
        self,
        roots: Sequence[object],
        is_own_module: Callable[[str], bool],
        *,
        foreign: Iterable[object] = (),
    ) -> None:
        self._is_own_module = is_own_module
        self._dicts = DictGroup()
        self._sequences = SequenceGroup()
        self._sets = SetGroup()
        self._cells = CellGroup()
        self._functions = FunctionGroup()
        self._instances = InstanceGroup()
        self._classes = ClassGroup()
        self._odd = OddGroup()
        # Instances first: an instance gets its dict back before the dict gets its content back.
        self._bulk = (
            *(self._instances, self._classes, self._functions, self._cells),
            *(self._dicts, self._sequences, self._sets),
        )
        self._groups = (*self._bulk, self._odd)
        self._plans: dict[type[Any], _Plan] = {}
        self._seen: dict[int, object] = {id(one): one for one in (builtins.__dict__, *foreign)}
        """Objects by id, and held, so that no id is used again while it counts."""
        self._opaque: list[object] = []
        """Objects that may come to hold others without any sign of it."""
        self._renewals_left = _RENEWALS_MAX
        self._was_exact = True
        with _collector_paused():
            self._remember_all(roots)
        self._size_at_walk = self.size

    @property
    def size(self) -> int:
        """Mutable objects remembered."""
        return sum(group.size for group in self._groups)

    @property
    def is_exact(self) -> bool:
        """Whether the heap is now, to the canister, just what it was.

        No when a set may have another order or a cache fewer entries since a restore, or when
        the canister keeps something that may change without a sign of it, as iterators do.
        """
        return self._was_exact and all(type(one) in _SETTLED_KINDS for one in self._opaque)

    def restore(self) -> int:
        """Put back what changed, and return how many objects that were."""
        with _collector_paused():
            counts = {group: group.restore() for group in self._groups}
        if counts[self._sets] or counts[self._odd]:
            self._was_exact = False
        return sum(counts.values())

    def renew(self, roots: Sequence[object]) -> bool:
        """Take over what changed since, so that ``restore`` comes back to this moment.

        Costs a third of a new checkpoint, because only what changed is walked; but objects that
        are gone stay remembered, and alive. So it says no, and does nothing, from time to time.
        """
        growth_max = max(_GROWTH_FLOOR, self._size_at_walk // 2)
        if not self._renewals_left or self.size - self._size_at_walk > growth_max:
            return False
        self._renewals_left -= 1
        with _collector_paused():
            held = [part for group in self._groups for part in group.renew()]
            self._remember_all([*roots, *held, *gc.get_referents(*self._opaque)])
        return True

    def _remember_all(self, roots: Iterable[object]) -> None:
        """Remember all that can be reached and is not remembered yet."""
        seen, pending = self._seen, roots
        while pending:
            found = {id(one): one for one in pending if type(one) not in _CONSTANT_KINDS}
            fresh = {number: one for number, one in found.items() if number not in seen}
            seen.update(fresh)
            pending = self._discover(_sort_by_kind(fresh.values()))
        for group in self._bulk:
            group.remember_discovered()

    def _discover(self, found: "_Found") -> list[object]:
        """Take fresh objects, and return what they hold."""
        parts = gc.get_referents(*found.tuples)
        instances: list[object] = []
        functions: list[types.FunctionType] = []
        classes: list[type[Any]] = []
        for one in found.others:
            if type(one) is types.FunctionType:
                self._sort_function(one, functions, parts)
            elif issubclass(type(one), type):
                one_class = cast("type[Any]", one)
                if self._is_own(module_of(one_class)):
                    classes.append(one_class)
            else:
                self._sort_instance(one, instances, parts)
        parts += self._classes.discover(classes)
        parts += self._dicts.discover(found.dicts)
        parts += self._sequences.discover(found.sequences)
        parts += self._sets.discover(found.sets)
        parts += self._cells.discover(found.cells)
        parts += self._functions.discover(functions)
        parts += self._instances.discover(instances)
        return parts

    def _is_own(self, module: object) -> bool:
        """Whether code is the canister's; only its own code has anything else there than a text."""
        return self._is_own_module(module) if type(module) is str else module is not None

    def _sort_function(
        self,
        function: types.FunctionType,
        functions: list[types.FunctionType],
        parts: list[object],
    ) -> None:
        # A library's plain function is not ours; its closure may hold what is.
        parts.extend(function.__closure__ or ())
        if not self._is_own(function.__module__):
            return
        parts += [function.__defaults__, function.__kwdefaults__]
        if has_attributes(function):
            parts.append(function.__dict__)
        else:
            functions.append(function)

    def _sort_instance(self, one: object, instances: list[object], parts: list[object]) -> None:
        kind = type(one)
        plan = self._plans.get(kind)
        if plan is None:
            plan = self._plans[kind] = _plan_for(one)
        if plan.is_foreign:
            return
        if plan.has_keeper:
            keeper = keeper_for(one)
            if keeper is not None:
                self._odd.add(one, keeper)
            self._seen.update({id(part): part for part in hidden_parts(one)})
        if plan.is_opaque:
            self._opaque.append(one)
        if plan.has_slots:
            instances.append(one)
        else:
            parts.extend(gc.get_referents(one))


@dataclass(slots=True)
class _Found:
    """Fresh objects, sorted by what is done with them."""

    dicts: list[dict[Any, Any]]
    sequences: list[object]
    sets: list[object]
    tuples: list[object]
    cells: list[types.CellType]
    others: list[object]


def _sort_by_kind(objects: Iterable[object]) -> _Found:
    found = _Found([], [], [], [], [], [])
    shelves: dict[type[Any], list[Any]] = {
        dict: found.dicts,
        types.CellType: found.cells,
        set: found.sets,
        **dict.fromkeys((list, deque), found.sequences),
        **dict.fromkeys((tuple, frozenset, types.MethodType), found.tuples),
    }
    others = found.others
    for one in objects:
        shelves.get(type(one), others).append(one)
    return found


@dataclass(frozen=True, slots=True)
class _Plan:
    """How instances of one class are remembered; worked out once per class."""

    is_foreign: bool
    has_keeper: bool
    has_slots: bool
    is_opaque: bool


def _plan_for(one: object) -> _Plan:
    keeper, has_slots = keeper_for(one), bool(slots_of(one))
    kind = type(one)
    is_tuple, is_cache = issubclass(kind, tuple | frozenset), issubclass(kind, LRU_CACHE)
    module = module_of(kind)
    root = module.partition(".")[0] if type(module) is str else ""
    is_foreign = issubclass(kind, types.ModuleType) or (root in _FOREIGN_MODULES and keeper is None)
    return _Plan(
        is_foreign=is_foreign,
        has_keeper=keeper is not None or is_cache,
        has_slots=has_slots,
        # A cache is known by its keeper, but what it holds changes without a sign of it.
        is_opaque=is_cache or not (keeper or has_slots or is_tuple),
    )


@contextmanager
def _collector_paused() -> Generator[None]:
    """Hold back the cyclic garbage collector, which slows bulk copying two to three times."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()
