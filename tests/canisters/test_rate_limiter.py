"""Rates by GCRA."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from icfleet_canister import Charge, ConfigurationError, Rate, RateLimiter
from icfleet_canister.rate_limiter import DEFAULT_RATE, IDLE_CUTOFF_NS

SECOND_NS = 1_000_000_000
RATE = Rate(limit=3, window_ns=30 * SECOND_NS)


def charge(key: str = "ada", weight: int = 1, *, is_known: bool = True) -> Charge:
    return Charge(key, weight, RATE, is_known)


def test_the_default_is_one_hundred_a_minute() -> None:
    """A burst of 100 passes, then 0.6 s for each."""
    limiter = RateLimiter()

    waits = [limiter.admit([Charge("ada")], now_ns=0) for _ in range(101)]

    assert waits == [0] * 100 + [DEFAULT_RATE.window_ns // 100]


def test_the_allowance_refills_steadily() -> None:
    """A third of the window later there is room for one more, and only one."""
    limiter = RateLimiter()
    for _ in range(3):
        assert limiter.admit([charge()], now_ns=0) == 0

    assert limiter.admit([charge()], now_ns=10 * SECOND_NS - 1) == 1
    assert limiter.admit([charge()], now_ns=10 * SECOND_NS) == 0
    assert limiter.admit([charge()], now_ns=10 * SECOND_NS) == 10 * SECOND_NS


@given(
    st.lists(st.tuples(st.integers(0, 20 * SECOND_NS), st.integers(1, 3)), min_size=1, max_size=60)
)
def test_no_window_passes_more_than_limit_plus_refill(calls: list[tuple[int, int]]) -> None:
    """Over any span the admitted weight is at most the burst and what has refilled."""
    limiter = RateLimiter()
    now_ns = 0
    admitted: list[tuple[int, int]] = []
    for pause_ns, weight in calls:
        now_ns += pause_ns
        if limiter.admit([charge(weight=weight)], now_ns) == 0:
            admitted.append((now_ns, weight))

    for index, (start_ns, _) in enumerate(admitted):
        for stop in range(index, len(admitted)):
            span_ns = admitted[stop][0] - start_ns
            weight = sum(each for _, each in admitted[index : stop + 1])
            assert weight * RATE.window_ns <= RATE.limit * (RATE.window_ns + span_ns)


@given(st.lists(st.integers(0, 20 * SECOND_NS), max_size=30))
def test_whoever_waits_as_told_is_admitted(pauses_ns: list[int]) -> None:
    """The answer is exact: not a moment sooner, and then surely."""
    limiter = RateLimiter()
    now_ns = 0
    for pause_ns in pauses_ns:
        now_ns += pause_ns
        wait_ns = limiter.admit([charge()], now_ns)
        if wait_ns:
            assert limiter.wait_ns(charge(), now_ns + wait_ns - 1) == 1
            now_ns += wait_ns
            assert limiter.admit([charge()], now_ns) == 0


def test_charges_are_made_all_or_none() -> None:
    """A caller does not pay for a subject that is out of allowance."""
    limiter = RateLimiter()
    for _ in range(3):
        limiter.admit([charge("ada")], now_ns=0)

    assert limiter.admit([charge("gateway"), charge("ada")], now_ns=0) > 0

    assert limiter.wait_ns(charge("gateway", weight=3), now_ns=0) == 0
    assert limiter.admit([], now_ns=0) == 0


def test_a_fine_is_taken_down_to_an_empty_allowance_and_not_beyond() -> None:
    """However often it is repeated, the allowance is full again one window later."""
    limiter = RateLimiter()
    limiter.admit([charge(weight=2)], now_ns=0)

    for _ in range(5):
        limiter.fine(charge(weight=3), now_ns=0)

    assert limiter.wait_ns(charge(), now_ns=0) == RATE.window_ns // RATE.limit
    assert limiter.wait_ns(charge(weight=3), RATE.window_ns) == 0


def test_asking_changes_nothing() -> None:
    """``inspect_message`` may ask as often as it likes."""
    limiter = RateLimiter()

    assert [limiter.wait_ns(charge(), now_ns=0) for _ in range(9)] == [0] * 9
    assert len(limiter) == 0


def test_strangers_share_one_bucket_when_there_is_no_room() -> None:
    """A crowd of fresh principals gets the allowance of one."""
    limiter = RateLimiter(entries_max=4, reserved=2)
    for number in range(2):
        limiter.admit([charge(f"stranger {number}", is_known=False)], now_ns=0)

    waits = [
        limiter.admit([charge(f"late {number}", is_known=False)], now_ns=0) for number in range(4)
    ]

    assert waits[:3] == [0, 0, 0]
    assert waits[3] > 0
    assert len(limiter) <= 4


def test_known_principals_have_entries_reserved() -> None:
    """A crowd of strangers does not lock players out."""
    limiter = RateLimiter(entries_max=4, reserved=2)
    for number in range(20):
        limiter.admit([charge(f"stranger {number}", is_known=False)], now_ns=0)

    assert [limiter.admit([charge("ada")], now_ns=0) for _ in range(3)] == [0, 0, 0]
    assert limiter.admit([charge("ada")], now_ns=0) > 0
    assert limiter.admit([charge("bob")], now_ns=0) == 0


@given(st.lists(st.tuples(st.integers(0, 30), st.integers(0, SECOND_NS)), max_size=80))
def test_an_entry_with_debt_is_never_evicted(calls: list[tuple[int, int]]) -> None:
    """Making room, or sweeping, never gives anybody a fresh allowance early."""
    limiter = RateLimiter(entries_max=5, reserved=0)
    unbounded = RateLimiter()
    listed: set[str] = set()
    now_ns = 0
    for number, pause_ns in calls:
        now_ns += pause_ns
        key = f"p{number}"
        is_in_debt = unbounded.wait_ns(charge(key, RATE.limit), now_ns) > 0
        if not is_in_debt:
            listed.discard(key)
        if key in listed:
            assert limiter.wait_ns(charge(key), now_ns) >= unbounded.wait_ns(charge(key), now_ns)
        has_room = len(limiter) < 5
        if limiter.admit([charge(key)], now_ns) == 0:
            unbounded.admit([charge(key)], now_ns)
            if has_room and not is_in_debt:
                listed.add(key)
        limiter.sweep(now_ns, 2)
        assert len(limiter) <= 5


def test_the_sweeper_drops_the_idle_and_keeps_debtors() -> None:
    """Ten minutes after its allowance is full again, an entry saves nothing."""
    limiter = RateLimiter()
    limiter.admit([charge("idle")], now_ns=0)
    later_ns = 10 * SECOND_NS + IDLE_CUTOFF_NS
    limiter.admit([charge("busy")], now_ns=later_ns)

    while limiter.sweep(later_ns, 10):
        if len(limiter) == 1:
            break

    assert limiter.wait_ns(charge("busy", weight=3), later_ns) > 0
    assert len(limiter) == 1


def test_a_sweep_does_bounded_work_and_resumes() -> None:
    """Nine entries, four at a time; then the round is over."""
    limiter = RateLimiter()
    for number in range(9):
        limiter.admit([charge(f"p{number}")], now_ns=0)
    late_ns = 10 * IDLE_CUTOFF_NS

    assert [limiter.sweep(late_ns, 4) for _ in range(4)] == [4, 4, 1, 0]
    assert len(limiter) == 0
    assert limiter.next_sweep_ns() is None


@pytest.mark.parametrize("weight", [0, -1, 4])
def test_a_weight_that_could_never_pass_is_a_mistake(weight: int) -> None:
    """It would wait for ever."""
    with pytest.raises(ConfigurationError):
        RateLimiter().admit([charge(weight=weight)], now_ns=0)


@pytest.mark.parametrize("reserved", [-1, 4])
def test_reserving_every_entry_is_a_mistake(reserved: int) -> None:
    """Strangers need at least one."""
    with pytest.raises(ConfigurationError):
        RateLimiter(entries_max=4, reserved=reserved)
