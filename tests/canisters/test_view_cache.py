"""Views: computed by writes and timers, read by queries."""

import tracemalloc
from collections.abc import Callable

import pytest
from bytecodes import count_bytecodes
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
    cache: ViewCache[int] = ViewCache(views_max=3)
    cache.register(View("important", source.compute, tags=["t"], priority=2))
    for now_ns, name in enumerate(("old", "new"), start=1):
        cache.register(View(name, source.compute, tags=[name], priority=1))
        cache.refresh(now_ns, seq=0, budget=9)
    cache.invalidate(["new"])
    cache.refresh(now_ns=3, seq=0, budget=9)

    assert not cache.register(View("unimportant", source.compute, tags=["t"]))
    assert cache.register(View("another", source.compute, tags=["t"], priority=1))

    names = ("important", "old", "new", "another", "unimportant")
    assert [name for name in names if cache.read(name)] == ["important", "new", "another"]


def test_a_view_that_is_gone_is_dated_and_dropped_no_more() -> None:
    """Its name may mean another view by then."""
    source = Source()
    cache: ViewCache[int] = ViewCache(views_max=1)
    cache.register(View("gone", source.compute, tags=["t"]))
    cache.refresh(now_ns=0, seq=0, budget=9)
    cache.register(View("here", source.compute, tags=["t"]))

    assert cache.renew(VIEW_TTL_NS, seq=0) == 0
    assert cache.next_sweep_ns() is None
    assert cache.sweep(10 * STALE_CUTOFF_NS, 9) == 0


def test_a_value_that_was_computed_again_is_not_stale() -> None:
    """The sweeper leaves it alone."""
    cache = cache_of(Source(), "board")
    cache.refresh(now_ns=0, seq=0, budget=1)
    cache.invalidate(["tag-board"])
    cache.refresh(now_ns=1, seq=0, budget=1)

    assert cache.next_sweep_ns() is None
    assert cache.sweep(10 * STALE_CUTOFF_NS, 9) == 0
    assert content(cache, "board") == 0


def test_registering_a_name_again_replaces_the_view() -> None:
    """Its old tags are forgotten."""
    source = Source()
    cache = cache_of(source, "board")
    cache.refresh(now_ns=0, seq=0, budget=1)

    cache.register(View("board", source.compute, tags=["other"]))
    cache.refresh(now_ns=0, seq=0, budget=1)
    cache.invalidate(["tag-board"])

    assert (len(cache), cache.dirty_count) == (1, 0)


def test_an_instruction_budget_stops_before_the_next_view() -> None:
    """However many views the tick would allow; none is lost."""
    source = Source()
    cache = cache_of(source, "a", "b", "c")

    assert cache.refresh(1, 1, budget=9, is_exhausted=lambda: source.computations == 2) == 2
    assert cache.dirty_count == 1
    assert cache.refresh(2, 1, budget=9, is_exhausted=lambda: True) == 0
    assert cache.refresh(2, 1, budget=9) == 1


def test_a_view_that_failed_is_tried_again_when_its_time_has_passed() -> None:
    """What it failed for may be over although nothing was written."""
    source = Source()
    cache = cache_of(source, "board")
    source.is_broken = True
    cache.refresh(now_ns=0, seq=0, budget=9)
    assert cache.next_due_ns() == VIEW_TTL_NS
    assert cache.renew(now_ns=VIEW_TTL_NS - 1, seq=0) == 0

    source.is_broken = False
    assert cache.renew(now_ns=VIEW_TTL_NS, seq=0) == 1
    assert cache.refresh(now_ns=VIEW_TTL_NS, seq=0, budget=9) == 1

    assert content(cache, "board") == 0


def test_dating_anew_does_bounded_work() -> None:
    """Five expired values, two at a time."""
    cache = cache_of(Source(), *"abcde")
    cache.refresh(now_ns=0, seq=0, budget=9)

    assert [cache.renew(VIEW_TTL_NS, 1, work_max=2) for _ in range(4)] == [2, 2, 1, 0]
    assert cache.next_due_ns() == 2 * VIEW_TTL_NS


def test_figures_tell_what_happened() -> None:
    """For ``status``."""
    source = Source()
    cache: ViewCache[int] = ViewCache(views_max=2)
    for name, priority in [("a", 1), ("b", 2), ("c", 1), ("d", 0)]:
        cache.register(View(name, source.compute, tags=["t"], priority=priority))
    cache.refresh(now_ns=0, seq=0, budget=9)
    cache.renew(now_ns=VIEW_TTL_NS, seq=0)
    source.is_broken = True
    cache.invalidate(["t"])
    cache.refresh(now_ns=VIEW_TTL_NS, seq=1, budget=1)
    cache.sweep(10 * STALE_CUTOFF_NS, 9)

    assert (len(cache), cache.computed, cache.failures, cache.renewed) == (2, 2, 1, 2)
    assert (cache.evicted, cache.rejected, cache.dropped, cache.dirty_count) == (1, 1, 2, 1)


