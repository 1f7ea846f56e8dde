"""Answers computed ahead: the only kind of cached query that the IC can have.

A query keeps nothing it writes, so a value is computed where writes last: in an update or a
timer. Queries only read it, at a cost that does not depend on what it took to compute. A write
marks the views of its tags dirty; ``refresh`` recomputes the dirty ones by priority under the
caller's budget, and re-dates clean ones that have outlived their time: a value that no write has
touched is as true as it was.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Generic, TypeVar

from icfleet_canister.fleet_errors import ConfigurationError

__all__ = ["VIEWS_MAX", "VIEW_TTL_NS", "View", "ViewCache", "ViewValue"]

#: How long a value is good for when nothing changes.
VIEW_TTL_NS = 5 * 60 * 1_000_000_000

#: How long after that a value which could not be recomputed is kept at all.
STALE_CUTOFF_NS = 10 * 60 * 1_000_000_000

#: Bounds the heap and the search for the next view to compute.
VIEWS_MAX = 1_000

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
        compute: Returns the content from the state as it is now.
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


class ViewCache(Generic[Content]):
    """The registered views.

    Args:
        views_max: Bound on their number.
    """

    def __init__(self, views_max: int = VIEWS_MAX) -> None:
        self._views: dict[str, View[Content]] = {}
        self._names_by_tag: dict[str, set[str]] = {}
        self._dirty: set[str] = set()
        self._failed: set[str] = set()
        # No value expires before this; exact only after ``renew``, so that writes cost no search.
        self._expiry_bound_ns: int | None = None
        self._views_max = views_max
        self.failures = 0
        """Computations that raised, since the heap was made."""

    def __len__(self) -> int:
        return len(self._views)

    @property
    def dirty_count(self) -> int:
        """Number of views that ``refresh`` would compute."""
        return len(self._dirty)

    def register(self, view: View[Content]) -> bool:
        """Take in a view, dirty at first; replace one of the same name.

        When the cache is full, the view of lowest priority and oldest value makes room; if the new
        one has lower priority than all, it is not taken.

        Returns:
            Whether the view is registered now.
        """
        self._forget(view.name)
        if len(self._views) >= self._views_max:
            victim = min(self._views.values(), key=_eviction_order)
            if victim.priority > view.priority:
                return False
            self._forget(victim.name)
        self._views[view.name] = view
        for tag in view.tags:
            self._names_by_tag.setdefault(tag, set()).add(view.name)
        view.is_dirty = True
        self._dirty.add(view.name)
        return True

    def read(self, name: str) -> View[Content] | None:
        """Return a view, or ``None`` if there is none of that name; its value may be ``None``."""
        return self._views.get(name)

    def invalidate(self, tags: Iterable[str]) -> None:
        """Mark every view of these tags dirty."""
        for tag in tags:
            for name in self._names_by_tag.get(tag, ()):
                self._views[name].is_dirty = True
                self._dirty.add(name)
                self._failed.discard(name)

    def refresh(self, now_ns: int, seq: int, budget: int) -> int:
        """Recompute up to ``budget`` dirty views, highest priority and oldest value first.

        A view whose ``compute`` raises keeps its old value, is counted in ``failures``, and waits
        for the next write of its tags: one bad view must not stop the writes of all others.

        Args:
            now_ns: Time of this message.
            seq: Position of the log that the state shows.
            budget: Views computed at most.

        Returns:
            How many were computed.
        """
        if not self._dirty:
            return 0
        due = sorted((self._views[name] for name in self._dirty), key=_refresh_order)[:budget]
        for view in due:
            self._dirty.discard(view.name)
            self._compute(view, now_ns, seq)
        return len(due)

    def renew(self, now_ns: int, seq: int) -> int:
        """Re-date clean values that have expired; return how many."""
        renewed = 0
        expiries: list[int] = []
        for view in self._views.values():
            if view.value is None or view.is_dirty:
                continue
            if view.value.expires_at_ns <= now_ns:
                content = view.value.content
                view.value = ViewValue(content, now_ns, now_ns + view.ttl_ns, seq)
                renewed += 1
            expiries.append(view.value.expires_at_ns)
        self._expiry_bound_ns = min(expiries, default=None)
        return renewed

    def next_due_ns(self) -> int | None:
        """Return when ``refresh`` or ``renew`` may have work: 0 for now, ``None`` for never."""
        return 0 if self._dirty else self._expiry_bound_ns

    def next_sweep_ns(self) -> int | None:
        """Return when a dirty value becomes too old to be kept, or ``None``."""
        values = (self._views[name].value for name in (*self._dirty, *self._failed))
        expiries = (value.expires_at_ns for value in values if value is not None)
        earliest_ns = min(expiries, default=None)
        return None if earliest_ns is None else earliest_ns + STALE_CUTOFF_NS

    def sweep(self, now_ns: int, work_max: int) -> int:
        """Drop up to ``work_max`` values that are dirty and long expired; return how many."""
        done = 0
        for name in (*self._dirty, *self._failed):
            view = self._views[name]
            if done == work_max:
                break
            if view.value is None or view.value.expires_at_ns + STALE_CUTOFF_NS > now_ns:
                continue
            view.value = None
            done += 1
        return done

    def _compute(self, view: View[Content], now_ns: int, seq: int) -> None:
        try:
            content = view.compute()
        except Exception:  # noqa: BLE001 - the view is a stranger's code; its failure is counted
            self.failures += 1
            self._failed.add(view.name)
            return
        expires_at_ns = now_ns + view.ttl_ns
        view.value = ViewValue(content, now_ns, expires_at_ns, seq)
        view.is_dirty = False
        bound_ns = self._expiry_bound_ns
        self._expiry_bound_ns = expires_at_ns if bound_ns is None else min(bound_ns, expires_at_ns)

    def _forget(self, name: str) -> None:
        view = self._views.pop(name, None)
        if view is None:
            return
        self._dirty.discard(name)
        self._failed.discard(name)
        for tag in view.tags:
            self._names_by_tag[tag].discard(name)
            if not self._names_by_tag[tag]:
                del self._names_by_tag[tag]


def _refresh_order(view: View[Content]) -> tuple[int, int, str]:
    return (-view.priority, view.computed_at_ns, view.name)


def _eviction_order(view: View[Content]) -> tuple[int, int, str]:
    return (view.priority, view.computed_at_ns, view.name)
