"""One-shot timers by name."""

from collections.abc import Callable
from typing import Any

from icfleet_canister import Alarms
from icfleet_canister.alarms import OVERDUE_S

SECOND_NS = 1_000_000_000


class FakeTimers:
    """The IC's timers: ids count up, and a cleared one is gone."""

    def __init__(self) -> None:
        self.armed: dict[int, int] = {}
        self._next_id = 1

    def set(self, delay_s: int, callback: Callable[[], Any]) -> int:
        assert callable(callback)
        timer = self._next_id
        self._next_id += 1
        self.armed[timer] = delay_s
        return timer

    def clear(self, timer: int) -> None:
        del self.armed[timer]


def work() -> None:
    """Do nothing; the tests watch the timers."""


def test_there_is_one_timer_for_each_name() -> None:
    """Setting another time replaces it."""
    timers = FakeTimers()
    alarms = Alarms(timers.set, timers.clear)

    alarms.set("pull", work, 30, now_ns=0)
    alarms.set("pull", work, 1, now_ns=0)
    alarms.set("sweep", work, 300, now_ns=0)

    assert sorted(timers.armed.values()) == [1, 300]


def test_an_earlier_alarm_is_kept_and_a_later_one_brought_forward() -> None:
    """``by`` says "at the latest"."""
    timers = FakeTimers()
    alarms = Alarms(timers.set, timers.clear)

    alarms.by("views", work, 10, now_ns=0)
    alarms.by("views", work, 20, now_ns=0)
    assert list(timers.armed.values()) == [10]
    alarms.by("views", work, 1, now_ns=0)
    assert list(timers.armed.values()) == [1]


def test_a_timer_that_fired_can_be_set_again() -> None:
    """The callback says so first."""
    timers = FakeTimers()
    alarms = Alarms(timers.set, timers.clear)
    alarms.set("views", work, 1, now_ns=0)
    timers.armed.clear()

    alarms.ring("views")
    alarms.by("views", work, 5, now_ns=SECOND_NS)

    assert list(timers.armed.values()) == [5]


def test_a_timer_lost_to_a_trap_is_found_by_its_deadline() -> None:
    """The callback's ``ring`` was undone with everything else."""
    timers = FakeTimers()
    alarms = Alarms(timers.set, lambda _: None)
    alarms.set("pull", work, 1, now_ns=0)
    timers.armed.clear()
    overdue_ns = (1 + OVERDUE_S) * SECOND_NS

    assert alarms.is_armed("pull", overdue_ns)
    assert not alarms.is_armed("pull", overdue_ns + 1)
    alarms.by("pull", work, 100, overdue_ns + 1)

    assert list(timers.armed.values()) == [0]


def test_an_unknown_name_is_not_armed() -> None:
    """After an upgrade no timer is."""
    timers = FakeTimers()

    assert not Alarms(timers.set, timers.clear).is_armed("pull", now_ns=0)
