"""Attempts go on after failures that may pass: bounded by rule, deadline and budget."""

from collections.abc import Awaitable, Callable
from random import Random

import pytest

from icfleet_agent.config import RetryConfig
from icfleet_agent.deadline import Deadline
from icfleet_agent.errors import AgentError, HttpStatusError, NotSentError, SettingsError
from icfleet_agent.retries import Retrier, RetryRule, retry_never, retry_transient
from icfleet_agent.retry_budget import RetryBudget, RetryBudgetConfig
from icfleet_agent.testing import ManualClock

CONFIG = RetryConfig(attempts_max=4, delay_first_s=1.0, delay_growth=2.0, delay_max_s=8.0)
DOWN = NotSentError("down")


class Bench:
    """A retrier with manual time, and attempts that fail as told."""

    def __init__(self, *failures: Exception, budget: float = 100.0, seed: int = 0) -> None:
        self.clock = ManualClock()
        self.budget = RetryBudget(
            RetryBudgetConfig(ratio=0.0, reserve_per_s=0.0, balance_max=budget), now_s=0.0
        )
        self.retrier = Retrier(CONFIG, budget=self.budget, clock=self.clock, random=Random(seed))
        self.failures = list(failures)
        self.attempts = 0

    async def attempt(self) -> str:
        self.attempts += 1
        if self.failures:
            raise self.failures.pop(0)
        return "done"

    async def run(
        self,
        *,
        rule: RetryRule | None = None,
        timeout_s: float = 1000.0,
        attempt: Callable[[], Awaitable[str]] | None = None,
    ) -> str:
        return await self.retrier.run(
            attempt or self.attempt,
            deadline=Deadline.after(timeout_s, now_s=self.clock.now_s()),
            rule=rule or retry_transient(CONFIG),
        )


async def test_success_needs_one_attempt_and_no_pause() -> None:
    bench = Bench()

    assert await bench.run() == "done"
    assert (bench.attempts, bench.clock.sleeps_s) == (1, [])


async def test_a_passing_failure_is_tried_again() -> None:
    bench = Bench(DOWN, DOWN)

    assert await bench.run() == "done"
    assert bench.attempts == 3
    assert len(bench.clock.sleeps_s) == 2


async def test_attempts_end_with_the_last_failure() -> None:
    last = NotSentError("still down")
    bench = Bench(DOWN, DOWN, DOWN, last, DOWN)

    with pytest.raises(NotSentError) as caught:
        await bench.run()

    assert caught.value is last
    assert bench.attempts == 4


async def test_what_does_not_pass_is_not_tried_again() -> None:
    bench = Bench(HttpStatusError(403, "no"))

    with pytest.raises(HttpStatusError):
        await bench.run()
    assert bench.attempts == 1


async def test_a_second_failure_of_another_kind_ends_it() -> None:
    bench = Bench(DOWN, HttpStatusError(403, "no"), DOWN)

    with pytest.raises(HttpStatusError):
        await bench.run()
    assert bench.attempts == 2


async def test_an_error_that_is_not_ours_passes_through_at_once() -> None:
    bench = Bench(DOWN, KeyError("bug"))

    with pytest.raises(KeyError):
        await bench.run()
    assert bench.attempts == 2


async def test_callers_may_do_without() -> None:
    bench = Bench(DOWN)

    with pytest.raises(NotSentError):
        await bench.run(rule=retry_never)
    assert bench.attempts == 1


async def test_pauses_double_with_chance_in_them() -> None:
    pauses: list[list[float]] = []
    for seed in range(50):
        bench = Bench(*[DOWN] * 3, seed=seed)
        await bench.run()
        pauses.append(bench.clock.sleeps_s)

    for index, ceiling_s in enumerate((1.0, 2.0, 4.0)):
        column = [row[index] for row in pauses]
        assert ceiling_s / 2 <= min(column) < max(column) <= ceiling_s
        assert len(set(column)) > 40


async def test_pauses_have_a_limit() -> None:
    bench = Bench(*[DOWN] * 20)

    await bench.run(rule=lambda error, _attempts: error.is_retryable)

    assert max(bench.clock.sleeps_s) <= 8.0


async def test_a_server_that_asks_for_time_gets_it() -> None:
    bench = Bench(HttpStatusError(429, "slow down", retry_after_s=30.0))

    await bench.run()

    assert bench.clock.sleeps_s[0] >= 30.0


async def test_no_pause_reaches_beyond_the_deadline() -> None:
    """Waiting only to find that time is up helps nobody."""
    bench = Bench(*[DOWN] * 10)

    with pytest.raises(NotSentError):
        await bench.run(timeout_s=1.5, rule=lambda _error, _attempts: True)

    assert bench.clock.now_s() < 1.5


async def test_an_exhausted_budget_ends_it() -> None:
    bench = Bench(*[DOWN] * 10, budget=2.0)

    with pytest.raises(NotSentError):
        await bench.run(rule=lambda _error, _attempts: True)

    assert bench.attempts == 3


async def test_the_budget_is_shared() -> None:
    """Many failing requests together make little more traffic than the requests themselves."""
    bench = Bench(*[DOWN] * 1000, budget=10.0)

    for _ in range(100):
        with pytest.raises(NotSentError):
            await bench.run()

    assert bench.attempts == 110


async def test_only_the_rule_decides_what_is_counted() -> None:
    seen: list[tuple[AgentError, int]] = []

    def rule(error: AgentError, attempts: int) -> bool:
        seen.append((error, attempts))
        return attempts < 3

    odd = SettingsError("odd")
    bench = Bench(DOWN, odd, DOWN)

    with pytest.raises(NotSentError):
        await bench.run(rule=rule)

    # The first failure is judged before tenacity is entered, and once more by it.
    assert seen == [(DOWN, 1), (DOWN, 1), (odd, 2), (DOWN, 3)]
