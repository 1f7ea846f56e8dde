"""The cache keeps what it may, loads once for all, and never longer than allowed."""

import asyncio

import pytest

from icfleet_agent.cache import TtlCache
from icfleet_agent.testing import ManualClock


class Loader:
    """Counts loads; each takes ``duration_s`` of manual time."""

    def __init__(self, clock: ManualClock, *, duration_s: float = 0.0) -> None:
        self.count = 0
        self._clock = clock
        self._duration_s = duration_s

    async def __call__(self) -> int:
        self.count += 1
        count = self.count
        await asyncio.sleep(0)
        self._clock.advance(self._duration_s)
        return count


def make_cache(clock: ManualClock, *, entries_max: int = 10) -> TtlCache[str, int]:
    return TtlCache(entries_max=entries_max, ttl_s=60.0, clock=clock)


async def test_a_value_is_loaded_once_and_kept_for_its_time() -> None:
    clock = ManualClock()
    cache, load = make_cache(clock), Loader(clock)

    assert await cache.get("key", load) == 1
    clock.advance(59.9)
    assert await cache.get("key", load) == 1
    clock.advance(0.2)
    assert await cache.get("key", load) == 2


async def test_misses_at_the_same_time_share_a_load() -> None:
    clock = ManualClock()
    cache, load = make_cache(clock), Loader(clock)

    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(cache.get("key", load)) for _ in range(20)]

    assert {task.result() for task in tasks} == {1}
    assert load.count == 1


async def test_a_caller_may_ask_for_a_younger_value() -> None:
    clock = ManualClock()
    cache, load = make_cache(clock), Loader(clock)
    await cache.get("key", load)
    clock.advance(10.0)

    assert await cache.get("key", load, age_max_s=10.0) == 1
    assert await cache.get("key", load, age_max_s=9.9) == 2


async def test_age_counts_from_when_loading_began() -> None:
    """The value may have been made at any time since."""
    clock = ManualClock()
    cache, load = make_cache(clock), Loader(clock, duration_s=30.0)
    await cache.get("key", load)

    assert await cache.get("key", load, age_max_s=29.0) == 2


async def test_a_failed_load_is_not_remembered() -> None:
    clock = ManualClock()
    cache = make_cache(clock)

    async def fail() -> int:
        reason = "no"
        raise ValueError(reason)

    with pytest.raises(ValueError, match="no"):
        await cache.get("key", fail)

    assert cache.peek("key") is None
    assert await cache.get("key", Loader(clock)) == 1


async def test_a_cancelled_caller_does_not_stop_the_load_for_others() -> None:
    clock = ManualClock()
    cache, load = make_cache(clock), Loader(clock)

    async with asyncio.TaskGroup() as group:
        first = group.create_task(cache.get("key", load))
        second = group.create_task(cache.get("key", load))
        await asyncio.sleep(0)
        first.cancel()

    assert second.result() == 1
    assert cache.peek("key") == 1


async def test_size_is_bounded_and_the_least_used_goes_first() -> None:
    clock = ManualClock()
    cache = make_cache(clock, entries_max=2)
    cache.put("a", 1)
    cache.put("b", 2)
    assert cache.peek("a") == 1

    cache.put("c", 3)

    assert len(cache) == 2
    assert cache.peek("b") is None
    assert (cache.peek("a"), cache.peek("c")) == (1, 3)


async def test_values_are_put_and_dropped_by_hand() -> None:
    clock = ManualClock()
    cache = make_cache(clock)
    cache.put("key", 7)

    assert await cache.get("key", Loader(clock)) == 7
    cache.drop("key")
    cache.drop("key")
    assert cache.peek("key") is None
    assert len(cache) == 0
