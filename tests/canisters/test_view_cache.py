"""Views: computed by writes and timers, read by queries."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from icfleet_canister import ConfigurationError, View, ViewCache
from icfleet_canister.view_cache import STALE_CUTOFF_NS, VIEW_TTL_NS


class Source:
    """State that views are computed from, and a count of how often."""

    def __init__(self) -> None:
        self.value = 0
        self.computations = 0
        self.is_broken = False

    def compute(self) -> int:
        self.computations += 1
        if self.is_broken:
            raise ZeroDivisionError
        return self.value


def cache_of(source: Source, *names: str) -> ViewCache[int]:
    cache: ViewCache[int] = ViewCache()
    for name in names:
        cache.register(View(name, source.compute, tags=[f"tag-{name}"]))
    return cache


def content(cache: ViewCache[int], name: str) -> int | None:
    view = cache.read(name)
    return None if view is None or view.value is None else view.value.content


def test_a_view_has_no_value_before_the_first_refresh() -> None:
    """Reading computes nothing: a query could not keep it."""
    source = Source()
    cache = cache_of(source, "board")

    assert content(cache, "board") is None
    assert source.computations == 0
    assert cache.read("other") is None


def test_a_value_says_when_and_of_which_position_it_is() -> None:
    """Readers judge staleness by it; the canister's queries never read the clock."""
    cache = cache_of(Source(), "board")

    cache.refresh(now_ns=5, seq=3, budget=1)

    view = cache.read("board")
    assert view is not None
    assert view.value is not None
    value = view.value
    assert (value.computed_at_ns, value.expires_at_ns, value.seq) == (5, 5 + VIEW_TTL_NS, 3)
    assert not view.is_dirty


def test_a_write_dirties_the_views_of_its_tags_only() -> None:
    """The others are not computed again."""
    source = Source()
    cache = cache_of(source, "board", "market")
    cache.refresh(now_ns=0, seq=0, budget=9)
    source.value = 1

    cache.invalidate(["tag-board", "tag-unheard-of"])
    assert cache.dirty_count == 1
    cache.refresh(now_ns=1, seq=1, budget=9)

    assert (content(cache, "board"), content(cache, "market")) == (1, 0)


def test_a_budget_computes_the_important_and_the_old_first() -> None:
    """The rest stays dirty for the next tick."""
    cache: ViewCache[int] = ViewCache()
    source = Source()
    for name, priority in [("low", 0), ("high", 2), ("middle", 1)]:
        cache.register(View(name, source.compute, tags=[name], priority=priority))

    assert cache.refresh(now_ns=1, seq=1, budget=2) == 2
    assert content(cache, "low") is None
    assert cache.next_due_ns() == 0
    assert cache.refresh(now_ns=2, seq=1, budget=2) == 1
    assert cache.next_due_ns() == 1 + VIEW_TTL_NS


def test_an_expired_clean_value_is_dated_anew_without_computing() -> None:
    """No write has touched it, so it is as true as it was."""
    source = Source()
    cache = cache_of(source, "board")
    cache.refresh(now_ns=0, seq=3, budget=1)

    assert cache.renew(now_ns=VIEW_TTL_NS, seq=8) == 1

    view = cache.read("board")
    assert view is not None
    assert view.value is not None
    assert (view.value.computed_at_ns, view.value.seq, source.computations) == (VIEW_TTL_NS, 8, 1)
    assert cache.renew(now_ns=VIEW_TTL_NS, seq=8) == 0


def test_a_view_that_fails_harms_nobody_and_is_counted() -> None:
    """It keeps its old value, dirty, and is tried again at the next write."""
    good, bad = Source(), Source()
    cache: ViewCache[int] = ViewCache()
    cache.register(View("bad", bad.compute, tags=["t"], priority=1))
    cache.register(View("good", good.compute, tags=["t"]))
    cache.refresh(now_ns=0, seq=0, budget=9)
    bad.is_broken, good.value = True, 1
    cache.invalidate(["t"])

    cache.refresh(now_ns=1, seq=1, budget=9)

    assert (content(cache, "good"), content(cache, "bad"), cache.failures) == (1, 0, 1)
    view = cache.read("bad")
    assert view is not None
    assert view.is_dirty
    assert cache.dirty_count == 0
    bad.is_broken = False
    cache.invalidate(["t"])
    cache.refresh(now_ns=2, seq=2, budget=9)
    assert not view.is_dirty


def test_a_dirty_value_is_dropped_long_after_it_expired() -> None:
    """Heap is not kept for what nobody can trust."""
    source = Source()
    cache = cache_of(source, "board")
    cache.refresh(now_ns=0, seq=0, budget=1)
    assert cache.next_sweep_ns() is None
    source.is_broken = True
    cache.invalidate(["tag-board"])
    cache.refresh(now_ns=1, seq=1, budget=1)
    stale_ns = VIEW_TTL_NS + STALE_CUTOFF_NS

    assert cache.next_sweep_ns() == stale_ns
    assert cache.sweep(stale_ns - 1, 10) == 0
    assert content(cache, "board") == 0
    assert cache.sweep(stale_ns, 10) == 1
    assert content(cache, "board") is None
    assert cache.next_sweep_ns() is None


def test_a_sweep_does_bounded_work() -> None:
    """Three stale values, two at a time."""
    source = Source()
    cache = cache_of(source, "a", "b", "c")
    cache.refresh(now_ns=0, seq=0, budget=9)
    cache.invalidate(["tag-a", "tag-b", "tag-c"])
    late_ns = 10 * STALE_CUTOFF_NS

    assert [cache.sweep(late_ns, 2) for _ in range(3)] == [2, 1, 0]


def test_a_full_cache_gives_up_the_least_important_oldest_view() -> None:
    """And takes no view that is less important than all it has."""
    source = Source()
    cache: ViewCache[int] = ViewCache(views_max=2)
    cache.register(View("old", source.compute, tags=["t"], priority=1))
    cache.register(View("new", source.compute, tags=["t"], priority=1))
    cache.refresh(now_ns=1, seq=0, budget=1)

    assert not cache.register(View("unimportant", source.compute, tags=["t"]))
    assert cache.register(View("important", source.compute, tags=["t"], priority=1))

    assert len(cache) == 2
    assert {name for name in ("old", "new", "important") if cache.read(name)} >= {"important"}


def test_registering_a_name_again_replaces_the_view() -> None:
    """Its old tags are forgotten."""
    source = Source()
    cache = cache_of(source, "board")
    cache.refresh(now_ns=0, seq=0, budget=1)

    cache.register(View("board", source.compute, tags=["other"]))
    cache.refresh(now_ns=0, seq=0, budget=1)
    cache.invalidate(["tag-board"])

    assert (len(cache), cache.dirty_count) == (1, 0)


def test_a_lifetime_of_nothing_is_a_mistake() -> None:
    """It would expire before it could be read."""
    with pytest.raises(ConfigurationError):
        View("board", Source().compute, tags=[], ttl_ns=0)


@given(st.lists(st.sampled_from(["write", "refresh", "renew"]), max_size=30))
def test_a_clean_view_shows_the_present_state(steps: list[str]) -> None:
    """Whatever happens in whatever order."""
    source = Source()
    cache = cache_of(source, "board")
    for now_ns, step in enumerate(steps):
        if step == "write":
            source.value += 1
            cache.invalidate(["tag-board"])
        elif step == "refresh":
            cache.refresh(now_ns, seq=source.value, budget=1)
        else:
            cache.renew(now_ns, seq=source.value)
        view = cache.read("board")
        assert view is not None
        if not view.is_dirty:
            assert content(cache, "board") == source.value
