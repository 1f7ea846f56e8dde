"""What a profile would change of a canister, what both states cost, and what speaks against it.

Pure: what the network told and a profile in, a line of the report out.
"""

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

from icfleet.canister_costs import (
    COMPUTE_SOLD_MAX,
    MONTH_DAYS,
    MONTH_S,
    REFERENCE_NODE_COUNT,
    Cost,
    ExchangeRate,
    freezing_reserve,
    monthly_cost,
)
from icfleet.canister_profiles import SETTING_NAMES, Profile
from icfleet.quantities import show_cycles, show_duration, show_size
from icfleet.signer import Signer
from icfleet_agent import CanisterSettings, CanisterStatus, LogVisibility
from icfleet_protocol.principal import Principal

__all__ = [
    "CanisterPlan",
    "FoundCanister",
    "Outcome",
    "SettingLine",
    "SettingsReport",
    "changes_of",
    "oversold_subnets",
    "plan_canister",
    "show_about",
    "tool_command",
]

_DAY_S = 24 * 60 * 60
_SHORT_THRESHOLD_S = 7 * _DAY_S
"""Less leaves no time to notice that a canister stands still, and dfx asks too."""

_USD_DIGITS = 4

_Value = int | str | tuple[str, ...] | None

Outcome = Literal["unchanged", "planned", "applied", "failed", "unknown", "not tried"]


