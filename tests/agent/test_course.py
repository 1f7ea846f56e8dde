"""What each failure means for an update on its way: one table, every cell."""

import pytest

from icfleet_agent.call import Missing
from icfleet_agent.config import RetryConfig
from icfleet_agent.course import STATUS_KEPT_S, Course
from icfleet_agent.errors import (
    AgentError,
    HttpStatusError,
    MalformedReplyError,
    NotSentError,
    ReplyTooLargeError,
    TransportError,
    UncertifiedRejectError,
    UnverifiedReplyError,
)

CONFIG = RetryConfig(attempts_max=3, unproven_max=2)
EXPIRY_NS = 1_000
NOT_SENT = NotSentError("down")
BUSY = HttpStatusError(429, "busy")
REFUSED = HttpStatusError(403, "no")
BROKEN = TransportError("broken")
GATEWAY = HttpStatusError(504, "time-out")
BUG = HttpStatusError(500, "oops")
TOO_LARGE = ReplyTooLargeError("large")
REJECTED = UncertifiedRejectError(3, "no such canister", None)


def course_after(*errors: AgentError, can_resend: bool = True) -> Course:
    course = Course(CONFIG, ingress_expiry_ns=EXPIRY_NS, can_resend=can_resend)
    for error in errors:
        course.note_failure(error)
    return course


#   failures so far                may have arrived, send again, ask for the fate
TABLE = [
    pytest.param([NOT_SENT], False, True, False, id="not-sent"),
    pytest.param([BUSY], False, True, False, id="too-busy-to-take-it"),
    pytest.param([REFUSED], False, False, False, id="refused"),
    pytest.param([REJECTED], False, False, False, id="rejected-by-the-node"),
    pytest.param([BROKEN], True, True, False, id="lost-under-way"),
    pytest.param([GATEWAY], True, True, False, id="lost-in-a-gateway"),
    pytest.param([BUG], True, False, True, id="failed-inside-the-server"),
    pytest.param([TOO_LARGE], True, False, True, id="answer-too-long"),
    pytest.param([BROKEN, NOT_SENT], True, True, False, id="lost-then-not-sent"),
    pytest.param([BROKEN, BUSY], True, True, False, id="lost-then-busy"),
    pytest.param([BROKEN, REFUSED], True, False, True, id="lost-then-refused"),
]


@pytest.mark.parametrize(("errors", "has_arrived", "resend", "ask"), TABLE)
def test_each_failure_has_one_next_step(
    errors: list[AgentError], has_arrived: bool, resend: bool, ask: bool
) -> None:
    course = course_after(*errors)

    assert course.may_have_arrived is has_arrived
    assert course.should_resend(errors[-1], len(errors), now_ns=0) is resend
    assert course.should_ask(errors[-1], now_ns=0) is ask


def test_what_was_never_delivered_is_tried_a_few_times() -> None:
    course = course_after(NOT_SENT)

    assert course.should_resend(NOT_SENT, 2, now_ns=0)
    assert not course.should_resend(NOT_SENT, 3, now_ns=0)


def test_what_may_have_arrived_is_sent_again_as_often_as_need_be() -> None:
    """Each copy has the same id, so the network runs it once."""
    assert course_after(BROKEN).should_resend(BROKEN, 1_000, now_ns=EXPIRY_NS - 1)


def test_an_expired_call_is_not_sent_again_but_asked_after() -> None:
    """The network would refuse the copy, and can tell what became of the first."""
    course = course_after(BROKEN)

    assert not course.should_resend(BROKEN, 1, now_ns=EXPIRY_NS)
    assert course.should_ask(BROKEN, now_ns=EXPIRY_NS)


def test_an_expired_call_that_never_arrived_is_just_not_made() -> None:
    course = course_after(NOT_SENT)

    assert not course.should_resend(NOT_SENT, 1, now_ns=EXPIRY_NS)
    assert not course.should_ask(NOT_SENT, now_ns=EXPIRY_NS)


@pytest.mark.parametrize("error", [UnverifiedReplyError("forged"), MalformedReplyError("broken")])
def test_answers_that_prove_nothing_are_asked_again_a_few_times(error: AgentError) -> None:
    """Another node may answer properly; a server that never does is not worth the wait."""
    course = course_after(error)
    assert course.may_have_arrived
    assert course.should_resend(error, 1, now_ns=0)
    assert course.should_ask_again(error)

    course.note_failure(error)

    assert not course.should_resend(error, 2, now_ns=0)
    assert not course.should_ask(error, now_ns=0)
    assert not course.should_ask_again(error)


@pytest.mark.parametrize("error", [BROKEN, UnverifiedReplyError("forged"), REFUSED])
def test_without_retries_nothing_is_sent_again_or_asked(error: AgentError) -> None:
    course = course_after(error, can_resend=False)

    assert not course.should_resend(error, 1, now_ns=0)
    assert not course.should_ask(error, now_ns=0)


@pytest.mark.parametrize(
    ("error", "again"), [(BROKEN, True), (NOT_SENT, True), (GATEWAY, True), (REFUSED, False)]
)
def test_asking_goes_on_while_failures_may_pass(error: AgentError, again: bool) -> None:
    assert course_after(error).should_ask_again(error) is again


def test_acceptance_counts_as_arrival() -> None:
    course = course_after()
    assert not course.may_have_arrived

    course.note_accepted()

    assert course.may_have_arrived


@pytest.mark.parametrize(
    ("time_ns", "elapsed_s", "is_proven"),
    [
        pytest.param(EXPIRY_NS, 100.0, False, id="could-still-start"),
        pytest.param(EXPIRY_NS + 1, 100.0, True, id="expired-and-unknown"),
        pytest.param(EXPIRY_NS + 1, STATUS_KEPT_S, False, id="may-be-forgotten-by-now"),
    ],
)
def test_not_knowing_a_call_proves_something_only_for_a_while(
    time_ns: int, elapsed_s: float, is_proven: bool
) -> None:
    """After it has expired, and before an outcome could have been forgotten."""
    course = course_after(BROKEN)

    assert course.is_never_executed(Missing(time_ns), elapsed_s=elapsed_s) is is_proven
