"""Rates by GCRA."""

from functools import partial

import pytest
from bytecodes import count_bytecodes
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
    """An entry that was left alone for ten minutes saves nothing but a lookup."""
    limiter = RateLimiter()
    limiter.admit([charge("idle")], now_ns=0)
    assert limiter.sweep(IDLE_CUTOFF_NS - 1, 10) == 0

    assert limiter.sweep(IDLE_CUTOFF_NS, 10) == 1
    assert len(limiter) == 1
    limiter.admit([charge("busy")], now_ns=2 * IDLE_CUTOFF_NS)
    assert limiter.next_sweep_ns() == 2 * IDLE_CUTOFF_NS
    assert limiter.sweep(2 * IDLE_CUTOFF_NS, 10) == 1

    assert limiter.wait_ns(charge("busy", weight=3), 2 * IDLE_CUTOFF_NS) > 0
    assert (len(limiter), limiter.evicted) == (1, 1)


def test_a_sweep_takes_one_step_however_many_entries_there_are() -> None:
    """A generation goes at once, so a full limiter costs the sweeper no more than an empty one."""
    steps: list[int] = []
    for entries in (10, 10_000):
        limiter = RateLimiter()
        for number in range(entries):
            limiter.admit_one(f"p{number}", now_ns=0)
        limiter.sweep(IDLE_CUTOFF_NS, 1)
        steps.append(count_bytecodes(partial(limiter.sweep, 2 * IDLE_CUTOFF_NS, 1)))
        assert len(limiter) == 0
        assert limiter.next_sweep_ns() is None

    assert steps[0] == steps[1] > 0


def test_a_debt_longer_than_the_cutoff_outlives_it() -> None:
    """With an hour's window, generations live for an hour."""
    hour_ns = 3_600 * SECOND_NS
    limiter = RateLimiter(default=Rate(2, hour_ns))
    limiter.admit([Charge("ada", 2)], now_ns=0)

    for now_ns in range(0, 4 * hour_ns, 60 * SECOND_NS):
        limiter.sweep(now_ns, 10)
        assert limiter.wait_ns(Charge("ada", 2), now_ns) == max(hour_ns - now_ns, 0)

    assert len(limiter) == 0


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


rates = st.builds(Rate, st.integers(1, 7), st.integers(1, 60))


@given(rates, st.lists(st.tuples(st.integers(0, 3), st.integers(1, 7)), max_size=40))
def test_no_rounding_lets_more_pass_than_the_limit(
    rate: Rate, calls: list[tuple[int, int]]
) -> None:
    """In any span at most the limit, and what the span refills, however greedy the caller."""
    limiter = RateLimiter(default=rate)
    assert limiter.wait_ns(Charge("ada", rate.limit), now_ns=0) == 0
    now_ns = 0
    admitted: list[tuple[int, int]] = []
    for pause_ns, weight in calls:
        now_ns += pause_ns
        wait_ns = limiter.admit([Charge("ada", weight)], now_ns)
        if wait_ns:
            now_ns += wait_ns
            assert limiter.admit([Charge("ada", weight)], now_ns) == 0
        admitted.append((now_ns, min(weight, rate.limit)))

    for index, (start_ns, _) in enumerate(admitted):
        total = 0
        for at_ns, taken in admitted[index:]:
            total += taken
            assert total * rate.window_ns <= rate.limit * (rate.window_ns + at_ns - start_ns)


def test_an_entry_begins_with_the_debt_of_the_shared_bucket() -> None:
    """Else whoever came while there was no room would have two allowances."""
    limiter = RateLimiter(entries_max=2, reserved=1, default=RATE)
    limiter.admit([Charge("first")], now_ns=0)
    for _ in range(3):
        assert limiter.admit([Charge("late")], now_ns=0) == 0

    assert limiter.admit([Charge("late")], now_ns=10 * SECOND_NS) == 0
    assert limiter.admit([Charge("late")], now_ns=10 * SECOND_NS) == 10 * SECOND_NS
    assert (len(limiter), limiter.evicted) == (1, 1)