@dataclass(frozen=True, slots=True, kw_only=True)
class FoundCanister:
    """A canister as the network tells of it."""

    name: str
    id: Principal
    nodes: int
    subnet: Principal | None = None
    status: CanisterStatus | None = None
    """``None`` when another tool signs: then we cannot ask as a controller."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SettingLine:
    """One setting, as it is and as the profile has it."""

    key: str
    now: _Value
    """``None``: not known."""
    profile: _Value
    """``None``: the profile leaves it as it is."""
    is_changed: bool
    cycles_now: int | None = None
    """A month, for what is paid for; ``None`` as well when ``now`` is not known."""
    cycles_profile: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class CanisterPlan:
    """One canister, as it is and as its profile has it; figures are cycles, a month each."""

    name: str
    id: str
    profile: str
    nodes: int = REFERENCE_NODE_COUNT
    subnet: str | None = None
    settings: tuple[SettingLine, ...] = ()
    cycles_now: int | None = None
    cycles_profile: int | None = None
    memory_used: int | None = None
    """Bytes."""
    balance: int | None = None
    reserve_now: int | None = None
    """The balance that freezes it."""
    reserve_profile: int | None = None
    would_freeze: bool = False
    """Whether the profile, and not what is set now, would freeze it at once."""
    warnings: tuple[str, ...] = ()
    command: str | None = None
    """What dfx or icp is to run, when one of them signs."""
    outcome: Outcome = "unchanged"
    error: str | None = None

    @property
    def changed(self) -> tuple[str, ...]:
        """The keys that the profile changes."""
        return tuple(line.key for line in self.settings if line.is_changed)


@dataclass(frozen=True, slots=True, kw_only=True)
class SettingsReport:
    """All canisters that were asked about."""

    network: str
    url: str
    usd_per_trillion: float
    usd_rate_date: str | None
    month_days: int = MONTH_DAYS
    canisters: tuple[CanisterPlan, ...] = ()
    warnings: tuple[str, ...] = ()

    @property
    def rate(self) -> ExchangeRate:
        """What cycles cost."""
        return ExchangeRate(self.usd_per_trillion, self.usd_rate_date)

    @property
    def is_complete(self) -> bool:
        """Whether nothing went wrong with any canister."""
        return all(one.error is None for one in self.canisters)

    def as_json(self) -> dict[str, Any]:
        """The report with its sums and in dollars, for scripts."""
        sums: dict[str, Any] = {}
        for which in ("cycles_now", "cycles_profile"):
            total = self.total(which)
            sums[f"total_{which}"] = total
            sums[f"total_{which.replace('cycles', 'usd')}"] = self._usd(total)
        canisters = [
            {
                **asdict(one),
                "usd_now": self._usd(one.cycles_now),
                "usd_profile": self._usd(one.cycles_profile),
            }
            for one in self.canisters
        ]
        return {**asdict(self), **sums, "canisters": canisters, "is_complete": self.is_complete}

    def _usd(self, cycles: int | None) -> float | None:
        return None if cycles is None else round(self.rate.dollars(cycles), _USD_DIGITS)

    def total(self, which: Literal["cycles_now", "cycles_profile"]) -> int | None:
        """The sum over all canisters; ``None`` when one is not known."""
        parts: list[int | None] = [getattr(one, which) for one in self.canisters]
        known = [part for part in parts if part is not None]
        return sum(known) if len(known) == len(parts) else None


def plan_canister(found: FoundCanister, profile: Profile) -> CanisterPlan:
    """Compare a canister with a profile."""
    status, nodes = found.status, found.nodes
    now = CanisterSettings() if status is None else status.settings
    after = _merged(now, profile.settings)
    used = 0 if status is None else status.memory_size
    reserved = 0 if status is None else status.reserved_cycles
    cost_now = None if status is None else monthly_cost(now, nodes, used_bytes=used)
    cost_after = monthly_cost(after, nodes, used_bytes=used)
    reserve_now = freezing_reserve(now, nodes, used_bytes=used, reserved_cycles=reserved)
    reserve_after = freezing_reserve(after, nodes, used_bytes=used, reserved_cycles=reserved)
    lines = _lines(now, profile.settings, cost_now, cost_after)
    is_changed = any(line.is_changed for line in lines)
    balance = None if status is None else status.cycles
    return CanisterPlan(
        name=found.name,
        id=str(found.id),
        profile=profile.name,
        nodes=nodes,
        subnet=None if found.subnet is None else str(found.subnet),
        settings=lines,
        cycles_now=None if cost_now is None else cost_now.total,
        cycles_profile=cost_after.total,
        memory_used=None if status is None else used,
        balance=balance,
        reserve_now=None if status is None else reserve_now,
        reserve_profile=reserve_after,
        would_freeze=balance is not None and max(balance, reserve_now) < reserve_after,
        warnings=_warnings(status, now, after, cost_after, reserve_after) if is_changed else (),
        outcome="planned" if is_changed else "unchanged",
    )


def changes_of(plan: CanisterPlan, profile: Profile) -> CanisterSettings:
    """The settings to send: those that differ, and no others."""
    changed: dict[str, Any] = {key: getattr(profile.settings, key) for key in plan.changed}
    return CanisterSettings(**changed)


def oversold_subnets(plans: Sequence[CanisterPlan]) -> tuple[str, ...]:
    """Warn of subnets that would have to sell these canisters more compute than they have."""
    asked: dict[str, list[CanisterPlan]] = {}
    for plan in plans:
        if plan.subnet is not None:
            asked.setdefault(plan.subnet, []).append(plan)
    sums = {subnet: sum(_percent(plan) for plan in tenants) for subnet, tenants in asked.items()}
    return tuple(
        f"{', '.join(plan.name for plan in asked[subnet])} would have {percent} % of compute on "
        f"subnet {subnet}, which has {COMPUTE_SOLD_MAX} % to sell to all its canisters"
        for subnet, percent in sums.items()
        if percent > COMPUTE_SOLD_MAX
    )


def tool_command(signer: Signer, network: str, plan: CanisterPlan, profile: Profile) -> str:
    """What dfx or icp is to run to apply a plan as its own identity.

    Source: dfx 0.32 ``dfx canister update-settings``, icp-cli ``icp canister settings update``.
    """
    assert signer is not Signer.KEY, "a key needs no tool"
    words = ["dfx", "canister", "update-settings", plan.name]
    where = ["--network", network]
    if signer is Signer.ICP:
        words = ["icp", "canister", "settings", "update", plan.name]
        where = ["--environment", network]
    for key in plan.changed:
        value: int | LogVisibility = getattr(profile.settings, key)
        if isinstance(value, tuple):
            for viewer in value:
                words += ["--set-log-viewer", str(viewer)]
        else:
            words += [f"--{key.replace('_', '-')}", str(value)]
    return shlex.join([*words, *where])


def _merged(now: CanisterSettings, profile: CanisterSettings) -> CanisterSettings:
    both: dict[str, Any] = {
        key: getattr(now, key) if getattr(profile, key) is None else getattr(profile, key)
        for key in SETTING_NAMES
    }
    return CanisterSettings(**both)


def _lines(
    now: CanisterSettings, profile: CanisterSettings, cost_now: Cost | None, cost_after: Cost
) -> tuple[SettingLine, ...]:
    before: Mapping[str, int] = {}
    if cost_now is not None:
        before = {"compute_allocation": cost_now.compute, "memory_allocation": cost_now.memory}
    after = {"compute_allocation": cost_after.compute, "memory_allocation": cost_after.memory}
    lines: list[SettingLine] = []
    for key in SETTING_NAMES:
        present, wanted = _value(getattr(now, key)), _value(getattr(profile, key))
        line = SettingLine(
            key=key,
            now=present,
            profile=wanted,
            is_changed=wanted is not None and wanted != present,
            cycles_now=before.get(key),
            cycles_profile=after.get(key),
        )
        lines.append(line)
    return tuple(lines)


def _value(value: int | LogVisibility | None) -> _Value:
    # Viewers are a set: networks tell them in an order of their own.
    return tuple(sorted(map(str, value))) if isinstance(value, tuple) else value


def _percent(plan: CanisterPlan) -> int:
    for line in plan.settings:
        if line.key == "compute_allocation":
            value = line.now if line.profile is None else line.profile
            return value if isinstance(value, int) else 0
    return 0


def _warnings(
    status: CanisterStatus | None,
    now: CanisterSettings,
    after: CanisterSettings,
    cost: Cost,
    reserve: int,
) -> tuple[str, ...]:
    warnings: list[str] = []
    compute, memory = after.compute_allocation or 0, after.memory_allocation or 0
    threshold_s = after.freezing_threshold or 0
    if compute > (now.compute_allocation or 0):
        warnings.append(
            f"a subnet sells {COMPUTE_SOLD_MAX} % of compute to all its canisters: the network "
            f"refuses {compute} % when less is left"
        )
    if memory > (now.memory_allocation or 0):
        used = "" if status is None else f"; {show_about(status.memory_size)} are in use"
        warnings.append(f"{show_size(memory)} are paid for whether used or not{used}")
    if threshold_s < _SHORT_THRESHOLD_S:
        warnings.append(
            f"a frozen canister is deleted when its balance is gone, {show_duration(threshold_s)} "
            "after it freezes: that is little time to notice"
        )
    warnings.append(
        f"it freezes below {show_cycles(reserve)}" + _headroom(status, cost.total, reserve)
    )
    return tuple(warnings)


def _headroom(status: CanisterStatus | None, cycles_a_month: int, reserve: int) -> str:
    if status is None:
        return ": see that its balance is above that"
    balance = show_cycles(status.cycles)
    if status.cycles < reserve:
        return f", and has {balance}: top it up, or it takes no calls"
    if cycles_a_month == 0:
        return f"; its balance is {balance}"
    days = (status.cycles - reserve) * MONTH_S // (cycles_a_month * _DAY_S)
    return f"; its balance of {balance} lasts {days:,} days until then, at rest"


def show_about(size: int) -> str:
    """Write bytes roughly, for what changes all the time."""
    for unit, factor in (("GiB", 1024**3), ("MiB", 1024**2)):
        if size >= factor:
            return f"{size / factor:.1f} {unit}"
    return f"{size:,} B"
