"""One read's course: whom to ask, whether the answer will do, whom to ask next, when to give up.

A state machine: facts in, commands out; the shell in ``read_path`` only obeys.
"""

from dataclasses import dataclass

from icfleet_agent import Deadline, RetryBudget
from icfleet_router.pool import Member, Pool
from icfleet_router.position import Position
from icfleet_router.retry_policy import ReadVerdict

__all__ = ["Accept", "Ask", "Behind", "GiveUp", "ReadPlan"]

REASK_DELAY_S = 0.2
"""Pause before a canister is asked a second time, in seconds: its nodes are a round apart."""


TIMEOUT_MIN_S = 0.001
"""Seconds: the agent refuses zero, and what is left of a deadline may round to it."""


@dataclass(frozen=True, slots=True)
class Ask:
    """Send the query.

    Attributes:
        member: To whom.
        delay_s: Pause before, in seconds.
        timeout_s: How long to wait for the answer, in seconds.
    """

    member: Member
    delay_s: float
    timeout_s: float


@dataclass(frozen=True, slots=True)
class Accept:
    """The answer will do."""


@dataclass(frozen=True, slots=True)
class GiveUp:
    """Raise what the last attempt ended with.

    Attributes:
        is_final: Whether another canister would have said the same.
    """

    is_final: bool


@dataclass(frozen=True, slots=True)
class Behind:
    """Every answer was older than the session."""

    as_of: Position


class ReadPlan:
    """The course of one read.

    Args:
        pool: Whom there is to ask.
        floor: What the answer must not be older than.
        deadline: Of the whole read.
        attempts_max: Calls on the wire.
        budget: Retries of failed calls are taken from it. Asking on after a stale answer is not
            charged: it is no failure, and main ends it.
    """

    def __init__(
        self,
        pool: Pool,
        *,
        floor: Position,
        deadline: Deadline,
        attempts_max: int,
        budget: RetryBudget,
    ) -> None:
        self._pool = pool
        self._floor = floor
        self._deadline = deadline
        self._attempts_max = attempts_max
        self._budget = budget
        self._tried: set[str] = set()
        self.attempts_count = 0

    def start(self, now_s: float) -> Ask:
        """Say whom to ask first."""
        self._budget.deposit(now_s=now_s)
        return self._ask(now_s, delay_s=0.0)

    def failed(self, verdict: ReadVerdict, now_s: float) -> Ask | GiveUp:
        """Take a failure in."""
        if not verdict.is_retryable:
            return GiveUp(is_final=True)
        if not self._has_another(now_s, delay_s=verdict.retry_after_s):
            return GiveUp(is_final=False)
        if not self._budget.try_withdraw(now_s=now_s):
            return GiveUp(is_final=False)
        return self._ask(now_s, delay_s=verdict.retry_after_s)

    def answered(self, as_of: Position | None, now_s: float) -> Accept | Ask | Behind:
        """Take an answer in; without a position there is nothing to hold it to."""
        if as_of is None or as_of >= self._floor:
            return Accept()
        if not self._has_another(now_s, delay_s=0.0):
            return Behind(as_of)
        return self._ask(now_s, delay_s=0.0)

    def _has_another(self, now_s: float, *, delay_s: float) -> bool:
        in_time = self._deadline.remaining_s(now_s=now_s) > delay_s
        return in_time and self.attempts_count < self._attempts_max

    def _ask(self, now_s: float, *, delay_s: float) -> Ask:
        attempts_left = self._attempts_max - self.attempts_count
        is_last_of_several = attempts_left == 1 and self.attempts_count > 0
        member = self._pool.pick_read(
            self._floor, self._tried, now_s, prefer_main=is_last_of_several
        )
        if member.name in self._tried:
            delay_s = max(delay_s, REASK_DELAY_S)
        self._tried.add(member.name)
        self.attempts_count += 1
        remaining_s = self._deadline.remaining_s(now_s=now_s) - delay_s
        # A canister that hangs must leave time for the others.
        return Ask(member, delay_s, max(remaining_s / attempts_left, TIMEOUT_MIN_S))
