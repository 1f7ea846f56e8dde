"""What becomes of one operation, and how main's failures slow the batches down."""

from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from icfleet_protocol.principal import Principal
from icfleet_router import (
    OperationForbiddenError,
    OperationNotAppliedError,
    OperationPendingError,
    OperationRefusedError,
    OperationRejectedError,
    OperationStamp,
    Position,
    RateLimitedError,
    Receipt,
)
from icfleet_router.batch_plan import Failed, NotSent
from icfleet_router.submission import Submission
from icfleet_router.submit_reply import Applied, Deferred, Forbidden, Postponed, Refused, Rejected
from icfleet_router.write_policy import Again, Backoff, Course, Finished, Later, Step, decide

AT = Position(1, 7)
STAMP = OperationStamp(b"i" * 16, 5)
LIMITED = Postponed(2.0, is_rate_limit=True)
BUSY = Postponed(2.0, is_rate_limit=False)


def _course() -> Course:
    return Course(Submission(1, Principal(b"\x01"), STAMP, {}))


def _final(step: Step) -> object:
    assert isinstance(step, Finished), step
    return step.result


def test_applied_is_a_receipt() -> None:
    """With what the session and an auditor need."""
    result = _final(decide(Applied(AT), STAMP, is_suspect=True, deferrals_count=0))

    assert result == Receipt(STAMP, AT)


@pytest.mark.parametrize("is_suspect", [False, True])
@pytest.mark.parametrize(
    ("result", "kind"),
    [
        (Refused(AT, "Poor", "5 short"), OperationRefusedError),
        (Rejected("IdReused", "other content"), OperationRejectedError),
        (Rejected("Invalid", "zero"), OperationRejectedError),
    ],
)
def test_final_results_are_errors_whatever_went_before(
    result: Refused | Rejected, kind: type[Exception], *, is_suspect: bool
) -> None:
    """Had an earlier try been applied, main would have said so."""
    error = _final(decide(result, STAMP, is_suspect=is_suspect, deferrals_count=0))

    assert type(error) is kind


@pytest.mark.parametrize(
    ("result", "kind"),
    [
        (Rejected("Expired", "too old"), OperationRejectedError),
        (Rejected("InFuture", "too new"), OperationRejectedError),
        (Forbidden("not yours"), OperationForbiddenError),
    ],
)
def test_what_main_says_of_a_forgotten_operation_proves_nothing_about_an_earlier_try(
    result: Forbidden | Rejected, kind: type[Exception]
) -> None:
    """Main may have applied it, and forgotten it or taken the signer's rights since."""
    certain, unclear = (
        _final(decide(result, STAMP, is_suspect=is_suspect, deferrals_count=0))
        for is_suspect in (False, True)
    )

    assert type(certain) is kind
    assert isinstance(unclear, OperationPendingError)
    assert result.reason in unclear.reason


def test_pauses_are_mains() -> None:
    """``RateLimited`` and ``Busy`` say how long."""
    assert decide(LIMITED, STAMP, is_suspect=False, deferrals_count=0) == Later(2.0)


def test_deferrals_slow_down() -> None:
    """The first is tried again at once; a main that always defers is not asked in a circle."""
    steps = [
        decide(Deferred(), STAMP, is_suspect=False, deferrals_count=count)
        for count in (0, 1, 2, 100_000)
    ]

    assert steps == [Again(), Later(0.05), Later(0.1), Later(1.0)]


def test_a_course_waits_and_then_ends_in_a_receipt() -> None:
    """Answer by answer."""
    course = _course()

    assert course.take(NotSent(), 0.0) == 0.0
    assert course.take(Deferred(), 0.0) == 0.0
    assert course.take(Deferred(), 0.0) == 0.05
    assert course.take(LIMITED, 0.0) == 2.0
    assert not course.is_over
    assert course.take(Applied(AT), 0.0) == Receipt(STAMP, AT)
    assert course.is_over


def test_a_failed_batch_ends_a_course() -> None:
    """The batch's error is the operation's."""
    course = _course()
    error = OperationForbiddenError("no", STAMP)

    with pytest.raises(OperationForbiddenError):
        course.take(Failed(error), 0.0)

    assert course.is_over


def test_the_deadline_tells_what_is_known() -> None:
    """Limited, not applied, or unknown: the caller's next step differs."""
    limited, idle, busy, suspect, flying = (_course() for _ in range(5))
    limited.take(LIMITED, 10.0)
    busy.take(BUSY, 10.0)
    suspect.submission.is_suspect = True
    suspect.take(LIMITED, 10.0)
    flying.submission.is_on_wire = True

    errors = [one.error_at_end("why", 10.5) for one in (limited, idle, busy, suspect, flying)]

    assert [type(error) for error in errors] == [
        RateLimitedError,
        OperationNotAppliedError,
        OperationNotAppliedError,
        OperationPendingError,
        OperationPendingError,
    ]
    assert isinstance(errors[0], RateLimitedError)
    assert errors[0].retry_after_s == 1.5
    assert all((error.operation_id, error.created_at_ns) == (b"i" * 16, 5) for error in errors)
    assert "why" in str(errors[1])


def test_backoff_doubles_up_to_its_limit_and_ends_with_an_answer() -> None:
    """Pauses of 0.1, 0.2, 0.4 ... 2 s, each between half and whole."""
    backoff = Backoff(delay_first_s=0.1, delay_max_s=2.0, random=Random(1))
    pauses: list[float] = []
    now_s = 0.0
    for _ in range(8):
        backoff.failed(now_s)
        pauses.append(backoff.pause_s(now_s))
        now_s += pauses[-1]

    for pause, whole in zip(pauses, [0.1, 0.2, 0.4, 0.8, 1.6, 2.0, 2.0, 2.0], strict=True):
        assert whole / 2 <= pause <= whole
    assert backoff.is_failing

    backoff.succeeded()

    assert (backoff.is_failing, backoff.pause_s(now_s)) == (False, 0.0)


@given(st.integers(1, 5000))
def test_backoff_never_overflows(failures_count: int) -> None:
    """A main that is away for a week is asked every two seconds."""
    backoff = Backoff(delay_first_s=0.1, delay_max_s=2.0, random=Random(1))

    for _ in range(failures_count):
        backoff.failed(0.0)

    assert backoff.pause_s(0.0) <= 2.0
