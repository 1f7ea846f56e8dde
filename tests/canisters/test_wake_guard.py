"""A main that finds a gap in its own life."""

from hypothesis import given
from hypothesis import strategies as st

from icfleet_canister import WakeGuard
from icfleet_canister.wake_guard import WAKE_GAP_NS, WAKE_MAX_NS

SECOND_NS = 1_000_000_000
START_NS = 10**18


def test_a_main_kept_awake_by_its_timer_never_wakes() -> None:
    """Two beats of the timer that fail in a row are not taken for a gap."""
    guard = WakeGuard()

    for tick in range(50):
        now_ns = START_NS + tick * 85 * SECOND_NS
        guard.touch(now_ns, has_replicas=True)
        assert not guard.wakes(now_ns, [0])


def test_after_a_gap_a_main_waits_for_every_replica() -> None:
    """One that has told its position since is not waited for again."""
    guard = WakeGuard(last_active_ns=START_NS)
    now_ns = START_NS + WAKE_GAP_NS + 1
    guard.touch(now_ns, has_replicas=True)

    assert guard.wakes(now_ns, [START_NS, START_NS])
    assert guard.wakes(now_ns + 1, [now_ns + 1, START_NS])
    assert not guard.wakes(now_ns + 2, [now_ns + 1, now_ns + 2])


def test_a_replica_that_is_gone_does_not_stop_a_main_for_ever() -> None:
    """Forty seconds are more than the longest pause between two pulls."""
    guard = WakeGuard(last_active_ns=START_NS)
    now_ns = START_NS + WAKE_GAP_NS + 1
    guard.touch(now_ns, has_replicas=True)

    assert guard.wakes(now_ns + WAKE_MAX_NS - 1, [START_NS])
    assert not guard.wakes(now_ns + WAKE_MAX_NS, [START_NS])


def test_a_query_sees_the_gap_before_any_update_has() -> None:
    """A pull may be the first message that reaches a copy of the past."""
    guard = WakeGuard(last_active_ns=START_NS)

    assert guard.wakes(START_NS + WAKE_GAP_NS + 1, [START_NS])
    assert not guard.wakes(START_NS + WAKE_GAP_NS, [START_NS])
    assert guard.waking_since_ns == 0


def test_without_replicas_nobody_is_waited_for() -> None:
    """Also not by a replica that is attached after a quiet night."""
    guard = WakeGuard(last_active_ns=START_NS)
    now_ns = START_NS + 100 * WAKE_GAP_NS

    assert not guard.wakes(now_ns, [])
    guard.touch(now_ns, has_replicas=False)
    assert not guard.wakes(now_ns + 1, [0])


def test_waking_goes_on_over_an_upgrade() -> None:
    """Else an upgrade at the right moment would let a copy of the past decide."""
    before = WakeGuard(last_active_ns=START_NS)
    now_ns = START_NS + WAKE_GAP_NS + 1
    before.touch(now_ns, has_replicas=True)

    after = WakeGuard(before.last_active_ns, before.waking_since_ns)
    after.touch(now_ns + SECOND_NS, has_replicas=True)

    assert after.wakes(now_ns + SECOND_NS, [0])


@given(st.lists(st.integers(-(10**12), 10**12), min_size=1, max_size=20))
def test_a_clock_that_goes_back_is_no_gap(steps: list[int]) -> None:
    """The last time is the highest one seen."""
    guard = WakeGuard()
    highest_ns = now_ns = START_NS
    for step in [0, *steps]:
        now_ns += step
        is_gap = now_ns - highest_ns > WAKE_GAP_NS
        guard.touch(now_ns, has_replicas=True)
        highest_ns = max(highest_ns, now_ns)
        if is_gap:
            assert guard.waking_since_ns == now_ns
        assert guard.last_active_ns == highest_ns