@given(
    st.lists(
        st.tuples(
            st.integers(0, 11),
            st.integers(0, 12 * SECOND_NS),
            st.sampled_from("aaaosS"),
        ),
        max_size=150,
    )
)
def test_coming_and_going_never_forgives_a_debt(calls: list[tuple[int, int, str]]) -> None:
    """Evicted, swept, in a shared bucket or with an entry: nobody passes its bound in any span."""
    limiter = RateLimiter(entries_max=4, reserved=1, default=RATE)
    admitted: dict[str, list[int]] = {}
    now_ns = 10**18
    for number, pause_ns, step in calls:
        key = f"p{number}"
        now_ns += pause_ns if step != "S" else IDLE_CUTOFF_NS // 2
        if step in "sS":
            limiter.sweep(now_ns, 1)
            continue
        wait_ns = (
            limiter.admit_one(key, now_ns) if step == "o" else limiter.admit([Charge(key)], now_ns)
        )
        if wait_ns == 0:
            admitted.setdefault(key, []).append(now_ns)
        assert len(limiter) <= 3

    for times in admitted.values():
        for index, start_ns in enumerate(times):
            for count, at_ns in enumerate(times[index:], start=1):
                assert count * RATE.window_ns <= RATE.limit * (RATE.window_ns + at_ns - start_ns)


@given(
    st.lists(st.lists(st.integers(0, 50), max_size=12), min_size=1, max_size=30),
    st.integers(0, 5 * SECOND_NS),
)
def test_whoever_keeps_to_its_rate_is_never_refused(crowds: list[list[int]], slack_ns: int) -> None:
    """Whatever crowd of strangers comes between, and although its entry may go and come."""
    limiter = RateLimiter(entries_max=6, reserved=3, default=RATE)
    now_ns = 10**18
    for crowd in crowds:
        for number in crowd:
            limiter.admit([Charge(f"stranger {number}")], now_ns)
        limiter.sweep(now_ns, 1)
        for player in ("ada", "bob", "eve"):
            assert limiter.admit([Charge(player, is_known=True)], now_ns) == 0
        now_ns += RATE.unit_ns + slack_ns


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 20 * SECOND_NS)), max_size=60))
def test_the_short_way_decides_as_the_long_one(calls: list[tuple[int, int]]) -> None:
    """``admit_one`` saves instructions and nothing else."""
    short, long = RateLimiter(default=RATE), RateLimiter(default=RATE)
    now_ns = 0
    for number, pause_ns in calls:
        now_ns += pause_ns
        expected = long.admit([Charge(f"p{number}", 1, RATE)], now_ns)
        assert short.admit_one(f"p{number}", now_ns) == expected

    assert (short.admitted, short.limited) == (long.admitted, long.limited)


def test_charges_of_one_key_add_up() -> None:
    """Whether it has an entry or shares a bucket."""
    limiter = RateLimiter(entries_max=2, reserved=1)
    pair = [charge("ada", 2, is_known=False), charge("ada", 2, is_known=False)]

    assert limiter.admit(pair, now_ns=0) == 10 * SECOND_NS
    limiter.admit([charge("ada", 3, is_known=False)], now_ns=0)
    late = [charge("bob", 2, is_known=False), charge("eve", 2, is_known=False)]
    assert limiter.admit(late, now_ns=0) == 10 * SECOND_NS
    assert limiter.admit(late[:1], now_ns=0) == 0
    assert limiter.overflowed == 1


def test_the_default_rate_can_be_changed() -> None:
    """Charges that name a rate keep it; debts stay what they are."""
    limiter = RateLimiter()
    limiter.admit([Charge("ada", 50)], now_ns=0)

    limiter.set_default(Rate(2, 60 * SECOND_NS))

    assert limiter.default == Rate(2, 60 * SECOND_NS)
    assert limiter.wait_ns(Charge("ada"), now_ns=0) == 0
    assert limiter.wait_ns(Charge("ada", 2), now_ns=0) == 30 * SECOND_NS
    assert limiter.wait_ns(Charge("bob", 3, RATE), now_ns=0) == 0


