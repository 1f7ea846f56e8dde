"""What canisters cost a month, against the price list and the documents."""

from pathlib import Path

import pytest

from icfleet.canister_costs import GIB, ExchangeRate, freezing_reserve, monthly_cost
from icfleet.canister_profiles import BUILT_IN
from icfleet_agent import CanisterSettings

DOCUMENT = Path(__file__).parent.parent.parent / "docs/settings.md"
T = 10**12
DAY_S = 24 * 3600
RESERVED = BUILT_IN["reserved"].settings


# Source: cycle-costs.md: 10 M cycles a per cent and second, 127,000 a GiB and second.
def test_a_month_costs_what_the_price_list_says() -> None:
    """The card of 20 % compute and 2 GiB, on 13 nodes and on 34."""
    small, large = monthly_cost(RESERVED, 13), monthly_cost(RESERVED, 34)

    assert small.compute == 20 * 10_000_000 * 30 * DAY_S == 518_400_000_000_000
    assert small.memory == 2 * 127_000 * 30 * DAY_S
    assert round(ExchangeRate().dollars(small.compute), 2) == 708.36
    assert large.compute == small.compute * 34 // 13
    assert large.total == pytest.approx(small.total * 34 / 13)


def test_memory_costs_what_is_used_or_allocated_whichever_is_more() -> None:
    allocated = CanisterSettings(memory_allocation=GIB)

    assert monthly_cost(allocated, 13, used_bytes=0) == monthly_cost(allocated, 13, used_bytes=GIB)
    assert monthly_cost(allocated, 13, used_bytes=3 * GIB).memory == 3 * 127_000 * 30 * DAY_S


def test_the_reserve_is_the_idle_burn_of_the_threshold() -> None:
    """At 30 days it is the month's cost: as much must lie on the balance."""
    month = monthly_cost(RESERVED, 13).total

    assert freezing_reserve(RESERVED, 13) == pytest.approx(month)
    assert freezing_reserve(RESERVED, 13, reserved_cycles=T) == pytest.approx(month - T)


def test_the_documents_prices_are_those_that_are_printed() -> None:
    text = DOCUMENT.read_text()

    def price(settings: CanisterSettings, nodes: int) -> str:
        return f"${ExchangeRate().dollars(monthly_cost(settings, nodes).total):,.2f}"

    rows = {
        "1 % of compute": CanisterSettings(compute_allocation=1),
        "20 % of compute": CanisterSettings(compute_allocation=20),
        "1 GiB of memory, used or allocated": CanisterSettings(memory_allocation=GIB),
        "`reserved` | 20 % | 2 GiB | 30 days": RESERVED,
    }
    for label, settings in rows.items():
        assert f"| {label} | {price(settings, 13)} | {price(settings, 34)} |" in text
