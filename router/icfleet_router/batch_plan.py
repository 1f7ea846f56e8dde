"""One batch's course: what to send next, until the fate of every operation in it is certain.

A state machine: facts in, commands out; the shell in ``write_path`` only obeys.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from operator import attrgetter
from typing import assert_never

from icfleet_protocol.principal import Principal
from icfleet_router.errors import (
    OperationError,
    OperationForbiddenError,
    OperationNotAppliedError,
    OperationPendingError,
)
from icfleet_router.retry_policy import BatchFate
from icfleet_router.stamp import OperationStamp
from icfleet_router.submission import Submission
from icfleet_router.submit_reply import Deferred, OperationResult, Postponed

__all__ = ["BatchPlan", "Failed", "NotSent", "Outcome", "is_postponed"]

REMEMBERED_FOR_NS = 20 * 60 * 1_000_000_000
"""Nanoseconds for which main knows an id; after that, asking on cannot find out any more.
Source: canisters/icfleet.did, ``created_at``."""


@dataclass(frozen=True, slots=True)
class Failed:
    """The batch failed as a whole, and that is the last word on this operation."""

    error: OperationError


@dataclass(frozen=True, slots=True)
class NotSent:
    """Left out: an earlier operation of the player was postponed, or nobody waits for this one."""


Outcome = OperationResult | Failed | NotSent


def is_postponed(outcome: Outcome) -> bool:
    """Tell whether the operation is to join another batch, so that later ones must wait."""
    return isinstance(outcome, (Postponed, Deferred, NotSent))


class BatchPlan:
    """The course of one batch.

    Args:
        submissions: The operations, in any order; they are sent in the order of their numbers.
        is_overtaking: Tells whether an operation would overtake an earlier one of its player.
    """

    def __init__(
        self, submissions: Sequence[Submission], is_overtaking: Callable[[Submission], bool]
    ) -> None:
        self._submissions = tuple(submissions)
        self._is_overtaking = is_overtaking
        # The last piece is sent next; a piece that must be cut is replaced by its halves.
        self._pieces: list[Sequence[Submission]] = [sorted(submissions, key=attrgetter("number"))]
        self._outcomes: dict[int, Outcome] = {}
        self._held: set[Principal] = set()

    @property
    def outcomes(self) -> list[Outcome]:
        """One for each operation, in the order given; complete when no piece is left."""
        return [self._outcomes[submission.number] for submission in self._submissions]

    def next_piece(self, now_ns: int) -> Sequence[Submission]:
        """Say what to send next; nothing if all is known.

        Whoever may have been sent already is asked about until main knows, or has forgotten.

        Args:
            now_ns: Nanoseconds since 1970.
        """
        while self._pieces:
            piece: list[Submission] = []
            for submission in self._pieces.pop():
                outcome = self._outcome_unsent(submission, now_ns)
                if outcome is None:
                    piece.append(submission)
                else:
                    self._set_outcome(submission, outcome)
            if piece:
                self._pieces.append(piece)
                return piece
        return ()

    def _outcome_unsent(self, submission: Submission, now_ns: int) -> Outcome | None:
        if submission.subject in self._held or self._is_overtaking(submission):
            return NotSent()
        if not submission.is_suspect:
            return NotSent() if submission.is_abandoned else None
        if submission.is_abandoned and now_ns > submission.stamp.created_at_ns + REMEMBERED_FOR_NS:
            reason = "main did not answer while it could remember"
            return Failed(OperationPendingError(reason, submission.stamp))
        return None

    def sending(self) -> None:
        """Note that the piece is on the wire from now on."""
        for submission in self._pieces[-1]:
            submission.is_on_wire = True

    def succeeded(self, results: Sequence[OperationResult]) -> None:
        """Take main's results for the piece."""
        for submission, result in zip(self._pieces.pop(), results, strict=True):
            submission.is_on_wire = False
            self._set_outcome(submission, result)

    def failed(self, fate: BatchFate, error: Exception | None, reason: str) -> None:
        """Take in how the piece failed that was sent.

        Args:
            fate: What that means.
            error: The cause, to be attached to the operations' errors.
            reason: The same for people.
        """
        for submission in self._pieces[-1]:
            submission.is_on_wire = False
            submission.is_suspect |= fate is BatchFate.UNKNOWN
        match fate:
            case BatchFate.UNKNOWN | BatchFate.NOT_APPLIED_RETRY:
                pass
            case BatchFate.NOT_APPLIED_SPLIT if len(self._pieces[-1]) > 1:
                piece = self._pieces.pop()
                half = len(piece) // 2
                self._pieces += [piece[half:], piece[:half]]
            case BatchFate.FORBIDDEN:
                self._end(partial(OperationForbiddenError, reason), error)
            case BatchFate.NOT_APPLIED_SPLIT | BatchFate.NOT_APPLIED_FINAL:
                refused = partial(OperationNotAppliedError, reason, is_retryable=False)
                self._end(refused, error)
            case _:
                assert_never(fate)

    def give_up(self, reason: str) -> None:
        """End all that is not certain yet, because the fleet closes."""
        while self._pieces:
            self._end(partial(OperationNotAppliedError, reason), None)

    def _end(
        self, make_error: Callable[[OperationStamp], OperationError], cause: Exception | None
    ) -> None:
        for submission in self._pieces.pop():
            error = make_error(submission.stamp)
            if submission.is_suspect or submission.is_on_wire:
                unclear = f"a try ended without an answer, then: {error.reason}"
                error = OperationPendingError(unclear, submission.stamp)
            error.__cause__ = cause
            self._set_outcome(submission, Failed(error))

    def _set_outcome(self, submission: Submission, outcome: Outcome) -> None:
        self._outcomes[submission.number] = outcome
        is_taken_back = submission.is_abandoned and not submission.is_suspect
        if is_postponed(outcome) and not is_taken_back:
            # When a batch was cut, its second half must not overtake its first.
            self._held.add(submission.subject)
