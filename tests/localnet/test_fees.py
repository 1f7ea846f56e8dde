"""Fees agree with the published table, its worked examples, and the replica's rounding."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from icfleet_localnet.fees import (
    APPLICATION_FEES,
    INSTALL_INSTRUCTIONS_MAX,
    RESPONSE_INSTRUCTIONS_MAX,
    RESPONSE_SIZE_MAX,
    SYSTEM_FEES,
    FeeSchedule,
    can_withdraw,
)

FIDUCIARY = FeeSchedule(node_count=34)
GIB = 1024**3
DAY_S = 86_400
MONTH_S = 30 * DAY_S
USD_PER_CYCLE = 1.36643 / 10**12
"""Source: developer-docs cycle-costs.md, 22 May 2026."""

amounts = st.integers(0, 10**18)
sizes = st.integers(0, 2**40)
schedules = st.builds(FeeSchedule, node_count=st.integers(1, 100), is_free=st.booleans())


def _snapshot_of(fees: FeeSchedule) -> dict[str, int]:
    return {
        "canister creation": fees.canister_creation(),
        "ingress message": fees.ingress(0),
        "ingress byte": fees.ingress(1) - fees.ingress(0),
        "execution": fees.execution(0),
        "call": fees.call(0).request,
        "call byte": fees.call(1).request - fees.call(0).request,
        "storage": fees.storage(GIB, duration_s=1),
        "compute allocation": fees.compute_allocation(1, duration_s=1),
    }


def _costs(fees: FeeSchedule, size: int) -> dict[str, int]:
    return {
        "ingress": fees.ingress(size),
        "execution": fees.execution(size),
        "call": fees.call(size).total,
        "storage": fees.storage(size, duration_s=10),
        "compute allocation": fees.compute_allocation(size, duration_s=10),
        "freezing limit": fees.freezing_limit(freezing_threshold_s=size, memory_bytes=GIB),
    }


def test_a_subnet_of_13_nodes_has_the_published_prices() -> None:
    """Source: developer-docs cycle-costs.md of 18 Jun 2026."""
    assert _snapshot_of(APPLICATION_FEES) == {
        "canister creation": 500_000_000_000,
        "ingress message": 1_200_000,
        "ingress byte": 2_000,
        "execution": 5_000_000,
        "call": 260_000,
        "call byte": 1_000,
        "storage": 127_000,
        "compute allocation": 10_000_000,
    }
    assert APPLICATION_FEES.execution(1_000_000) == 6_000_000


def test_a_subnet_of_34_nodes_has_the_published_prices() -> None:
    """Source: the same table; it prints the larger amounts rounded to four digits."""
    assert _snapshot_of(FIDUCIARY) == {
        "canister creation": 1_307_692_307_692,
        "ingress message": 3_138_461,
        "ingress byte": 5_230,
        "execution": 13_076_923,
        "call": 680_000,
        "call byte": 2_615,
        "storage": 332_153,
        "compute allocation": 26_153_846,
    }


def test_a_system_subnet_is_free() -> None:
    """Nothing costs anything there, whatever its size."""
    assert set(_snapshot_of(SYSTEM_FEES).values()) == {0}
    assert SYSTEM_FEES.call(10**6).total == 0
    assert SYSTEM_FEES.freezing_limit(freezing_threshold_s=MONTH_S, memory_bytes=GIB) == 0


@pytest.mark.parametrize(
    ("instructions", "usd"),
    [
        pytest.param(100_000, "9.16", id="0.1M"),
        pytest.param(600_000, "9.84", id="0.6M"),
        pytest.param(5_000_000, "15.85", id="5M"),
        # 36.347: the reference prints 36.4, which is this rounded twice.
        pytest.param(20_000_000, "36.35", id="20M"),
        pytest.param(50_000_000, "77.3", id="50M"),
    ],
)
def test_a_million_updates_cost_what_the_reference_says(instructions: int, usd: str) -> None:
    """Updates with an envelope of 200 bytes, in dollars to the digit."""
    cycles = APPLICATION_FEES.ingress(200) + APPLICATION_FEES.execution(instructions)

    decimals = len(usd.partition(".")[2])
    assert cycles == 6_600_000 + instructions
    assert f"{10**6 * cycles * USD_PER_CYCLE:.{decimals}f}" == usd


@pytest.mark.parametrize(
    ("cycles", "usd"),
    [
        pytest.param(APPLICATION_FEES.canister_creation(), "0.683", id="canister creation"),
        pytest.param(APPLICATION_FEES.storage(GIB, duration_s=MONTH_S), "0.45", id="GiB, 30 days"),
        pytest.param(
            APPLICATION_FEES.compute_allocation(1, duration_s=MONTH_S), "35.4", id="1 %, 30 days"
        ),
        pytest.param(MONTH_S * APPLICATION_FEES.execution(0), "17.7", id="heartbeat, 30 days"),
    ],
)
def test_a_resource_costs_what_the_reference_says(cycles: int, usd: str) -> None:
    """The reference's other examples, in dollars to the digit."""
    assert f"{cycles * USD_PER_CYCLE:.{len(usd.partition('.')[2])}f}" == usd


