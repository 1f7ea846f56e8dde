"""Answers computed ahead: the only kind of cached query that the IC can have.

A query keeps nothing it writes, so a value is computed where writes last: in an update or a
timer. Queries only read it, at a cost that does not depend on what it took to compute. A write
marks the views of its tags dirty; ``refresh`` recomputes the dirty ones by priority under the
caller's budget, and ``renew`` re-dates clean ones that have outlived their time: a value that no
write has touched is as true as it was.

No write looks at all views. Each kind of work has a queue of its own, so that the next one is
found in a number of steps that grows with the logarithm of their number.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterable
from typing import Generic, TypeVar

from icfleet_canister.fleet_errors import ConfigurationError

__all__ = ["VIEWS_MAX", "VIEW_TTL_NS", "View", "ViewCache", "ViewValue"]

#: How long a value is good for when nothing changes.
VIEW_TTL_NS = 5 * 60 * 1_000_000_000

#: How long after that a value which could not be recomputed is kept at all.
STALE_CUTOFF_NS = 10 * 60 * 1_000_000_000

#: Bounds the heap, and what a write that touches every view costs.
VIEWS_MAX = 1_000

#: Values re-dated in one message.
RENEW_MAX = 100

#: Entries that a queue keeps of views which have moved on, beyond one for each that has not.
_SLACK = 64

Content = TypeVar("Content")


class ViewValue(Generic[Content]):
    """One computed answer."""

    __slots__ = ("computed_at_ns", "content", "expires_at_ns", "seq")

    def __init__(self, content: Content, computed_at_ns: int, expires_at_ns: int, seq: int) -> None:
        self.content = content
        self.computed_at_ns = computed_at_ns
        self.expires_at_ns = expires_at_ns
        self.seq = seq
        """Position in the log that the value shows, or a later one that did not change it."""


class View(Generic[Content]):
    """A registered view and its last value.

    Args:
        name: What readers ask for.
        compute: Returns the content from the state as it is now, in a bounded number of steps: a
            message that dies in it is undone, the write that asked for it too.
        tags: What it is made of: a write that touches one of them makes it dirty.
        priority: Higher ones are computed first and evicted last.
        ttl_ns: How long a value is good for.
    """

    __slots__ = ("compute", "is_dirty", "name", "priority", "tags", "ttl_ns", "value")

    def __init__(
        self,
        name: str,
        compute: Callable[[], Content],
        *,
        tags: Iterable[str],
        priority: int = 0,
        ttl_ns: int = VIEW_TTL_NS,
    ) -> None:
        if ttl_ns <= 0:
            reason = f"view {name!r} with a lifetime of {ttl_ns} ns"
            raise ConfigurationError(reason)
        self.name = name
        self.compute = compute
        self.tags = frozenset(tags)
        self.priority = priority
        self.ttl_ns = ttl_ns
        self.is_dirty = True
        self.value: ViewValue[Content] | None = None

    @property
    def computed_at_ns(self) -> int:
        """Return when the value was made; 0 if there is none, so that it counts as oldest."""
        return self.value.computed_at_ns if self.value else 0


class _Queue:
    """Names by rank, lowest first; a name that is put again is only at its new rank.

    A heap whose outdated entries are dropped when they come up, and all together when they
    outnumber the others.
    """

    def __init__(self) -> None:
        self._heap: list[tuple[int, int, str]] = []
        self._ranks: dict[str, tuple[int, int, str]] = {}

    def __len__(self) -> int:
        return len(self._ranks)

    def __contains__(self, name: str) -> bool:
        return name in self._ranks

    def put(self, name: str, first: int, second: int = 0) -> None:
        """Take in a name at rank ``(first, second, name)``, or move it there."""
        rank = (first, second, name)
        self._ranks[name] = rank
        heapq.heappush(self._heap, rank)
        if len(self._heap) > 2 * len(self._ranks) + _SLACK:
            self._heap = list(self._ranks.values())
            heapq.heapify(self._heap)

    def drop(self, name: str) -> None:
        """Take out a name, if it is in."""
        self._ranks.pop(name, None)

    def first(self) -> tuple[int, int, str] | None:
        """Return the lowest rank, or ``None`` when empty."""
        heap = self._heap
        while heap:
            rank = heap[0]
            if self._ranks.get(rank[2]) is rank:
                return rank
            heapq.heappop(heap)
        return None


class ViewCache(Generic[Content]):
    """The registered views.

    Args:
        views_max: Bound on their number.
    """

    def __init__(self, views_max: int = VIEWS_MAX) -> None:
        if views_max < 1:
            reason = f"a cache of {views_max} views"
            raise ConfigurationError(reason)
        self._views: dict[str, View[Content]] = {}
        # Of each tag the views that wait for a write of it: all but those already queued.
        self._waiting_by_tag: dict[str, set[str]] = {}
        self._dirty = _Queue()
        self._by_worth = _Queue()
        # When to date a clean value anew, or to try again a view that failed.
        self._due = _Queue()
        # When to drop the value of a view that is dirty.
        self._stale = _Queue()
        self._views_max = views_max
        self.computed = 0
        """Computations that succeeded, since the heap was made; so are the other figures."""
        self.failures = 0
        """Computations that raised."""
        self.renewed = 0
        """Values dated anew."""
        self.evicted = 0
        """Views that made room for others."""
        self.rejected = 0
        """Views that a full cache did not take."""
        self.dropped = 0
        """Values dropped because they were dirty for too long."""

    def __len__(self) -> int:
        return len(self._views)

    @property
    def dirty_count(self) -> int:
        """Number of views that ``refresh`` would compute."""
        return len(self._dirty)

    def register(self, view: View[Content]) -> bool:
        """Take in a view, dirty at first, with the value it has; replace one of the same name.

        When the cache is full, the view of lowest priority and oldest value makes room; if the new
        one has lower priority than all, it is not taken.

        Returns:
            Whether the view is registered now.
        """
        name = view.name
        if name in self._views:
            self._forget(name)
        elif len(self._views) >= self._views_max:
            victim = self._by_worth.first()
            assert victim is not None
            if victim[0] > view.priority:
                self.rejected += 1
                return False
            self._forget(victim[2])
            self.evicted += 1
        self._views[name] = view
        self._by_worth.put(name, view.priority, view.computed_at_ns)
        self._mark_dirty(view)
        return True

    def read(self, name: str) -> View[Content] | None:
        """Return a view, or ``None`` if there is none of that name; its value may be ``None``."""
        return self._views.get(name)

    def invalidate(self, tags: Iterable[str]) -> None:
        """Mark every view of these tags dirty; those that are already cost nothing."""
        for tag in tags:
            for name in self._waiting_by_tag.pop(tag, ()):
                view = self._views[name]
                self._stop_waiting(view)
                self._mark_dirty(view)

    def refresh(
        self,
        now_ns: int,
        seq: int,
        budget: int,
        is_exhausted: Callable[[], bool] | None = None,
    ) -> int:
        """Recompute up to ``budget`` dirty views, highest priority and oldest value first.

        A view whose ``compute`` raises keeps its old value, is counted in ``failures``, and waits
        for the next write of its tags or for its time to pass: one bad view must not stop the
        writes of all others.

        Args:
            now_ns: Time of this message.
            seq: Position of the log that the state shows.
            budget: Views computed at most.
            is_exhausted: Whether the message has used up its instructions; asked before each view.

        Returns:
            How many were computed, or tried.
        """
        done = 0
        while done < budget:
            rank = self._dirty.first()
            if rank is None or (is_exhausted is not None and is_exhausted()):
                break
            self._dirty.drop(rank[2])
            self._compute(self._views[rank[2]], now_ns, seq)
            done += 1
        return done

    def renew(self, now_ns: int, seq: int, work_max: int = RENEW_MAX) -> int:
        """Re-date clean values that have expired, and let views that failed be tried again.

        Returns:
            How many views were looked at, ``work_max`` at most.
        """
        done = 0
        while done < work_max:
            rank = self._due.first()
            if rank is None or rank[0] > now_ns:
                break
            view = self._views[rank[2]]
            self._due.drop(view.name)
            done += 1
            if view.value is not None and not view.is_dirty:
                self._set_value(view, view.value.content, now_ns, seq)
                self.renewed += 1
            else:
                self._stop_waiting(view)
                self._dirty.put(view.name, -view.priority, view.computed_at_ns)
        return done

    def next_due_ns(self) -> int | None:
        """Return when ``refresh`` or ``renew`` have work: 0 for now, ``None`` for never."""
        if len(self._dirty):
            return 0
        rank = self._due.first()
        return None if rank is None else rank[0]

    def next_sweep_ns(self) -> int | None:
        """Return when a dirty value becomes too old to be kept, or ``None``."""
        rank = self._stale.first()
        return None if rank is None else rank[0]

    def sweep(self, now_ns: int, work_max: int) -> int:
        """Drop up to ``work_max`` values that are dirty and long expired; return how many."""
        done = 0
        while done < work_max:
            rank = self._stale.first()
            if rank is None or rank[0] > now_ns:
                break
            self._stale.drop(rank[2])
            self._views[rank[2]].value = None
            done += 1
        self.dropped += done
        return done

    def _mark_dirty(self, view: View[Content]) -> None:
        view.is_dirty = True
        self._due.drop(view.name)
        self._dirty.put(view.name, -view.priority, view.computed_at_ns)
        if view.value is not None and view.name not in self._stale:
            self._stale.put(view.name, view.value.expires_at_ns + STALE_CUTOFF_NS)

    def _compute(self, view: View[Content], now_ns: int, seq: int) -> None:
        for tag in view.tags:
            self._waiting_by_tag.setdefault(tag, set()).add(view.name)
        try:
            content = view.compute()
        except Exception:  # noqa: BLE001 - the view is a stranger's code; its failure is counted
            self.failures += 1
            self._due.put(view.name, now_ns + view.ttl_ns)
            return
        self.computed += 1
        self._stale.drop(view.name)
        view.is_dirty = False
        self._set_value(view, content, now_ns, seq)

    def _set_value(self, view: View[Content], content: Content, now_ns: int, seq: int) -> None:
        expires_at_ns = now_ns + view.ttl_ns
        view.value = ViewValue(content, now_ns, expires_at_ns, seq)
        self._by_worth.put(view.name, view.priority, now_ns)
        self._due.put(view.name, expires_at_ns)

    def _stop_waiting(self, view: View[Content]) -> None:
        for tag in view.tags:
            waiting = self._waiting_by_tag.get(tag)
            if waiting is not None:
                waiting.discard(view.name)
                if not waiting:
                    del self._waiting_by_tag[tag]

    def _forget(self, name: str) -> None:
        self._stop_waiting(self._views.pop(name))
        self._dirty.drop(name)
        self._by_worth.drop(name)
        self._due.drop(name)
        self._stale.drop(name)
