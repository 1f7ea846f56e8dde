"""Retries stay a small part of the traffic, whatever fails."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from icfleet_agent.errors import SettingsError
from icfleet_agent.retry_budget import RetryBudget, RetryBudgetConfig

CONFIG = RetryBudgetConfig(ratio=0.5, reserve_per_s=2.0, balance_max=4.0)


def drain(budget: RetryBudget, *, now_s: float) -> int:
    count = 0
    while budget.try_withdraw(now_s=now_s):
        count += 1
    return count


def test_it_starts_full_and_empties() -> None:
    budget = RetryBudget(CONFIG, now_s=0.0)

    assert drain(budget, now_s=0.0) == 4
    assert not budget.try_withdraw(now_s=0.0)


def test_requests_earn_retries() -> None:
    budget = RetryBudget(CONFIG, now_s=0.0)
    drain(budget, now_s=0.0)

    for _ in range(6):
        budget.deposit(now_s=0.0)

    assert drain(budget, now_s=0.0) == 3


def test_time_earns_retries_for_the_idle() -> None:
    budget = RetryBudget(CONFIG, now_s=10.0)
    drain(budget, now_s=10.0)

    assert not budget.try_withdraw(now_s=10.4)
    assert budget.try_withdraw(now_s=10.5)


def test_no_more_is_saved_than_the_limit() -> None:
    budget = RetryBudget(CONFIG, now_s=0.0)

    assert budget.balance(now_s=1e9) == 4.0


def test_a_clock_that_goes_back_earns_nothing() -> None:
    budget = RetryBudget(CONFIG, now_s=100.0)
    drain(budget, now_s=100.0)

    assert budget.balance(now_s=0.0) == 0.0
    assert budget.balance(now_s=100.0) == 0.0


@given(
    st.lists(st.tuples(st.booleans(), st.floats(0, 0.3)), max_size=200),
)
def test_retries_never_exceed_what_was_earned(steps: list[tuple[bool, float]]) -> None:
    budget = RetryBudget(CONFIG, now_s=0.0)
    now_s, requests, retries = 0.0, 0, 0
    for is_request, pause_s in steps:
        now_s += pause_s
        if is_request:
            requests += 1
            budget.deposit(now_s=now_s)
        else:
            retries += budget.try_withdraw(now_s=now_s)

    earned = CONFIG.balance_max + CONFIG.ratio * requests + CONFIG.reserve_per_s * now_s
    assert retries <= earned + 1e-6


@pytest.mark.parametrize("changes", [{"ratio": -1}, {"reserve_per_s": -1}, {"balance_max": 0}])
def test_nonsense_is_refused(changes: dict[str, float]) -> None:
    with pytest.raises(SettingsError):
        RetryBudgetConfig(**changes)
