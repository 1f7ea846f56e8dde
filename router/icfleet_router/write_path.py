"""Writes, from the caller's side: made ready, put in order, waited for until the deadline."""

import asyncio
import logging
from collections.abc import Callable, Mapping, Sequence
from types import TracebackType
from typing import Self

from icfleet_agent import (
    ClosedError,
    GroupCommit,
    GroupCommitConfig,
    PrincipalLike,
    QueueFullError,
    SettingsError,
    as_principal,
)
from icfleet_protocol.errors import PrincipalError
from icfleet_protocol.principal import Principal
from icfleet_router.batch_plan import Outcome, is_postponed
from icfleet_router.batch_sender import BatchSender
from icfleet_router.errors import (
    FleetClosedError,
    OperationError,
    OperationRejectedError,
    OverloadedError,
)
from icfleet_router.parts import FleetParts
from icfleet_router.postponed import PostponedLines
from icfleet_router.stamp import OperationStamp
from icfleet_router.submission import Submission, make_submission
from icfleet_router.write_policy import Course, Receipt

__all__ = ["WritePath"]

logger = logging.getLogger(__name__)


class WritePath:
    """Carries operations to main, each exactly once; an async context manager.

    Leaving the context sends what waits and sees every batch end, within
    ``FleetConfig.drain_timeout_s``.
    """

    def __init__(
        self, parts: FleetParts, sender: BatchSender, make_operation_id: Callable[[], bytes]
    ) -> None:
        config = parts.config
        self._interface = parts.interface
        self._config = config
        self._clock = parts.clock
        self._sender = sender
        self._make_operation_id = make_operation_id
        self._is_open = False
        self._operations_made = 0
        self._lines = PostponedLines()
        self._turns: dict[int, asyncio.Event] = {}
        self._operations_count = 0
        self._orphans = asyncio.TaskGroup()
        self._commits = GroupCommit(
            self._flush,
            config=GroupCommitConfig(
                linger_s=config.linger_s,
                items_max=config.batch_operations_max,
                size_max=config.batch_size_max,
                batches_in_flight_max=config.batches_in_flight_max,
                waiting_max=config.operations_waiting_max,
            ),
            size_of=lambda course: course.submission.size,
            keys_of=lambda course: course.submission.touched,
            clock=parts.clock,
        )

    async def __aenter__(self) -> Self:
        """Start to take operations."""
        await self._orphans.__aenter__()
        await self._commits.__aenter__()
        self._is_open = True
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Send what waits, or give it up at once after an exception; see every batch end."""
        self._is_open = False
        self._sender.drain.start(self._config.drain_timeout_s if error is None else 0.0)
        await self._commits.__aexit__(None, None, None)
        # No more can be sent, so there is nothing to wait for.
        self._sender.drain.start(0.0)
        await self._orphans.__aexit__(None, None, None)

    async def submit(
        self,
        operation: Mapping[str, object],
        *,
        subject: PrincipalLike,
        operation_id: bytes | None = None,
        created_at_ns: int | None = None,
    ) -> Receipt:
        """Have an operation applied, and wait until that is certain.

        If the caller is cancelled, an operation that is not on its way is taken back.

        Args:
            operation: A value of the canister's ``Operation``.
            subject: Whose operation it is.
            operation_id: 16 to 32 bytes; random if not given.
            created_at_ns: Nanoseconds since 1970; now if not given.

        Raises:
            OperationError: If it was not applied, or if that is not known in time.
            ArgumentsError: If the canister takes no operations.
            FleetClosedError: Outside of the context.
        """
        if not self._is_open:
            raise FleetClosedError
        # Given before the first send, and never again: this is what makes it exactly-once.
        stamp = OperationStamp(
            self._make_operation_id() if operation_id is None else operation_id,
            self._clock.now_ns() if created_at_ns is None else created_at_ns,
        )
        self._operations_made += 1
        submission = make_submission(
            self._interface,
            operation,
            number=self._operations_made,
            subject=_parse_subject(subject, stamp),
            stamp=stamp,
            size_max=self._config.batch_size_max,
        )
        return await self._see_through(submission)

    async def _see_through(self, submission: Submission) -> Receipt:
        if self._operations_count >= self._config.operations_waiting_max:
            raise self._overloaded(submission)
        course = Course(submission)
        self._operations_count += 1
        scope = asyncio.timeout(self._config.submit_timeout_s)
        try:
            async with scope:
                return await self._drive(course)
        except TimeoutError:
            if not scope.expired():
                raise
            reason = self._sender.last_failure
            raise course.error_at_end(reason, self._clock.now_s()) from None
        finally:
            self._operations_count -= 1
            self._let_go(course)

    def _let_go(self, course: Course) -> None:
        """See to an operation that nobody waits for any more."""
        submission = course.submission
        submission.is_abandoned = True
        if submission.is_in_batch:
            # Its batch goes on until all is certain; ``_flush`` sees to the rest.
            return
        if submission.is_suspect and not course.is_over:
            self._adopt(course)
        else:
            self._leave_line(submission)

    def _adopt(self, course: Course) -> None:
        """Go on asking what became of an operation: until that is certain, none may overtake it."""
        if not self._is_open:
            self._leave_line(course.submission)
            return
        self._lines.join(course.submission)
        self._operations_count += 1
        self._orphans.create_task(self._drive_orphan(course))

    async def _drive_orphan(self, course: Course) -> None:
        try:
            async with self._sender.drain.scope():
                await self._drive(course)
        except (OperationError, TimeoutError) as error:
            logger.info("abandoned operation ended error=%s", error)
        finally:
            self._operations_count -= 1
            self._leave_line(course.submission)

    async def _drive(self, course: Course) -> Receipt:
        submission = course.submission
        while True:
            await self._wait_for_turn(submission)
            try:
                outcome = await self._commits.submit(course)
            except QueueFullError as error:
                raise self._overloaded(submission) from error
            except ClosedError as error:
                reason = "the fleet was closed"
                raise course.error_at_end(reason, self._clock.now_s()) from error
            step = course.take(outcome, self._clock.now_s())
            if isinstance(step, Receipt):
                return step
            await self._clock.sleep(step)

    async def _wait_for_turn(self, submission: Submission) -> None:
        if not self._lines.may_go_in(submission):
            self._lines.join(submission)
        while not self._lines.may_go_in(submission):
            turn = self._turns[submission.number] = asyncio.Event()
            await turn.wait()
        self._turns.pop(submission.number, None)
        self._lines.go_in(submission)
        self._call_next(submission.subject)

    def _leave_line(self, submission: Submission) -> None:
        self._turns.pop(submission.number, None)
        self._lines.leave(submission)
        self._call_next(submission.subject)

    def _call_next(self, subject: Principal) -> None:
        first = self._lines.first_outside(subject)
        turn = None if first is None else self._turns.get(first.number)
        if turn is not None:
            turn.set()

    async def _flush(self, courses: Sequence[Course]) -> Sequence[Outcome]:
        submissions = [course.submission for course in courses]
        for submission in submissions:
            submission.is_in_batch = True
            self._lines.leave(submission)
        outcomes = await self._sender.flush(submissions, self._lines.is_overtaking)
        for course, outcome in zip(courses, outcomes, strict=True):
            course.submission.is_in_batch = False
            # Here and not when the caller wakes up: by then the next batch may have left.
            if is_postponed(outcome):
                self._stay_in_order(course)
        return outcomes

    def _stay_in_order(self, course: Course) -> None:
        submission = course.submission
        if not submission.is_abandoned:
            self._lines.join(submission)
        elif submission.is_suspect:
            self._adopt(course)

    def _overloaded(self, submission: Submission) -> OverloadedError:
        reason = f"{self._operations_count} operations are waiting already"
        return OverloadedError(reason, submission.stamp)


def _parse_subject(subject: PrincipalLike, stamp: OperationStamp) -> Principal:
    try:
        return as_principal(subject)
    except (PrincipalError, SettingsError) as error:
        reason = f"the subject is {error}"
        raise OperationRejectedError(reason, stamp, rejection="Invalid") from error
