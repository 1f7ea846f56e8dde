"""A deadline says how long there is, and never less than nothing."""

from icfleet_agent.deadline import Deadline


def test_time_left_runs_down_to_nothing() -> None:
    deadline = Deadline.after(10.0, now_s=5.0)

    assert deadline.remaining_s(now_s=5.0) == 10.0
    assert deadline.remaining_s(now_s=14.0) == 1.0
    assert deadline.remaining_s(now_s=15.0) == 0.0
    assert deadline.remaining_s(now_s=99.0) == 0.0


def test_it_has_passed_when_nothing_is_left() -> None:
    deadline = Deadline.after(10.0, now_s=5.0)

    assert not deadline.has_passed(now_s=14.9)
    assert deadline.has_passed(now_s=15.0)
