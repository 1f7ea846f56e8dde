"""All that one message can change, made to stay or undone as a whole.

That is the heap, stable memory, timers, and which modules are loaded. The heap's checkpoint is
renewed when the first message after a commit begins, and serves all queries up to the next commit.

A state may be held, and visited later: its heap is put back into the same objects, and stable
memory is undone to it, for one query. It is as exact as a rollback is (see ``checkpoint``): not
held are positions of iterators and generators, the inner state of C objects, the entries that a
``lru_cache`` had, and the order of a set that changed since.
"""

import logging
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import count

from icfleet_localnet.kybra_host.checkpoint import Checkpoint, Snapshot, Untouched
from icfleet_localnet.kybra_host.modules import LoadedModules, ModuleSpace
from icfleet_localnet.kybra_host.stable_memory import StableMemory, Undone
from icfleet_localnet.kybra_host.timers import TimerState, TimerTable

__all__ = ["HEAP_OBJECTS_WARNED", "HELD_MAX", "Branch", "UnitOfWork"]

HEAP_OBJECTS_WARNED = 10_000
"""From here on each message takes 2 ms and more only to compare the heap with its checkpoint.

Measured 2026-11 on dicts of four fields: 0.2 us an object to compare, 0.8 us to walk afresh.
"""

HELD_MAX = 4
"""States held at once; a held state costs as much memory as the heap's containers."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Branch:
    """Changes of a query that waits for another, set aside until it goes on."""

    heap: Snapshot
    memory: Undone
    timers: TimerState
    modules: LoadedModules


@dataclass(frozen=True, slots=True)
class _Held:
    """A committed state that can be visited."""

    heap: Snapshot
    timers: TimerState
    modules: LoadedModules
    position: int
    """How many writes to stable memory were logged before."""


class UnitOfWork:
    """Begins, keeps and undoes messages of one canister.

    Args:
        space: The canister's modules.
        memory: Its stable memory.
        timers: Its timers.
        waiting: Gives the suspended generators, which are part of the heap.
    """

    def __init__(
        self,
        space: ModuleSpace,
        memory: StableMemory,
        timers: TimerTable,
        waiting: Callable[[], Sequence[object]],
    ) -> None:
        self._space = space
        self._memory = memory
        self._timers = timers
        self._waiting = waiting
        self._checkpoint: Snapshot | None = None
        self._is_current = False
        self._before: tuple[TimerState, LoadedModules] | None = None
        self._heap_objects = 0
        self._counted_objects = 0
        self._has_warned = False
        self._undoes_heap = True
        self._left: list[object] = []
        self._held: dict[int, _Held] = {}
        self._visited: _Held | None = None
        self._numbers = count(1)
        self._writes: Undone = []
        """Since the oldest held state: what stood in stable memory before each write."""
        self._writes_cut = 0
        """Logged writes that are not needed any more."""

    @property
    def heap_objects(self) -> int:
        """Mutable objects seen by the last checkpoint."""
        return self._heap_objects

    @property
    def counted_objects(self) -> int:
        """The same, before the last message that was kept: queries do not renew it."""
        return self._counted_objects

    @property
    def is_exact(self) -> bool:
        """Whether every rollback since the last commit left the very state that was committed."""
        return not isinstance(self._checkpoint, Checkpoint) or self._checkpoint.is_exact

    def leave_heap(self, *, is_left: bool) -> None:
        """Choose whether the heap is undone here, or by ending the process."""
        self._undoes_heap = not is_left
        self._checkpoint, self._is_current = None, False

    def checkpoint_heap(self) -> None:
        """Take the checkpoint that the next message would take."""
        self._take_checkpoint()

    def begin(self) -> None:
        """Start a message."""
        self._take_checkpoint()
        self._memory.begin()
        self._before = self._timers.state, self._space.loaded
        if self._visited is not None:
            self._enter(self._visited)

    def commit(self) -> None:
        """Keep what the message changed."""
        written = self._memory.commit()
        if self._held:
            self._writes += written
        self._is_current = False
        self._counted_objects = self._heap_objects

    def hold(self) -> int:
        """Keep the committed state for ``visit``, and return its number."""
        assert len(self._held) < HELD_MAX, f"at most {HELD_MAX} states can be held"
        heap = self._make_checkpoint(self._waiting())
        position = self._writes_cut + len(self._writes)
        number = next(self._numbers)
        self._held[number] = _Held(heap, self._timers.state, self._space.loaded, position)
        return number

    def release(self, number: int) -> None:
        """Forget a held state; an unknown number is no error."""
        self._held.pop(number, None)
        end = self._writes_cut + len(self._writes)
        first = min((held.position for held in self._held.values()), default=end)
        del self._writes[: first - self._writes_cut]
        self._writes_cut = first

    def release_all(self) -> None:
        """Forget all held states."""
        for number in tuple(self._held):
            self.release(number)

    @contextmanager
    def visit(self, number: int) -> Generator[None]:
        """Let the next message, which must be dropped in the end, meet a held state."""
        self._visited = self._held[number]
        try:
            yield
        finally:
            self._visited = None

    def rollback(self) -> None:
        """Undo the message."""
        self._memory.rollback()
        self.restore_heap()

    def restore_heap(self) -> None:
        """Undo the message, except in stable memory."""
        assert self._before is not None, "nothing was begun"
        timers, modules = self._before
        self._timers.restore(timers)
        self._space.loaded = modules
        if self._visited is not None:
            # Also what only the held state leads to.
            self._visited.heap.restore()
        self._take_checkpoint().restore()

    def set_aside(self, generators: Sequence[object]) -> Branch:
        """Undo the message, but remember what it did, for ``go_on``."""
        heap = self._make_checkpoint(generators)
        timers, modules = self._timers.state, self._space.loaded
        memory = self._memory.rollback()
        self.restore_heap()
        return Branch(heap, memory, timers, modules)

    def go_on(self, branch: Branch) -> None:
        """Make changes again that were set aside; a message must have begun."""
        self._memory.redo(branch.memory)
        self._timers.restore(branch.timers)
        self._space.loaded = branch.modules
        branch.heap.restore()

    def drop(self, close: Callable[[], None]) -> None:
        """Let ``close`` run canister code, and undo whatever it does to the heap.

        Where the heap is not undone here, what would be closed is kept instead.
        """
        if not self._undoes_heap:
            self._left.append(close)
            return
        checkpoint = self._take_checkpoint()
        close()
        checkpoint.restore()

    def _enter(self, held: _Held) -> None:
        """Bring back a held state, as part of the current unit of work."""
        later = self._writes[held.position - self._writes_cut :]
        self._memory.redo(later[::-1])
        self._timers.restore(held.timers)
        self._space.loaded = held.modules
        held.heap.restore()

    def _take_checkpoint(self) -> Snapshot:
        """Return the heap of the last commit; call it before canister code runs."""
        if self._checkpoint is not None and self._is_current:
            return self._checkpoint
        generators = self._waiting()
        if self._checkpoint is None or not self._checkpoint.renew(self._roots(generators)):
            # First let go of the old one, which is as large as the new one.
            self._checkpoint = None
            self._checkpoint = self._make_checkpoint(generators)
        self._is_current = True
        self._heap_objects = self._checkpoint.size
        self._warn()
        return self._checkpoint

    def _roots(self, generators: Sequence[object]) -> list[object]:
        return [*self._space.roots, *self._timers.callbacks, *generators]

    def _make_checkpoint(self, generators: Sequence[object]) -> Snapshot:
        if not self._undoes_heap:
            return Untouched()
        return Checkpoint(self._roots(generators), self._space.is_own, foreign=self._space.foreign)

    def _warn(self) -> None:
        if self._heap_objects > HEAP_OBJECTS_WARNED and not self._has_warned:
            self._has_warned = True
            _log.warning(
                "the canister's heap has %d objects, which makes each update slow here: "
                "bulk data belongs in StableBTreeMap",
                self._heap_objects,
            )
