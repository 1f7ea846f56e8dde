"""Trying again after failures that may pass: tenacity as policy, off the path of success.

The first attempt is a plain call: tenacity costs 40 microseconds a call, as much as a signature,
and is entered only with a failure in hand.
"""

import logging
from collections.abc import Awaitable, Callable
from random import Random
from typing import TypeVar

from tenacity import AsyncRetrying, RetryCallState

from icfleet_agent.clock import Clock
from icfleet_agent.config import RetryConfig
from icfleet_agent.deadline import Deadline
from icfleet_agent.errors import AgentError, HttpStatusError
from icfleet_agent.retry_budget import RetryBudget

__all__ = ["Retrier", "RetryRule", "retry_never", "retry_transient"]

T = TypeVar("T")

RetryRule = Callable[[AgentError, int], bool]
"""Given a failure and the attempts made so far: is another one worth while?"""

_logger = logging.getLogger(__name__)


def retry_transient(config: RetryConfig) -> RetryRule:
    """The rule for requests that change nothing: retry what may pass, a few times."""
    return lambda error, attempts: error.is_retryable and attempts < config.attempts_max


def retry_never(error: AgentError, attempts: int) -> bool:  # noqa: ARG001 - a rule's signature
    """The rule for callers that retry by themselves."""
    return False


class Retrier:
    """Repeats attempts, within a deadline and a budget that all requests share."""

    __slots__ = ("_budget", "_clock", "_config", "_random")

    def __init__(
        self, config: RetryConfig, *, budget: RetryBudget, clock: Clock, random: Random
    ) -> None:
        self._config = config
        self._budget = budget
        self._clock = clock
        self._random = random

    async def run(
        self, attempt: Callable[[], Awaitable[T]], *, deadline: Deadline, rule: RetryRule
    ) -> T:
        """Attempt something until it succeeds, or trying again is not allowed.

        Pauses double, with chance in them so that clients do not come back in step, and are at
        least as long as the server asked for.

        Raises:
            AgentError: The last attempt's failure.
        """
        self._budget.deposit(now_s=self._clock.now_s())
        try:
            return await attempt()
        except AgentError as error:
            if not rule(error, 1):
                raise
            first_error = error
        return await self._go_on(first_error, attempt, deadline, rule)

    async def _go_on(
        self,
        first_error: AgentError,
        attempt: Callable[[], Awaitable[T]],
        deadline: Deadline,
        rule: RetryRule,
    ) -> T:
        failures = [first_error]

        async def next_attempt() -> T:
            if failures:
                # The first attempt has been made already; tenacity is shown how it went.
                raise failures.pop()
            return await attempt()

        retrying = AsyncRetrying(
            sleep=self._clock.sleep,
            wait=self._delay_s,
            retry=lambda state: rule(*_failure(state)) if _has_failed(state) else False,
            stop=lambda state: not self._may_go_on(state, deadline),
            before_sleep=_log_retry,
            reraise=True,
        )
        return await retrying(next_attempt)

    def _delay_s(self, state: RetryCallState) -> float:
        error, attempts = _failure(state)
        ceiling_s = min(
            self._config.delay_first_s * self._config.delay_growth ** (attempts - 1),
            self._config.delay_max_s,
        )
        asked_s = error.retry_after_s if isinstance(error, HttpStatusError) else None
        return self._random.uniform(ceiling_s / 2, ceiling_s) + (asked_s or 0.0)

    def _may_go_on(self, state: RetryCallState, deadline: Deadline) -> bool:
        now_s = self._clock.now_s()
        if state.upcoming_sleep >= deadline.remaining_s(now_s=now_s):
            return False
        return self._budget.try_withdraw(now_s=now_s)


def _has_failed(state: RetryCallState) -> bool:
    assert state.outcome is not None, "tenacity asks after an attempt"
    return isinstance(state.outcome.exception(), AgentError)


def _failure(state: RetryCallState) -> tuple[AgentError, int]:
    assert state.outcome is not None, "tenacity asks after an attempt"
    error = state.outcome.exception()
    assert isinstance(error, AgentError), error
    return error, state.attempt_number


def _log_retry(state: RetryCallState) -> None:
    error, attempts = _failure(state)
    _logger.debug(
        "retry attempt=%d delay_s=%.3f after=%s", attempts + 1, state.upcoming_sleep, error
    )