def test_an_update_costs_6_2_million_cycles_before_its_first_instruction() -> None:
    """The floor that makes batches worth their while."""
    assert APPLICATION_FEES.ingress(0) + APPLICATION_FEES.execution(0) == 6_200_000


def test_an_open_call_holds_42_billion_cycles() -> None:
    """The longest response and the longest callback are paid for in advance."""
    prepaid = APPLICATION_FEES.call(0)

    assert prepaid.request == 260_000
    assert prepaid.response_transmission == 2_097_152_000
    assert prepaid.response_execution == 40_005_000_000
    assert prepaid.total == 42_102_412_000


def test_a_call_costs_its_bytes_and_instructions_once_it_is_answered() -> None:
    """What was prepaid and not used comes back."""
    fees = APPLICATION_FEES
    prepaid = fees.call(100)

    spent = prepaid.total - fees.response_refund(50) - fees.callback_refund(1_000_000)

    assert spent == 260_000 + 100 * 1_000 + 50 * 1_000 + 5_000_000 + 1_000_000


def test_an_install_is_prepaid_at_its_limit() -> None:
    """Why installing needs hundreds of billions of cycles, most of which come back."""
    fees = APPLICATION_FEES

    prepaid = fees.execution(INSTALL_INSTRUCTIONS_MAX)
    back = fees.execution_refund(limit=INSTALL_INSTRUCTIONS_MAX, used=150 * 10**9)

    assert prepaid == 300_005_000_000
    assert prepaid - back == fees.execution(150 * 10**9)


def test_idle_burn_is_a_day_of_memory_and_compute() -> None:
    """Both are scaled before they are added, as replicas do."""
    burn = FIDUCIARY.idle_burn_per_day(memory_bytes=GIB // 3, compute_percent=2)

    memory = 127_000 * DAY_S * (GIB // 3) // GIB * 34 // 13
    assert burn == memory + 2 * 10_000_000 * DAY_S * 34 // 13


def test_the_freezing_limit_is_the_idle_burn_during_the_threshold() -> None:
    """Thirty days at 10 MiB, less what is reserved already."""
    memory_bytes = 10 * 1024**2
    per_day = APPLICATION_FEES.idle_burn_per_day(memory_bytes=memory_bytes)

    limit = APPLICATION_FEES.freezing_limit(freezing_threshold_s=MONTH_S, memory_bytes=memory_bytes)
    reserved = APPLICATION_FEES.freezing_limit(
        freezing_threshold_s=MONTH_S, memory_bytes=memory_bytes, reserved_cycles=limit + 1
    )

    assert limit == 30 * per_day == 3_214_687_500
    assert reserved == 0


@pytest.mark.parametrize(
    ("balance", "amount", "is_allowed"),
    [
        pytest.param(100, 0, True, id="at the limit"),
        pytest.param(99, 0, False, id="frozen"),
        pytest.param(150, 50, True, id="down to the limit"),
        pytest.param(150, 51, False, id="below the limit"),
    ],
)
def test_a_canister_may_not_pay_itself_frozen(balance: int, amount: int, is_allowed: bool) -> None:
    """The limit itself may be reached."""
    assert can_withdraw(balance=balance, amount=amount, freezing_limit=100) is is_allowed


@given(schedules, sizes, sizes)
def test_no_fee_falls_when_there_is_more_to_pay_for(
    fees: FeeSchedule, size: int, more: int
) -> None:
    """Rounding never makes the larger thing cheaper, nor any fee a fraction or negative."""
    for name, cost in _costs(fees, size).items():
        assert 0 <= cost <= _costs(fees, size + more)[name], name


@given(
    schedules,
    st.integers(0, 2 * RESPONSE_SIZE_MAX),
    st.integers(0, 2 * RESPONSE_INSTRUCTIONS_MAX),
)
def test_a_refund_never_exceeds_what_was_prepaid(
    fees: FeeSchedule, size: int, instructions: int
) -> None:
    """Not even for a response or callback above the limits."""
    prepaid = fees.call(0)

    assert 0 <= fees.response_refund(size) <= prepaid.response_transmission
    assert 0 <= fees.callback_refund(instructions) <= prepaid.response_execution


@given(schedules, st.integers(0, RESPONSE_INSTRUCTIONS_MAX))
def test_a_refunded_execution_costs_its_instructions(fees: FeeSchedule, used: int) -> None:
    """Paying in advance changes the price by the rounding of one cycle at most."""
    limit = RESPONSE_INSTRUCTIONS_MAX

    spent = fees.execution(limit) - fees.execution_refund(limit=limit, used=used)

    assert 0 <= spent - fees.execution(used) <= 1
