"""Distributions of delays, in seconds: values that can be written as JSON and drawn from.

Every draw is bounded by ``DELAY_MAX_S``, so that no distribution can hold a request for ever.
"""

import math
from random import Random

import msgspec

__all__ = ["DELAY_MAX_S", "Distribution", "Fixed", "LogNormal", "Uniform"]

DELAY_MAX_S = 300.0
"""Longer than any client waits: replicas end a request after 300 s themselves."""

_SIGMA_MAX = 3.0
"""One draw in twenty is then 140 times the median, which is chaos enough."""


class Fixed(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag_field="kind", tag="fixed"):
    """Always the same."""

    seconds: float

    def __post_init__(self) -> None:
        _check("seconds", self.seconds)

    @property
    def median_s(self) -> float:
        """The delay that half the draws do not exceed."""
        return self.seconds

    def draw(self, random: Random) -> float:  # noqa: ARG002 - every distribution draws alike
        """Draw a delay in seconds."""
        return self.seconds


class Uniform(
    msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag_field="kind", tag="uniform"
):
    """Any delay between two bounds, each as likely."""

    low_s: float
    high_s: float

    def __post_init__(self) -> None:
        _check("low_s", self.low_s)
        _check("high_s", self.high_s)
        if self.low_s > self.high_s:
            reason = f"low_s {self.low_s:g} is above high_s {self.high_s:g}"
            raise ValueError(reason)

    @property
    def median_s(self) -> float:
        """The delay that half the draws do not exceed."""
        return (self.low_s + self.high_s) / 2

    def draw(self, random: Random) -> float:
        """Draw a delay in seconds."""
        return random.uniform(self.low_s, self.high_s)


class LogNormal(
    msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag_field="kind", tag="lognormal"
):
    """Mostly near the median, with the long tail that networks have."""

    median_s: float
    sigma: float
    """The spread: the 95th percentile is ``exp(1.645 * sigma)`` times the median."""

    def __post_init__(self) -> None:
        _check("median_s", self.median_s)
        if not 0 <= self.sigma <= _SIGMA_MAX:
            reason = f"sigma must be between 0 and {_SIGMA_MAX:g}, got {self.sigma:g}"
            raise ValueError(reason)

    def draw(self, random: Random) -> float:
        """Draw a delay in seconds."""
        return min(DELAY_MAX_S, self.median_s * math.exp(random.gauss(0, self.sigma)))


Distribution = Fixed | Uniform | LogNormal


def _check(name: str, seconds: float) -> None:
    # Written so that "not a number" fails too.
    if not 0 <= seconds <= DELAY_MAX_S:
        reason = f"{name} must be between 0 and {DELAY_MAX_S:g} seconds, got {seconds:g}"
        raise ValueError(reason)
