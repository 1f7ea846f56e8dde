"""What a canister costs a month by being there, before anybody calls it.

The fee table itself is the local network's, so that what is printed is what it charges; this adds
a month and dollars.
"""

import math
from dataclasses import dataclass

from icfleet.errors import CanisterSettingsError
from icfleet_agent import CanisterSettings
from icfleet_localnet.fees import REFERENCE_NODE_COUNT, FeeSchedule

__all__ = [
    "COMPUTE_SOLD_MAX",
    "GIB",
    "MONTH_DAYS",
    "MONTH_S",
    "REFERENCE_NODE_COUNT",
    "USD_PER_TRILLION",
    "USD_RATE_DATE",
    "Cost",
    "ExchangeRate",
    "freezing_reserve",
    "monthly_cost",
]

MONTH_DAYS = 30
MONTH_S = MONTH_DAYS * 24 * 60 * 60

GIB = 1024**3

USD_PER_TRILLION = 1.36643
"""Dollars for 10^12 cycles, which are pegged to one XDR. Source: cycle-costs.md."""
USD_RATE_DATE = "2026-05-22"
"""The day of that rate."""

COMPUTE_SOLD_MAX = 299
"""Per cent of compute that a subnet sells to all its canisters. Source: ``icp-scaling.md`` D.1."""

_TRILLION = 10**12
_USD_MAX = 1_000_000


@dataclass(frozen=True, slots=True)
class Cost:
    """Cycles a month."""

    compute: int
    memory: int

    @property
    def total(self) -> int:
        """Both."""
        return self.compute + self.memory


@dataclass(frozen=True, slots=True)
class ExchangeRate:
    """What a trillion cycles costs.

    Raises:
        CanisterSettingsError: If that is no price.
    """

    usd_per_trillion: float = USD_PER_TRILLION
    date: str | None = USD_RATE_DATE
    """``None`` for a rate that the user gave."""

    def __post_init__(self) -> None:
        if not (math.isfinite(self.usd_per_trillion) and 0 < self.usd_per_trillion <= _USD_MAX):
            message = f"--usd-per-trillion must be above 0, not {self.usd_per_trillion}"
            raise CanisterSettingsError(message)

    def dollars(self, cycles: int) -> float:
        """Convert."""
        return cycles / _TRILLION * self.usd_per_trillion


def monthly_cost(settings: CanisterSettings, nodes: int, *, used_bytes: int = 0) -> Cost:
    """What the network charges in 30 days for a canister that does nothing.

    Args:
        settings: Its allocations; what is ``None`` counts as zero.
        nodes: Size of its subnet.
        used_bytes: Memory that it uses; the larger of this and what is allocated is charged.
    """
    fees = FeeSchedule(node_count=nodes)
    return Cost(
        compute=fees.compute_allocation(settings.compute_allocation or 0, duration_s=MONTH_S),
        memory=fees.storage(_kept_bytes(settings, used_bytes), duration_s=MONTH_S),
    )


def freezing_reserve(
    settings: CanisterSettings, nodes: int, *, used_bytes: int = 0, reserved_cycles: int = 0
) -> int:
    """The balance below which these settings freeze the canister.

    Args:
        settings: Its allocations and threshold; what is ``None`` counts as zero.
        nodes: Size of its subnet.
        used_bytes: Memory that it uses.
        reserved_cycles: What the subnet has set aside already.
    """
    return FeeSchedule(node_count=nodes).freezing_limit(
        freezing_threshold_s=settings.freezing_threshold or 0,
        memory_bytes=_kept_bytes(settings, used_bytes),
        compute_percent=settings.compute_allocation or 0,
        reserved_cycles=reserved_cycles,
    )


def _kept_bytes(settings: CanisterSettings, used_bytes: int) -> int:
    return max(used_bytes, settings.memory_allocation or 0)
