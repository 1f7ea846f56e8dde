# ruff: noqa: ARG002 - a fake need not use all that its port passes
"""The cleanup that timers drive."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from icfleet_canister import ConfigurationError, Sweeper, SweepReport
from icfleet_canister.sweeper import RESUME_S, SWEEP_PERIOD_S

SECOND_NS = 1_000_000_000


class Heap:
    """A memory with so many entries of garbage, due at a time."""

    def __init__(self, garbage: int, due_ns: int = 0) -> None:
        self.garbage = garbage
        self.due_ns = due_ns

    def sweep(self, now_ns: int, work_max: int) -> int:
        if now_ns < self.due_ns:
            return 0
        done = min(work_max, self.garbage)
        self.garbage -= done
        return done

    def next_sweep_ns(self) -> int | None:
        return self.due_ns if self.garbage else None


def test_nothing_to_sweep_needs_no_timer() -> None:
    """An idle canister pays for no wake-ups."""
    assert Sweeper([Heap(0)]).next_delay_s(now_ns=0) is None
    assert Sweeper([]).tick(now_ns=0) == SweepReport(0, None)


def test_a_round_is_one_period_away() -> None:
    """What was just written is not garbage yet."""
    assert Sweeper([Heap(1)]).next_delay_s(now_ns=0) == SWEEP_PERIOD_S


def test_a_sweep_waits_for_the_first_thing_that_can_go() -> None:
    """In whole seconds, rounded up, so that it is never too early."""
    due_ns = 1_000 * SECOND_NS + 1

    delay_s = Sweeper([Heap(1, due_ns), Heap(1, 2 * due_ns)]).next_delay_s(now_ns=0)

    assert delay_s == 1_001


def test_a_tick_does_bounded_work_and_the_next_goes_on_there() -> None:
    """Seven entries in two memories, three at a time."""
    heaps = [Heap(4), Heap(3)]
    sweeper = Sweeper(heaps, work_max=3)

    reports = [sweeper.tick(now_ns=0) for _ in range(3)]

    assert [report.work for report in reports] == [3, 3, 1]
    assert [report.next_delay_s for report in reports] == [RESUME_S, RESUME_S, None]
    assert [heap.garbage for heap in heaps] == [0, 0]


def test_a_finished_round_starts_over_one_period_later() -> None:
    """Garbage that is not due yet is left alone, and looked at again."""
    heap = Heap(2, due_ns=400 * SECOND_NS)
    sweeper = Sweeper([heap])

    assert sweeper.tick(now_ns=0) == SweepReport(0, 400)
    assert sweeper.tick(now_ns=400 * SECOND_NS) == SweepReport(2, None)


class Broken:
    """A memory whose sweep always raises."""

    def sweep(self, now_ns: int, work_max: int) -> int:
        raise ZeroDivisionError

    def next_sweep_ns(self) -> int | None:
        raise ZeroDivisionError


def test_a_memory_that_fails_is_counted_and_stops_no_other() -> None:
    """Neither those before it nor those after, in this round or the next."""
    before, after = Heap(1), Heap(1)
    sweeper = Sweeper([before, Broken(), after])

    assert sweeper.tick(now_ns=0) == SweepReport(2, None)
    after.garbage = 5
    assert sweeper.next_delay_s(now_ns=0) == SWEEP_PERIOD_S
    assert sweeper.tick(now_ns=0).work == 5

    assert (sweeper.failures, sweeper.ticks, sweeper.swept) == (2, 2, 7)


def test_a_memory_with_more_garbage_than_a_tick_takes_leaves_the_others_their_turn() -> None:
    """It may be filled faster than it is swept."""
    endless, small = Heap(10**9), Heap(4)
    sweeper = Sweeper([endless, small], work_max=3)

    reports = [sweeper.tick(now_ns=0) for _ in range(4)]

    assert small.garbage == 0
    assert [report.next_delay_s for report in reports] == [RESUME_S] * 4
    assert not sweeper.is_at_start


@given(st.lists(st.integers(0, 30), max_size=5), st.integers(1, 9))
def test_whatever_there_is_is_swept_in_bounded_ticks(garbage: list[int], work_max: int) -> None:
    """No tick does more than its work, and no tick is wasted."""
    heaps = [Heap(each) for each in garbage]
    sweeper = Sweeper(heaps, work_max)
    reports = [sweeper.tick(now_ns=0)]
    while reports[-1].next_delay_s is not None:
        reports.append(sweeper.tick(now_ns=0))

    assert not any(heap.garbage for heap in heaps)
    assert sweeper.swept == sum(garbage)
    assert all(report.work <= work_max for report in reports)
    assert len(reports) <= sum(garbage) // work_max + 2 * len(heaps) + 1
    assert sweeper.is_at_start


def test_no_work_at_all_is_a_mistake() -> None:
    """It would never end."""
    with pytest.raises(ConfigurationError):
        Sweeper([], work_max=0)
