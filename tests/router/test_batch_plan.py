"""The course of one batch."""

from collections.abc import Callable, Sequence

from icfleet_protocol.principal import Principal
from icfleet_router import (
    OperationError,
    OperationForbiddenError,
    OperationNotAppliedError,
    OperationPendingError,
    Position,
)
from icfleet_router.batch_plan import REMEMBERED_FOR_NS, BatchPlan, Failed, NotSent, Outcome
from icfleet_router.retry_policy import BatchFate
from icfleet_router.stamp import OperationStamp
from icfleet_router.submission import Submission
from icfleet_router.submit_reply import Applied, Postponed

ADA = Principal(b"\x01")
NOW_NS = 1_750_000_000_000_000_000
APPLIED = Applied(Position(1, 1))
LIMITED = Postponed(1.0, is_rate_limit=True)


def _batch(count: int, subject: Principal | None = None) -> list[Submission]:
    return [
        Submission(
            number,
            subject or Principal(bytes([number])),
            OperationStamp(bytes([number]) * 16, NOW_NS),
            {},
        )
        for number in range(count)
    ]


def _plan(
    submissions: Sequence[Submission], is_overtaking: Callable[[Submission], bool] | None = None
) -> BatchPlan:
    return BatchPlan(submissions, is_overtaking or (lambda _: False))


def _numbers(plan: BatchPlan, now_ns: int = NOW_NS) -> list[int]:
    return [submission.number for submission in plan.next_piece(now_ns)]


def _error(outcome: Outcome) -> OperationError:
    assert isinstance(outcome, Failed), outcome
    return outcome.error


def test_a_batch_goes_out_once_and_is_done() -> None:
    """The success path: one send, one outcome for each."""
    plan = _plan(_batch(3))

    assert _numbers(plan) == [0, 1, 2]

    plan.sending()
    plan.succeeded([APPLIED] * 3)

    assert _numbers(plan) == []
    assert plan.outcomes == [APPLIED] * 3


def test_operations_go_out_in_the_order_they_came() -> None:
    """Outcomes are given in the order asked for, whatever the order sent."""
    submissions = _batch(2)
    plan = _plan(submissions[::-1])

    assert _numbers(plan) == [0, 1]

    plan.succeeded([APPLIED, LIMITED])

    assert plan.outcomes == [LIMITED, APPLIED]


def test_an_unknown_fate_is_asked_again_with_the_same_ids() -> None:
    """Main tells by the ids what it has applied before."""
    submissions = _batch(2)
    plan = _plan(submissions)
    plan.next_piece(NOW_NS)
    plan.sending()

    plan.failed(BatchFate.UNKNOWN, None, "no answer")

    assert _numbers(plan) == [0, 1]
    assert all(submission.is_suspect for submission in submissions)


def test_whoever_was_surely_not_applied_and_is_not_waited_for_is_left_out() -> None:
    """A caller that gave up does not get its operation applied behind its back."""
    submissions = _batch(2)
    plan = _plan(submissions)
    plan.next_piece(NOW_NS)
    plan.failed(BatchFate.NOT_APPLIED_RETRY, None, "refused")

    submissions[0].is_abandoned = True

    assert _numbers(plan) == [1]

    plan.succeeded([APPLIED])

    assert plan.outcomes == [NotSent(), APPLIED]


def test_whoever_may_have_been_applied_is_asked_about_until_main_forgets() -> None:
    """Later operations of the player wait for that word, also when the caller does not."""
    submissions = _batch(1)
    plan = _plan(submissions)
    plan.next_piece(NOW_NS)
    plan.failed(BatchFate.UNKNOWN, None, "no answer")
    submissions[0].is_abandoned = True

    assert _numbers(plan, NOW_NS + REMEMBERED_FOR_NS) == [0]
    assert _numbers(plan, NOW_NS + REMEMBERED_FOR_NS + 1) == []
    assert isinstance(_error(plan.outcomes[0]), OperationPendingError)


def test_whoever_would_overtake_is_left_out() -> None:
    """An earlier operation of the player was postponed meanwhile."""
    plan = _plan(_batch(2), lambda submission: submission.number == 1)

    assert _numbers(plan) == [0]

    plan.succeeded([APPLIED])

    assert plan.outcomes == [APPLIED, NotSent()]


def test_a_batch_that_traps_is_cut_until_the_culprit_is_alone() -> None:
    """One operation that breaks the canister must not take its neighbours along."""
    plan = _plan(_batch(4))
    sent: list[list[int]] = []

    while numbers := _numbers(plan):
        sent.append(numbers)
        if 2 in numbers:
            plan.failed(BatchFate.NOT_APPLIED_SPLIT, None, "trapped")
        else:
            plan.succeeded([APPLIED] * len(numbers))

    assert sent == [[0, 1, 2, 3], [0, 1], [2, 3], [2], [3]]
    assert [outcome == APPLIED for outcome in plan.outcomes] == [True, True, False, True]
    error = _error(plan.outcomes[2])
    assert isinstance(error, OperationNotAppliedError)
    assert not error.is_retryable


def test_the_second_half_does_not_overtake_the_first() -> None:
    """If a player's operation was postponed in the first half, its later ones wait."""
    plan = _plan(_batch(2, subject=ADA))
    plan.next_piece(NOW_NS)
    plan.failed(BatchFate.NOT_APPLIED_SPLIT, None, "too large")

    assert _numbers(plan) == [0]

    plan.succeeded([LIMITED])

    assert _numbers(plan) == []
    assert plan.outcomes == [LIMITED, NotSent()]


def test_a_refusal_of_the_signer_is_forbidden_for_each() -> None:
    """The canister's own words become each operation's error, with the cause."""
    cause = ValueError("IC0406")
    plan = _plan(_batch(2))
    plan.next_piece(NOW_NS)

    plan.failed(BatchFate.FORBIDDEN, cause, "strangers may not")

    errors = [_error(outcome) for outcome in plan.outcomes]
    assert all(isinstance(error, OperationForbiddenError) for error in errors)
    assert [error.operation_id[0] for error in errors] == [0, 1]
    assert all(error.__cause__ is cause for error in errors)


def test_a_final_no_does_not_settle_what_was_unknown_before() -> None:
    """An earlier try may have been applied, or may still be."""
    plan = _plan(_batch(1))
    plan.next_piece(NOW_NS)
    plan.failed(BatchFate.UNKNOWN, None, "no answer")

    plan.failed(BatchFate.NOT_APPLIED_FINAL, None, "gone")

    assert isinstance(_error(plan.outcomes[0]), OperationPendingError)


def test_giving_up_tells_apart_what_was_sent() -> None:
    """When the fleet closes, callers learn whether anything can have happened."""
    submissions = _batch(4)
    plan = _plan(submissions)
    plan.next_piece(NOW_NS)
    plan.failed(BatchFate.NOT_APPLIED_SPLIT, None, "too large")
    plan.next_piece(NOW_NS)
    plan.sending()

    plan.give_up("closed")

    kinds = [type(_error(outcome)) for outcome in plan.outcomes]
    assert kinds == [OperationPendingError] * 2 + [OperationNotAppliedError] * 2
