"""What a profile would change, and what speaks against it."""

from icfleet.canister_profiles import BUILT_IN, Profile
from icfleet.settings_plan import (
    CanisterPlan,
    FoundCanister,
    SettingLine,
    oversold_subnets,
    plan_canister,
)
from icfleet_agent import CanisterSettings, CanisterStatus
from icfleet_protocol.principal import ANONYMOUS, MANAGEMENT_CANISTER

T = 10**12
DAY_S = 24 * 3600
RESERVED = BUILT_IN["reserved"].settings


def found(settings: CanisterSettings, cycles: int = 100 * T) -> FoundCanister:
    status = CanisterStatus(
        run_state="running",
        controllers=(),
        module_hash=None,
        memory_size=100,
        cycles=cycles,
        reserved_cycles=0,
        settings=settings,
    )
    return FoundCanister(name="main", id=MANAGEMENT_CANISTER, nodes=13, status=status)


def test_a_frozen_canister_may_be_given_less() -> None:
    """What lowers the reserve is no reason to refuse."""
    frozen = found(RESERVED, cycles=T)

    lowered = plan_canister(frozen, BUILT_IN["economy"])
    raised = plan_canister(found(BUILT_IN["economy"].settings, cycles=T), BUILT_IN["reserved"])

    assert (lowered.outcome, lowered.would_freeze) == ("planned", False)
    assert raised.would_freeze


def test_little_time_before_the_end_is_warned_of() -> None:
    hasty = Profile("hasty", CanisterSettings(freezing_threshold=DAY_S))

    warnings = plan_canister(found(BUILT_IN["economy"].settings), hasty).warnings

    assert any("1 day after it freezes" in warning for warning in warnings)


def test_log_viewers_are_the_same_in_any_order() -> None:
    ours = CanisterSettings(log_visibility=(ANONYMOUS, MANAGEMENT_CANISTER))
    theirs = CanisterSettings(log_visibility=(MANAGEMENT_CANISTER, ANONYMOUS))

    assert plan_canister(found(theirs), Profile("seen", ours)).changed == ()


def test_more_compute_than_a_subnet_sells_is_warned_of() -> None:
    """Four canisters of 80 % on one subnet."""
    compute = SettingLine(key="compute_allocation", now=0, profile=80, is_changed=True)
    plans = [
        CanisterPlan(name=f"c{number}", id="", profile="p", subnet="s", settings=(compute,))
        for number in range(4)
    ]

    (warning,) = oversold_subnets(plans)

    assert "320 % of compute on subnet s, which has 299 %" in warning
    assert oversold_subnets(plans[:3]) == ()
