"""What becomes of an operation after each try: an answer for the caller, or another try.

Pure: facts in, decisions out.
"""

from dataclasses import dataclass
from random import Random
from typing import assert_never

from icfleet_router.batch_plan import Failed, NotSent, Outcome
from icfleet_router.errors import (
    OperationError,
    OperationForbiddenError,
    OperationNotAppliedError,
    OperationPendingError,
    OperationRefusedError,
    OperationRejectedError,
    RateLimitedError,
)
from icfleet_router.position import Position
from icfleet_router.stamp import OperationStamp
from icfleet_router.submission import Submission
from icfleet_router.submit_reply import (
    Applied,
    Deferred,
    Forbidden,
    OperationResult,
    Postponed,
    Refused,
    Rejected,
)

__all__ = [
    "Again",
    "Backoff",
    "Course",
    "Finished",
    "Later",
    "Receipt",
    "Step",
    "decide",
]

DEFERRAL_DELAY_S = 0.05
"""Pause after the second deferral, in seconds; the first is tried again at once."""

DEFERRAL_DELAY_MAX_S = 1.0
"""Longest pause after a deferral, in seconds."""


@dataclass(frozen=True, slots=True)
class Receipt:
    """An operation was applied, exactly once, and stays applied.

    Attributes:
        stamp: Its id and time.
        position: Where in the log it stands.
    """

    stamp: OperationStamp
    position: Position

    @property
    def operation_id(self) -> bytes:
        """The operation's id."""
        return self.stamp.operation_id

    @property
    def created_at_ns(self) -> int:
        """The operation's time, in nanoseconds since 1970."""
        return self.stamp.created_at_ns


@dataclass(frozen=True, slots=True)
class Finished:
    """The fate is certain, or nothing more can be learned."""

    result: Receipt | OperationError


@dataclass(frozen=True, slots=True)
class Again:
    """Take the next batch."""


@dataclass(frozen=True, slots=True)
class Later:
    """Take a batch after a pause.

    Attributes:
        delay_s: Seconds.
    """

    delay_s: float


Step = Finished | Again | Later


def decide(
    result: OperationResult, stamp: OperationStamp, *, is_suspect: bool, deferrals_count: int
) -> Step:
    """Take main's word on one operation.

    Args:
        result: Main's word.
        stamp: The operation's.
        is_suspect: Whether an earlier try ended unknown. Then an answer that main would also give
            after having forgotten the operation proves nothing: that its time is over, or that the
            signer may not do this (any more).
        deferrals_count: How often the operation was deferred before.
    """
    match result:
        case Applied(position):
            return Finished(Receipt(stamp, position))
        case Postponed(delay_s):
            return Later(delay_s)
        case Deferred():
            return Again() if deferrals_count == 0 else Later(_deferral_delay_s(deferrals_count))
        case Refused() | Forbidden() | Rejected():
            return Finished(_error_of(result, stamp, is_suspect=is_suspect))
        case _:
            assert_never(result)


def _error_of(
    result: Refused | Forbidden | Rejected, stamp: OperationStamp, *, is_suspect: bool
) -> OperationError:
    match result:
        case Refused(position, code, reason):
            return OperationRefusedError(reason, stamp, code=code, position=position)
        case Forbidden(reason) if is_suspect:
            return _unclear("Forbidden", reason, stamp)
        case Forbidden(reason):
            return OperationForbiddenError(reason, stamp)
        case Rejected("Expired" | "InFuture" as rejection, reason) if is_suspect:
            return _unclear(rejection, reason, stamp)
        case Rejected(rejection, reason, code):
            return OperationRejectedError(reason, stamp, rejection=rejection, code=code)


def _unclear(answer: str, reason: str, stamp: OperationStamp) -> OperationPendingError:
    unclear = f"an earlier try ended unknown, and now main says {answer}: {reason}"
    return OperationPendingError(unclear, stamp)


def _deferral_delay_s(deferrals_count: int) -> float:
    # The exponent is capped, for 2.0 ** 1024 overflows.
    doubled = DEFERRAL_DELAY_S * 2.0 ** min(deferrals_count - 1, 10)
    return min(doubled, DEFERRAL_DELAY_MAX_S)


class Course:
    """What one operation's caller gets to know, answer by answer.

    Attributes:
        submission: The operation.
        is_over: Whether the last answer was final.
    """

    def __init__(self, submission: Submission) -> None:
        self.submission = submission
        self.is_over = False
        self._deferrals_count = 0
        self._limited_until_s: float | None = None

    def take(self, outcome: Outcome, now_s: float) -> Receipt | float:
        """Take the outcome of a batch.

        Returns:
            The receipt, or a pause in seconds before the operation is to join another batch.

        Raises:
            OperationError: If that is the end of it.
        """
        if isinstance(outcome, NotSent):
            return 0.0
        if isinstance(outcome, Failed):
            self.is_over = True
            raise outcome.error
        step = decide(
            outcome,
            self.submission.stamp,
            is_suspect=self.submission.is_suspect,
            deferrals_count=self._deferrals_count,
        )
        self._deferrals_count += isinstance(outcome, Deferred)
        is_limited = isinstance(outcome, Postponed) and outcome.is_rate_limit
        match step:
            case Finished(result):
                self.is_over = True
                if isinstance(result, OperationError):
                    raise result
                return result
            case Again():
                return 0.0
            case Later(delay_s):
                self._limited_until_s = now_s + delay_s if is_limited else None
                return delay_s

    def error_at_end(self, reason: str, now_s: float) -> OperationError:
        """Say what is known when there is no more time to ask.

        Args:
            reason: What kept main from answering, for people.
            now_s: Monotonic time, in seconds.
        """
        submission = self.submission
        if submission.is_suspect or submission.is_on_wire:
            unclear = f"its fate is not known: {reason}"
            return OperationPendingError(unclear, submission.stamp)
        if self._limited_until_s is not None:
            retry_after_s = max(self._limited_until_s - now_s, 0.0)
            return RateLimitedError(submission.stamp, retry_after_s=retry_after_s)
        return OperationNotAppliedError(f"not applied: {reason}", submission.stamp)


class Backoff:
    """Main's failures in a row, and how long to hold the next batch back.

    While main fails, one batch at a time finds out whether it is back, and all operations
    gather for it: however many callers wait, the calls on the wire are bounded by time.

    Args:
        delay_first_s: Pause after the first failure, in seconds.
        delay_max_s: Longest pause, in seconds.
        random: For the jitter, between half the pause and the whole.
    """

    def __init__(self, *, delay_first_s: float, delay_max_s: float, random: Random) -> None:
        self._delay_first_s = delay_first_s
        self._delay_max_s = delay_max_s
        self._random = random
        self._fails_count = 0
        self._resumes_at_s = float("-inf")

    @property
    def is_failing(self) -> bool:
        """Whether the last batch that came back had failed."""
        return self._fails_count > 0

    def failed(self, now_s: float) -> None:
        """Note a batch that main did not answer, or could not take."""
        # The exponent is capped, for 2.0 ** 1024 overflows.
        doubled = self._delay_first_s * 2.0 ** min(self._fails_count, 30)
        pause_s = min(doubled, self._delay_max_s) * self._random.uniform(0.5, 1.0)
        self._fails_count += 1
        self._resumes_at_s = max(self._resumes_at_s, now_s + pause_s)

    def succeeded(self) -> None:
        """Note an answer."""
        self._fails_count = 0
        self._resumes_at_s = float("-inf")

    def pause_s(self, now_s: float) -> float:
        """Tell how long no batch may go out, in seconds; 0 if one may now."""
        return max(self._resumes_at_s - now_s, 0.0)
