"""Passive health."""

from icfleet_router.health import Health


def _down_since(now_s: float) -> Health:
    health = Health(fails_max=3, fail_timeout_s=30.0)
    for _ in range(3):
        health.failed(now_s)
    return health


def test_a_fresh_canister_may_be_sent_to() -> None:
    """Nothing known is nothing bad."""
    assert Health(fails_max=3, fail_timeout_s=30.0).may_send(0.0)


def test_the_third_failure_sets_aside() -> None:
    """``max_fails`` is 3: two are forgiven."""
    health = Health(fails_max=3, fail_timeout_s=30.0)

    seen: list[bool] = []
    for now_s in (0.0, 1.0, 2.0):
        health.failed(now_s)
        seen.append(health.may_send(now_s))

    assert seen == [True, True, False]


def test_one_trial_is_let_through_per_time_out() -> None:
    """After the time-out exactly one call finds out, and the rest stay away until the next."""
    health = _down_since(0.0)

    seen = [health.may_send(30.0), health.may_send(30.1)]
    health.sent(30.1)
    seen += [health.may_send(30.2), health.may_send(60.1), health.may_send(60.2)]

    assert seen == [False, True, False, False, True]


def test_a_failed_trial_sets_aside_again() -> None:
    """One failure is enough for a canister that was down."""
    health = _down_since(0.0)

    health.sent(31.0)
    health.failed(32.0)

    assert not health.may_send(61.9)
    assert health.may_send(62.1)


def test_a_successful_trial_brings_back() -> None:
    """The trial's answer ends the penalty."""
    health = _down_since(0.0)

    health.sent(31.0)
    health.succeeded(31.0)

    assert health.fails_count == 0
    assert health.may_send(31.1)


def test_any_later_success_brings_back() -> None:
    """When all were down and one was asked anyway, its answer counts at once."""
    health = _down_since(0.0)

    health.succeeded(5.0)

    assert health.may_send(5.0)


def test_the_answer_to_an_older_call_does_not_bring_back() -> None:
    """What was sent before the last failure says nothing about now."""
    health = _down_since(10.0)

    health.succeeded(9.0)

    assert not health.may_send(11.0)


def test_every_other_call_failing_is_found_out() -> None:
    """Successes within the time-out do not wipe failures out."""
    health = Health(fails_max=3, fail_timeout_s=30.0)

    for now_s in (0.0, 2.0, 4.0):
        health.sent(now_s)
        health.succeeded(now_s)
        health.sent(now_s + 1)
        health.failed(now_s + 1)

    assert health.is_down


def test_old_failures_are_forgotten_with_a_success() -> None:
    """A failure now and then, further apart than the time-out, never adds up."""
    health = Health(fails_max=3, fail_timeout_s=30.0)

    for now_s in (0.0, 100.0, 200.0, 300.0):
        health.sent(now_s)
        health.failed(now_s)
        health.sent(now_s + 50)
        health.succeeded(now_s + 50)

    assert not health.is_down