def steps_of_one_write(views: int) -> int:
    """Write to one view of many, refresh, ask all the questions that follow every write."""
    source = Source()
    cache: ViewCache[int] = ViewCache(views_max=views)
    for number in range(views):
        cache.register(View(f"v{number}", source.compute, tags=[f"t{number % (views // 4)}"]))
    cache.refresh(now_ns=0, seq=0, budget=views)

    def write() -> None:
        cache.invalidate(["t1"])
        cache.refresh(now_ns=1, seq=1, budget=2)
        cache.renew(now_ns=1, seq=1)
        cache.next_due_ns()
        cache.next_sweep_ns()
        cache.sweep(now_ns=1, work_max=9)
        cache.register(View("one more", source.compute, tags=["t2"]))

    return count_bytecodes(write)


def test_a_write_takes_no_more_steps_among_many_views() -> None:
    """It looks at the views of its tags and at the first of each queue, and at no others."""
    assert steps_of_one_write(40_000) <= steps_of_one_write(40) * 1.1


def test_a_write_of_views_that_are_dirty_already_costs_nothing() -> None:
    """A thousand views of one tag are marked once, not at every write until they are computed."""
    source = Source()
    cache: ViewCache[int] = ViewCache()
    for number in range(1_000):
        cache.register(View(f"v{number}", source.compute, tags=["t", "u"]))
    cache.refresh(now_ns=0, seq=0, budget=1_000)
    cache.invalidate(["t"])

    assert count_bytecodes(lambda: cache.invalidate(["t", "u"])) < 50


def test_a_view_replaced_again_and_again_leaves_nothing_behind() -> None:
    """The queues forget what has moved on."""
    source = Source()
    cache: ViewCache[int] = ViewCache(views_max=4)

    def churn(first: int) -> None:
        for number in range(first, first + 2_000):
            tags = [f"t{number}", f"u{number}"]
            cache.register(View(f"v{number % 9}", source.compute, tags=tags))
            cache.refresh(now_ns=number, seq=number, budget=1)
            cache.invalidate([f"t{number}"])

    churn(0)
    tracemalloc.start()
    churn(2_000)
    left = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()

    assert left < 50_000


def test_a_view_registered_again_keeps_its_value_until_it_is_computed() -> None:
    """Dirty, as its rows may have changed; an old answer that says so is better than none."""
    source = Source()
    cache: ViewCache[int] = ViewCache()
    view = View("board", source.compute, tags=["t"])
    cache.register(view)
    cache.refresh(now_ns=0, seq=0, budget=1)
    source.value = 1

    cache.register(view)

    assert (view.is_dirty, content(cache, "board")) == (True, 0)
    assert cache.next_sweep_ns() == VIEW_TTL_NS + STALE_CUTOFF_NS
    cache.refresh(now_ns=1, seq=1, budget=1)
    assert content(cache, "board") == 1


class Model:
    """What the cache should do, by looking at everything every time."""

    def __init__(self, views_max: int) -> None:
        self.views: dict[str, View[int]] = {}
        self.queued: set[str] = set()
        self.views_max = views_max

    def register(self, view: View[int]) -> None:
        if view.name not in self.views and len(self.views) == self.views_max:
            victim = min(self.views.values(), key=_worth)
            if victim.priority > view.priority:
                return
            self.forget(victim.name)
        self.forget(view.name)
        self.views[view.name] = view
        self.queued.add(view.name)

    def forget(self, name: str) -> None:
        self.views.pop(name, None)
        self.queued.discard(name)

    def invalidate(self, tag: str) -> None:
        self.queued |= {name for name, view in self.views.items() if tag in view.tags}

    def next_computed(self) -> str | None:
        due = [self.views[name] for name in self.queued]
        view = min(
            due, key=lambda each: (-each.priority, each.computed_at_ns, each.name), default=None
        )
        if view is not None:
            self.queued.discard(view.name)
        return None if view is None else view.name


def _worth(view: View[int]) -> tuple[int, int, str]:
    return (view.priority, view.computed_at_ns, view.name)


@given(
    st.lists(
        st.tuples(
            st.sampled_from(["register", "write", "refresh", "refresh"]),
            st.sampled_from("abcdef"),
            st.integers(0, 2),
        ),
        max_size=80,
    )
)
def test_the_queues_choose_as_a_search_of_all_views_would(
    steps: list[tuple[str, str, int]],
) -> None:
    """Which view is computed next, and which one has to go."""
    cache: ViewCache[int] = ViewCache(views_max=3)
    model = Model(views_max=3)
    computed: list[str] = []
    for now_ns, (step, letter, number) in enumerate(steps, start=1):
        if step == "register":
            compute = _compute_of(letter, computed)
            view = View(letter, compute, tags=[f"t{number}", letter], priority=number)
            cache.register(view)
            model.register(view)
        elif step == "write":
            cache.invalidate([f"t{number}"])
            model.invalidate(f"t{number}")
        else:
            expected = model.next_computed()
            assert (
                cache.refresh(now_ns, now_ns, budget=1) == len(computed) == (expected is not None)
            )
            assert computed == [expected] * len(computed)
            computed.clear()
        assert {name for name in "abcdef" if cache.read(name)} == set(model.views)
        assert cache.dirty_count == len(model.queued)


def _compute_of(name: str, computed: list[str]) -> Callable[[], int]:
    def compute() -> int:
        computed.append(name)
        return 0

    return compute


@pytest.mark.parametrize("views_max", [0, -1])
def test_a_cache_without_room_is_a_mistake(views_max: int) -> None:
    """It could take no view."""
    with pytest.raises(ConfigurationError):
        ViewCache[int](views_max)


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
