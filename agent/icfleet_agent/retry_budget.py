"""A budget that keeps retries a small part of the traffic, so that they cannot feed an outage.

Source: Twitter Finagle, ``RetryBudget`` (a fifth of the requests, and ten a second for the idle).
"""

from dataclasses import dataclass

from icfleet_agent.errors import SettingsError

__all__ = ["RetryBudget", "RetryBudgetConfig"]


@dataclass(frozen=True, slots=True, kw_only=True)
class RetryBudgetConfig:
    """How many retries there may be."""

    ratio: float = 0.2
    """Retries that each new request allows. Source: Finagle."""

    reserve_per_s: float = 10.0
    """Retries allowed a second without any request. Source: Finagle."""

    balance_max: float = 100.0
    """Retries that can be saved up: Finagle's ten seconds of the reserve."""

    def __post_init__(self) -> None:
        if self.ratio < 0 or self.reserve_per_s < 0 or self.balance_max < 1:
            reason = f"need ratio >= 0, reserve_per_s >= 0 and balance_max >= 1, got {self!r}"
            raise SettingsError(reason)


class RetryBudget:
    """Counts what may be retried; shared by all requests to one service.

    Time is an argument: seconds of any clock that never goes back.
    """

    __slots__ = ("_balance", "_config", "_refilled_s")

    def __init__(self, config: RetryBudgetConfig, *, now_s: float) -> None:
        self._config = config
        self._balance = config.balance_max
        self._refilled_s = now_s

    def deposit(self, *, now_s: float) -> None:
        """Count a new request."""
        self._refill(now_s)
        self._balance = min(self._balance + self._config.ratio, self._config.balance_max)

    def try_withdraw(self, *, now_s: float) -> bool:
        """Take one retry out, if there is one."""
        self._refill(now_s)
        if self._balance < 1:
            return False
        self._balance -= 1
        return True

    def balance(self, *, now_s: float) -> float:
        """Retries that could be made now."""
        self._refill(now_s)
        return self._balance

    def _refill(self, now_s: float) -> None:
        earned = max(0.0, now_s - self._refilled_s) * self._config.reserve_per_s
        self._balance = min(self._balance + earned, self._config.balance_max)
        self._refilled_s = max(now_s, self._refilled_s)
