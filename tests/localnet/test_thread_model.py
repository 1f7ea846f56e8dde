"""The thread model: limits are never exceeded, and throughput is the published formula."""

import sys
from collections import Counter
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from icfleet_localnet.profiles import FAST, MAINNET, Profile, profile_from
from icfleet_localnet.thread_model import (
    HostLag,
    OverloadedError,
    QueryThreads,
    Slot,
    UpdateThreads,
)
from icfleet_protocol.principal import Principal

CANISTERS = [Principal(bytes([0, index, 1, 1])) for index in range(8)]
SCALES = ["1", "1/10", "1/100"]
Interval = tuple[float, float]

instructions = st.integers(0, 2_000_000_000)
queues = st.lists(st.tuples(st.sampled_from(CANISTERS), instructions), max_size=40)


def _overlap_max(intervals: list[Interval]) -> int:
    """How many run at once at most; one that ends where another starts does not overlap it."""
    events = sorted(
        [(start, 1) for start, finish in intervals if finish > start]
        + [(finish, -1) for start, finish in intervals if finish > start]
    )
    running = found = 0
    for _, change in events:
        running += change
        found = max(found, running)
    return found


def _sustain_updates(profile: Profile, cost: int, canisters: int, *, duration_s: int = 60) -> float:
    """Updates a second in rounds of a queue that never runs dry."""
    threads = UpdateThreads(profile)
    finished = 0
    for now_s in range(duration_s):
        threads.begin_round(now_s)
        waiting = CANISTERS[:canisters]
        while (canister := threads.choose(waiting)) is not None:
            finished += threads.run(canister, cost).finish_s <= duration_s
            waiting = [*(other for other in waiting if other != canister), canister]
    return finished / duration_s


def _sustain_queries(profile: Profile, costs: list[int], canisters: int) -> float:
    """Queries a second when twice as many arrive as a subnet can answer."""
    random = Random(7)
    threads = QueryThreads(profile, random)
    mean_s = sum(profile.query_time_s(cost) for cost in costs) / len(costs)
    interval_s = mean_s / (4 * 13) / 2
    duration_s = 250 * mean_s
    finished = index = 0
    while (now_s := index * interval_s) < duration_s:
        index += 1
        canister, cost = CANISTERS[index % canisters], random.choice(costs)
        try:
            admission = threads.admit(now_s, canister, cost)
        except OverloadedError:
            continue
        finished += duration_s / 2 < admission.finish_s <= duration_s
    return finished / (duration_s / 2)


@pytest.mark.parametrize("scale", SCALES)
@pytest.mark.parametrize(
    ("cost", "per_second"),
    [
        pytest.param(100_000, 952, id="0.1M"),
        pytest.param(600_000, 769, id="0.6M"),
        pytest.param(5_000_000, 286, id="5M"),
        pytest.param(20_000_000, 91, id="20M"),
        pytest.param(50_000_000, 38, id="50M"),
    ],
)
def test_a_canister_sustains_the_published_updates_a_second(
    cost: int, per_second: int, scale: str
) -> None:
    """Source: capacity of one thread, 2e9 / (I + 2 M), over 60 simulated seconds."""
    profile = profile_from("mainnet", scale)

    found = _sustain_updates(profile, cost, 1)

    assert found == pytest.approx(float(per_second * profile.scale), rel=0.015, abs=1 / 60)


@pytest.mark.parametrize(("canisters", "factor"), [(1, 1), (2, 2), (3, 3), (4, 4), (5, 4), (8, 4)])
def test_a_subnet_has_four_update_threads(canisters: int, factor: int) -> None:
    """The fifth busy canister adds nothing."""
    alone = _sustain_updates(MAINNET, 5_000_000, 1)

    together = _sustain_updates(MAINNET, 5_000_000, canisters)

    assert together == pytest.approx(factor * alone, rel=0.02)


def test_a_message_longer_than_a_round_holds_its_thread_until_it_is_done() -> None:
    """40 G instructions take 20 s; other canisters go on beside it."""
    profile = profile_from("mainnet", 1)
    threads = UpdateThreads(profile)

    long, other = threads.plan_round(0, [(CANISTERS[0], 40 * 10**9), (CANISTERS[1], 0)])
    next_round = threads.plan_round(1, [(CANISTERS[0], 0), (CANISTERS[1], 0)])
    after = threads.plan_round(20.5, [(CANISTERS[0], 0)])

    assert long is not None
    assert other is not None
    assert (long.thread, other.thread) == (0, 1)
    assert (long.start_s, long.finish_s) == pytest.approx((0, 20.001))
    assert (other.start_s, other.finish_s) == pytest.approx((0, 0.001))
    assert [slot is None for slot in next_round] == [True, False]
    assert after[0] is not None


