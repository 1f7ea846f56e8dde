"""Memory under a million distinct principals, keys and ids: bounds stated here hold."""

import tracemalloc
from collections.abc import Generator
from contextlib import contextmanager

import pytest

from icfleet_canister import Charge, IdWindow, RateLimiter, View, ViewCache
from icfleet_canister.id_window import ID_MEMORY_NS, WINDOW_CAPACITY
from icfleet_canister.rate_limiter import ENTRIES_MAX, RESERVED_FOR_KNOWN
from icfleet_canister.view_cache import VIEWS_MAX

SECOND_NS = 1_000_000_000
START_NS = 1_700_000_000 * SECOND_NS
MEGABYTE = 1_000_000

pytestmark = pytest.mark.timeout(120)


@contextmanager
def at_most(megabytes: float) -> Generator[None]:
    """Hold what is allocated inside, at its peak, to a bound."""
    tracemalloc.start()
    try:
        yield
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak <= megabytes * MEGABYTE, f"{peak / MEGABYTE:.1f} MB"


def principal(number: int) -> str:
    """As long as a principal's text gets."""
    return f"{number:08d}-bbbbb-ccccc-ddddd-eeeee-fffff-ggggg-hhhhh-iiiii-jjjjj"


def test_a_full_limiter_takes_25_megabytes() -> None:
    """100,000 principals, players and strangers, and 20,000 more who take their places."""
    limiter = RateLimiter()
    with at_most(25):
        for number in range(ENTRIES_MAX - RESERVED_FOR_KNOWN):
            limiter.admit_one(principal(number), START_NS + number)
        for number in range(1, 40_001):
            player = Charge(principal(-number), is_known=True)
            limiter.admit([player], START_NS + number * SECOND_NS)

    assert len(limiter) == ENTRIES_MAX
    assert (limiter.evicted, limiter.limited) == (20_000, 0)


def test_a_million_principals_fit_the_limiter() -> None:
    """Half come in one minute, half in a quarter of an hour; none takes away another's room."""
    limiter = RateLimiter()
    now_ns = START_NS
    longest = 0
    for number in range(1_000_000):
        limiter.admit_one(principal(number), now_ns)
        now_ns += 120_000 if number < 500_000 else 1_800_000
        if number % 1_000 == 0:
            longest = max(longest, len(limiter))
            limiter.sweep(now_ns, 1)

    assert longest == ENTRIES_MAX - RESERVED_FOR_KNOWN
    assert (limiter.admitted, limiter.overflowed) == (1_000_000, 0)
    assert limiter.evicted + len(limiter) == 1_000_000


def test_players_never_wait_for_a_crowd_of_strangers() -> None:
    """Their share of the entries is theirs."""
    limiter = RateLimiter()
    now_ns = START_NS
    for number in range(150_000):
        limiter.admit_one(principal(number), now_ns)
        now_ns += 6_000_000
        if number % 100 == 0:
            player = Charge(f"player {number // 100 % 2_000}", 20, is_known=True)
            assert limiter.admit([player], now_ns) == 0
        if number % 50_000 == 0:
            limiter.sweep(now_ns, 1)


def test_a_full_window_of_ids_takes_80_megabytes_and_empties() -> None:
    """Each in a message of its own, which takes most; those beyond its size are not taken in."""
    window = IdWindow()
    remembered = 0
    with at_most(80):
        for number in range(210_000):
            if window.has_room:
                operation_id = number.to_bytes(16, "big")
                window.remember(principal(number), operation_id, number, START_NS + number)
                remembered += 1

    assert remembered == len(window) == WINDOW_CAPACITY
    late_ns = START_NS + 210_000 + ID_MEMORY_NS + 1
    while window.sweep(late_ns, 10_000):
        pass
    assert len(window) == 0
    assert window.next_sweep_ns() is None


def test_views_of_ever_new_keys_take_two_megabytes() -> None:
    """Whoever registers a view for each player keeps the newest thousand."""
    cache: ViewCache[int] = ViewCache()
    with at_most(2):
        for number in range(30_000):
            name = principal(number)
            cache.register(View(name, lambda: 1, tags=[name]))
            if number % 10 == 0:
                cache.refresh(START_NS + number, seq=number, budget=5)

    assert len(cache) == VIEWS_MAX
    assert cache.evicted == 30_000 - VIEWS_MAX
