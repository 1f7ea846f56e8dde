"""Both clocks tell time; the manual one only when told to."""

import time

from icfleet_agent.clock import SystemClock
from icfleet_agent.testing import ManualClock


async def test_the_system_clock_is_this_computers() -> None:
    clock = SystemClock()
    start_s, start_ns = clock.now_s(), clock.now_ns()

    await clock.sleep(0.01)

    assert clock.now_s() > start_s
    assert 0 < clock.now_ns() - start_ns < 60_000_000_000
    assert abs(clock.now_ns() - time.time_ns()) < 60_000_000_000


async def test_manual_time_passes_by_sleeping_and_by_hand() -> None:
    clock = ManualClock(start_ns=1_000)

    await clock.sleep(2.0)
    clock.advance(1.0)

    assert clock.now_s() == 3.0
    assert clock.now_ns() == 3_000_001_000
    assert clock.sleeps_s == [2.0]