def test_messages_of_one_canister_execute_in_order() -> None:
    """Each begins where the one before it ended, on one thread at a time."""
    profile = profile_from("mainnet", 1)
    queue = [(CANISTERS[0], 98_000_000)] * 30

    slots = UpdateThreads(profile).plan_round(10, queue)

    begun = [slot for slot in slots if slot is not None]
    assert slots[: len(begun)] == tuple(begun)
    assert [slot.start_s for slot in begun] == pytest.approx([10 + i * 0.05 for i in range(20)])


def test_no_message_begins_when_the_next_round_is_due() -> None:
    """Two of half a second fill a round; the third waits, and begins with the next one."""
    threads = UpdateThreads(profile_from("mainnet", 1))
    half_second = (CANISTERS[0], 998_000_000)

    first = threads.plan_round(0, [half_second] * 3)
    second = threads.plan_round(1, [half_second])

    assert first == (Slot(0, 0, 0.5), Slot(0, 0.5, 1), None)
    assert second == (Slot(0, 1, 1.5),)


def test_a_round_never_begins_before_the_one_before_it() -> None:
    """Whatever the caller's clock does."""
    threads = UpdateThreads(profile_from("mainnet", 1))
    threads.begin_round(5)

    assert threads.plan_round(3, [(CANISTERS[0], 998_000_000)]) == (Slot(0, 5, 5.5),)


@given(st.lists(st.tuples(st.floats(0, 5), queues), max_size=5), st.sampled_from(SCALES))
def test_updates_never_exceed_the_threads(
    rounds: list[tuple[float, list[tuple[Principal, int]]]], scale: str
) -> None:
    """Four at once in a subnet, one at once in a canister, none before its round or after it."""
    profile = profile_from("mainnet", scale)
    threads = UpdateThreads(profile)
    seen: list[tuple[Principal, Slot]] = []
    now_s = 0.0
    for pause_s, queue in rounds:
        now_s += pause_s
        slots = threads.plan_round(now_s, queue)
        for (canister, cost), slot in zip(queue, slots, strict=True):
            if slot is None:
                continue
            assert now_s <= slot.start_s < now_s + profile.round_interval_s
            assert slot.finish_s - slot.start_s == pytest.approx(profile.update_time_s(cost))
            seen.append((canister, slot))
    everywhere = [(slot.start_s, slot.finish_s) for _, slot in seen]
    assert _overlap_max(everywhere) <= 4
    for canister in CANISTERS:
        own = [(slot.start_s, slot.finish_s) for owner, slot in seen if owner == canister]
        assert _overlap_max(own) <= 1
    for thread in range(4):
        own = [(slot.start_s, slot.finish_s) for _, slot in seen if slot.thread == thread]
        assert _overlap_max(own) <= 1


@given(queues)
def test_the_fast_profile_executes_everything_at_once(
    queue: list[tuple[Principal, int]],
) -> None:
    """It has no threads to wait for."""
    slots = UpdateThreads(FAST).plan_round(3.0, queue)

    assert slots == tuple(Slot(0, 3.0, 3.0) for _ in queue)


def test_a_round_without_messages_is_empty() -> None:
    """Nobody waits, nobody is chosen."""
    threads = UpdateThreads(MAINNET)
    threads.begin_round(0)

    assert threads.choose([]) is None


@pytest.mark.parametrize("scale", SCALES)
@pytest.mark.parametrize(
    ("cost", "per_second"),
    [
        pytest.param(100_000, 52_000, id="light"),
        pytest.param(5_000_000, 10_400, id="5M"),
        pytest.param(20_000_000, 2_600, id="20M"),
        pytest.param(100_000_000, 520, id="100M"),
    ],
)
def test_a_canister_sustains_the_published_queries_a_second(
    cost: int, per_second: int, scale: str
) -> None:
    """Source: 2 threads x 13 nodes x min(2,000, 2e9 / I)."""
    profile = profile_from("mainnet", scale)

    found = _sustain_queries(profile, [cost], 1)

    assert found == pytest.approx(float(per_second * profile.scale), rel=0.02)


@pytest.mark.parametrize(
    "costs",
    [
        pytest.param([5_000_000], id="alike"),
        pytest.param([100_000, 5_000_000, 20_000_000], id="mixed"),
    ],
)
def test_a_second_canister_doubles_queries_and_a_third_adds_nothing(costs: list[int]) -> None:
    """The law of replicas within one subnet."""
    one, two, three, eight = (_sustain_queries(MAINNET, costs, n) for n in (1, 2, 3, 8))

    assert two == pytest.approx(2 * one, rel=0.03)
    assert three == pytest.approx(two, rel=0.02)
    assert eight == pytest.approx(two, rel=0.02)


