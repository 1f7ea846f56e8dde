"""Sending batches to main until the fate of every operation is certain."""

import asyncio
import logging
from collections.abc import Callable, Sequence
from random import Random

from icfleet_agent import AgentError
from icfleet_protocol.errors import CandidError
from icfleet_router.batch_plan import BatchPlan, Outcome
from icfleet_router.drain import DrainLimit
from icfleet_router.main_finder import MainFinder
from icfleet_router.parts import FleetParts
from icfleet_router.pool import Member
from icfleet_router.retry_policy import BatchFate, judge_batch
from icfleet_router.submission import SUBMIT, Submission
from icfleet_router.submit_reply import Done, NotMain, SubmitReply, TooLarge, parse_submit_reply
from icfleet_router.write_policy import Backoff

__all__ = ["BatchSender"]

logger = logging.getLogger(__name__)


class BatchSender:
    """Performs what a ``BatchPlan`` decides.

    While main does not answer, one batch at a time finds out whether it is back.

    Args:
        parts: The fleet's.
        finder: Asked when main is not main any more.
        random: For jitter.
    """

    def __init__(self, parts: FleetParts, finder: MainFinder, random: Random) -> None:
        config = parts.config
        self._pool = parts.pool
        self._wire = parts.wire
        self._interface = parts.interface
        self._config = config
        self._clock = parts.clock
        self._finder = finder
        self._backoff = Backoff(
            delay_first_s=config.retry_delay_first_s,
            delay_max_s=config.retry_delay_max_s,
            random=random,
        )
        self._probe = asyncio.Lock()
        self.drain = DrainLimit()
        self.last_failure = "main has not answered yet"

    async def flush(
        self, submissions: Sequence[Submission], is_overtaking: Callable[[Submission], bool]
    ) -> list[Outcome]:
        """Send a batch; return one outcome per operation, in the order they were given.

        Args:
            submissions: The operations.
            is_overtaking: Tells whether an operation would overtake an earlier one of its player.
        """
        plan = BatchPlan(submissions, is_overtaking)
        try:
            async with self.drain.scope():
                while not self.drain.is_over and plan.next_piece(self._clock.now_ns()):
                    await self._send_when_due(plan)
        except TimeoutError:
            logger.info("closed before main answered operations=%d", len(submissions))
        plan.give_up("the fleet was closed")
        return plan.outcomes

    async def _send_when_due(self, plan: BatchPlan) -> None:
        while self._backoff.is_failing:
            async with self._probe:
                await self._clock.sleep(self._backoff.pause_s(self._clock.now_s()))
                # Another batch may have found main back while this one stood in line.
                if self._backoff.is_failing:
                    await self._send(plan)
                    return
        await self._send(plan)

    async def _send(self, plan: BatchPlan) -> None:
        # Callers may have gone away during the pause.
        piece = plan.next_piece(self._clock.now_ns())
        if not piece:
            return
        main = self._pool.main
        value = {"ops": [submission.as_candid() for submission in piece]}
        arg = self._interface.encode_args(SUBMIT, (value,))
        plan.sending()
        try:
            data = await self._wire.update(
                main,
                SUBMIT,
                arg,
                operations_count=len(piece),
                timeout_s=self._config.batch_timeout_s,
            )
        except AgentError as error:
            self._failed(plan, judge_batch(error), error, f"{main.name}: {error}")
            return
        reply = self._decode(data, operations_count=len(piece))
        if isinstance(reply, Exception):
            self._failed(plan, BatchFate.UNKNOWN, reply, f"{main.name}: {reply}")
        else:
            await self._take(plan, main, reply)

    async def _take(self, plan: BatchPlan, main: Member, reply: SubmitReply) -> None:
        match reply:
            case Done(as_of, results):
                self._backoff.succeeded()
                self._pool.learned(main, as_of, self._clock.now_s())
                plan.succeeded(results)
            case TooLarge(reason):
                self._failed(plan, BatchFate.NOT_APPLIED_SPLIT, None, f"{main.name}: {reason}")
            case NotMain(hint):
                plan.failed(BatchFate.NOT_APPLIED_RETRY, None, f"{main.name} is not main")
                if not await self._finder.find(hint):
                    self._note_failure("no canister of the fleet says that it is main")
                elif self._pool.main is main:
                    # Its word against its own, as from nodes that are a round apart.
                    self._note_failure(f"{main.name} says that it is main, and takes no writes")

    def _failed(
        self, plan: BatchPlan, fate: BatchFate, error: Exception | None, reason: str
    ) -> None:
        plan.failed(fate, error, reason)
        if fate in {BatchFate.UNKNOWN, BatchFate.NOT_APPLIED_RETRY}:
            self._note_failure(reason)
        else:
            self._backoff.succeeded()

    def _note_failure(self, reason: str) -> None:
        logger.info("batch not answered reason=%s", reason)
        self.last_failure = reason
        self._backoff.failed(self._clock.now_s())

    def _decode(self, data: bytes, *, operations_count: int) -> SubmitReply | CandidError:
        try:
            results = self._interface.decode_results(SUBMIT, data)
        except CandidError as error:
            return error
        reply = parse_submit_reply(results, operations_count=operations_count)
        if reply is None:
            reason = f"the reply to {SUBMIT} is not what icfleet.did says"
            return CandidError(reason)
        return reply