def test_a_weight_above_a_changed_default_costs_the_whole_allowance() -> None:
    """An admin who sets a low limit must not make an operation impossible."""
    limiter = RateLimiter(default=Rate(2, 60 * SECOND_NS))

    assert limiter.admit([Charge("ada", 5)], now_ns=0) == 0
    assert limiter.admit([Charge("ada", 5)], now_ns=0) == 60 * SECOND_NS


@pytest.mark.parametrize("rate", [Rate(0, 1), Rate(1, 0), Rate(-1, 5)])
def test_a_default_that_admits_nothing_is_a_mistake(rate: Rate) -> None:
    """It is refused before anything is changed."""
    limiter = RateLimiter()

    with pytest.raises(ConfigurationError):
        limiter.set_default(rate)
    assert limiter.default == DEFAULT_RATE


def test_large_debts_survive_an_upgrade() -> None:
    """Those of half a window and more, the largest first, as many as there is room for."""
    before = RateLimiter()
    for weight, key in [(49, "small"), (50, "half"), (100, "all"), (80, "most")]:
        before.admit([Charge(key, weight)], now_ns=0)
    minute_ns = DEFAULT_RATE.window_ns

    assert before.large_debts(now_ns=0, max_entries=2) == [
        ("all", minute_ns),
        ("most", minute_ns * 8 // 10),
    ]
    debts = before.large_debts(now_ns=0, max_entries=9)
    assert [key for key, _ in debts] == ["all", "most", "half"]
    after = RateLimiter()
    after.restore_debts(debts, now_ns=0)
    for key, _ in debts:
        assert after.wait_ns(Charge(key), 0) == before.wait_ns(Charge(key), 0)
        assert after.wait_ns(Charge(key, 100), 0) == before.wait_ns(Charge(key, 100), 0)


def test_restored_debts_come_on_top_of_what_was_charged_since() -> None:
    """Debts are loaded by a timer, a moment after the upgrade."""
    limiter = RateLimiter()
    limiter.admit([Charge("ada", 10)], now_ns=0)

    limiter.restore_debts([("ada", 60 * SECOND_NS), ("paid", -5)], now_ns=0)

    assert limiter.wait_ns(Charge("ada"), now_ns=0) == (6 * SECOND_NS + DEFAULT_RATE.unit_ns)
    assert len(limiter) == 1


def test_shared_buckets_owe_across_an_upgrade_too() -> None:
    """And debts that there is no room for any more go to the strangers' bucket."""
    before = RateLimiter(entries_max=2, reserved=1)
    for key in ("first", "second"):
        before.admit([Charge(key, 100)], now_ns=0)
    after = RateLimiter(entries_max=1, reserved=0)

    after.restore_debts(before.large_debts(now_ns=0, max_entries=9), now_ns=0)

    assert len(after) == 1
    assert after.wait_ns(Charge("third"), now_ns=0) == DEFAULT_RATE.unit_ns
    assert after.wait_ns(Charge("player", is_known=True), now_ns=0) == 0


def test_figures_tell_what_happened() -> None:
    """For ``status``."""
    limiter = RateLimiter(entries_max=2, reserved=1)
    for _ in range(4):
        limiter.admit([charge("ada", is_known=False)], now_ns=0)
    limiter.admit([charge("bob", is_known=False)], now_ns=0)
    limiter.admit([charge("eve")], now_ns=60 * SECOND_NS)
    limiter.admit([charge("bob", is_known=False)], now_ns=60 * SECOND_NS)

    assert (limiter.admitted, limiter.limited) == (6, 1)
    assert (limiter.overflowed, limiter.evicted) == (2, 1)