@given(
    st.lists(st.tuples(st.floats(0, 0.3), st.sampled_from(CANISTERS), instructions), max_size=150),
    st.integers(0, 2**32),
)
@settings(max_examples=50)
def test_queries_never_exceed_the_threads(
    arrivals: list[tuple[float, Principal, int]], seed: int
) -> None:
    """Four at once on a node, two of one canister, each canister's in order, none early."""
    threads = QueryThreads(MAINNET, Random(seed))
    seen: dict[int, list[tuple[Principal, float, float]]] = {}
    now_s = 0.0
    for pause_s, canister, cost in arrivals:
        now_s += pause_s
        admission = threads.admit(now_s, canister, cost)
        assert admission.start_s >= now_s
        assert admission.finish_s - admission.start_s == pytest.approx(MAINNET.query_time_s(cost))
        seen.setdefault(admission.node, []).append(
            (canister, admission.start_s, admission.finish_s)
        )
    for admissions in seen.values():
        assert _overlap_max([(start, finish) for _, start, finish in admissions]) <= 4
        for canister in CANISTERS:
            own = [(start, finish) for owner, start, finish in admissions if owner == canister]
            assert _overlap_max(own) <= 2
            assert own == sorted(own, key=lambda interval: interval[0])


def test_one_canister_cannot_keep_another_from_a_nodes_threads() -> None:
    """It waits for its own two; the other two stay free."""
    threads = QueryThreads(MAINNET, Random(1))
    for _ in range(20):
        threads.admit(0, CANISTERS[0], 5_000_000, node=0)

    assert threads.admit(0, CANISTERS[1], 5_000_000, node=0).start_s == 0


def test_a_node_takes_so_many_queries_and_no_more() -> None:
    """Source: the replica's limit of 400; it answers 429 then. Room comes back in time."""
    threads = QueryThreads(MAINNET, Random(1))
    finish_s = [threads.admit(0, CANISTERS[0], 0, node=3).finish_s for _ in range(400)]

    with pytest.raises(OverloadedError, match="node 3 takes no more") as caught:
        threads.admit(0, CANISTERS[1], 0, node=3)

    assert (caught.value.node, caught.value.http_status) == (3, 429)
    assert threads.admit(finish_s[0], CANISTERS[1], 0, node=3).start_s == finish_s[0]
    assert threads.in_flight(3, max(finish_s)) == 0
    assert threads.admit(0, CANISTERS[0], 0, node=2).start_s == 0


def test_a_full_node_is_told_before_anything_is_executed() -> None:
    """Picking a node refuses as admitting to it would."""
    threads = QueryThreads(MAINNET, Random(1))
    for node in range(13):
        for _ in range(400):
            threads.admit(0, CANISTERS[0], 0, node=node)

    with pytest.raises(OverloadedError):
        threads.pick(0)


def test_queries_spread_over_all_nodes_and_repeat_with_their_seed() -> None:
    """As behind a boundary node."""
    first, second = (QueryThreads(MAINNET, Random(9)) for _ in range(2))
    picked = [first.pick(0) for _ in range(1_300)]

    assert [second.pick(0) for _ in range(1_300)] == picked
    counts = Counter(picked)
    assert len(counts) == 13
    assert all(60 < count < 140 for count in counts.values())


def test_the_fast_profile_answers_queries_at_once() -> None:
    """However many there are."""
    threads = QueryThreads(FAST, Random(1))

    finish_s = {threads.admit(2.0, CANISTERS[0], 10**9).finish_s for _ in range(1_000)}

    assert finish_s == {2.0}


def test_a_node_does_not_remember_canisters_for_ever() -> None:
    """A million canisters later, it knows those that are busy."""
    threads = QueryThreads(MAINNET, Random(1))
    canisters = [Principal(index.to_bytes(8, "big") + b"\x01\x01") for index in range(2_000)]
    (unknown,) = {sys.getrefcount(canister) for canister in canisters}
    for index in range(len(canisters)):
        threads.admit(index, canisters[index], 0, node=0)

    assert sum(sys.getrefcount(each) > unknown for each in canisters) <= 256


def test_a_host_that_keeps_up_leaves_the_run_valid() -> None:
    """Early and barely late answers both count as in time."""
    lag = HostLag()
    for index in range(10):
        lag.record(modelled_finish_s=index, real_finish_s=index + (0.015 if index % 2 else -0.5))

    assert lag.is_valid
    assert lag.sentence() == "The host kept up with the model in all of 10 messages."


def test_a_host_that_binds_makes_the_run_invalid() -> None:
    """The sentence says how often, how much, and what to do."""
    lag = HostLag()
    for index in range(100):
        late_s = 0.25 if index in (3, 50) else 0
        lag.record(modelled_finish_s=index, real_finish_s=index + late_s)

    assert not lag.is_valid
    assert lag.sentence() == (
        "The host was the bottleneck in 2 of 100 messages (up to 0.250 s late): "
        "this run is INVALID; choose a smaller --scale or send less."
    )


def test_a_rare_delay_of_the_host_is_told_and_tolerated() -> None:
    """One message in a hundred."""
    lag = HostLag()
    for index in range(100):
        lag.record(modelled_finish_s=0, real_finish_s=1 if index == 0 else 0)

    assert lag.is_valid
    assert "in 1 of 100 messages (up to 1.000 s late): few enough" in lag.sentence()
