"""What ``icfleet settings`` prints for people."""

from collections.abc import Callable, Mapping, Sequence

from icfleet.canister_costs import GIB, MONTH_S, ExchangeRate
from icfleet.quantities import show_cycles, show_duration, show_size
from icfleet.settings_plan import CanisterPlan, SettingLine, SettingsReport, show_about
from icfleet_localnet.fees import FeeSchedule

__all__ = ["outcome_lines", "plan_lines", "show_lines"]

_LEFT = frozenset({0, 1, 4})
"""Columns of words; the others are numbers."""
_CENT = 0.005

_FORMATS: Mapping[str, Callable[[int], str]] = {
    "compute_allocation": lambda percent: f"{percent} %",
    "freezing_threshold": show_duration,
    "reserved_cycles_limit": show_cycles,
}
"""All other numbers are sizes."""

_Row = tuple[str, ...]


def show_lines(report: SettingsReport) -> list[str]:
    """All settings of each canister beside its profile's."""
    nodes = sorted({plan.nodes for plan in report.canisters if plan.error is None})
    return [
        *_blocks(report, is_plan=False),
        *(_storage_price(one, report.rate) for one in nodes),
        *_footer(report),
    ]


def plan_lines(report: SettingsReport) -> list[str]:
    """What would be changed of each canister, and what it would cost then."""
    commands = [one.command for one in report.canisters if one.command is not None]
    return [
        *_blocks(report, is_plan=True),
        *_footer(report),
        *(["", "To apply it, run:", *commands] if commands else []),
    ]


def outcome_lines(report: SettingsReport) -> list[str]:
    """What became of each canister."""
    return [f"{plan.name:<12}  {plan.id}  {plan.outcome}" for plan in report.canisters]


def _blocks(report: SettingsReport, *, is_plan: bool) -> list[str]:
    tables = [_table(plan, report.rate, is_plan=is_plan) for plan in report.canisters]
    rows = [row for table in tables for row in table]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines: list[str] = []
    for plan, table in zip(report.canisters, tables, strict=True):
        lines.append(_heading(plan))
        lines += [f"    {_padded(row, widths)}" for row in table]
        lines += [f"    ! {warning}" for warning in plan.warnings]
        if plan.error is not None:
            lines.append(f"    {plan.error}")
        lines.append("")
    return lines


def _heading(plan: CanisterPlan) -> str:
    parts = [plan.name, plan.id]
    if plan.error is None:
        parts.append(f"{plan.nodes} nodes")
    if plan.memory_used is not None:
        parts.append(f"{show_about(plan.memory_used)} in use")
    if plan.balance is not None and plan.reserve_now is not None:
        parts.append(
            f"{show_cycles(plan.balance)} cycles, frozen below {show_cycles(plan.reserve_now)}"
        )
    return "  ".join(parts)


def _table(plan: CanisterPlan, rate: ExchangeRate, *, is_plan: bool) -> list[_Row]:
    lines = [line for line in plan.settings if line.is_changed or not is_plan]
    if not lines:
        return [] if plan.error is not None else [(f"is as {plan.profile} has it", *[""] * 6)]
    heading = ("", "now", "a month", "", plan.profile, "a month", "")
    now, after = plan.cycles_now, plan.cycles_profile
    total = ("in all", "", *_price(now, rate), "", *_price(after, rate))
    return [heading, *(_row(line, rate) for line in lines), total]


def _row(line: SettingLine, rate: ExchangeRate) -> _Row:
    return (
        line.key,
        _shown(line.key, line.now, absent="?"),
        *_price(line.cycles_now, rate),
        _shown(line.key, line.profile, absent="as it is"),
        *_price(line.cycles_profile, rate),
    )


def _shown(key: str, value: int | str | tuple[str, ...] | None, *, absent: str) -> str:
    if value is None:
        return absent
    if isinstance(value, tuple):
        return f"{len(value)} viewers"
    if isinstance(value, str):
        return value
    return _FORMATS.get(key, show_size)(value)


def _price(cycles: int | None, rate: ExchangeRate) -> tuple[str, str]:
    return ("", "") if cycles is None else (show_cycles(cycles), _dollars(rate.dollars(cycles)))


def _dollars(amount: float) -> str:
    return "<$0.01" if 0 < amount < _CENT else f"${amount:,.2f}"


def _storage_price(nodes: int, rate: ExchangeRate) -> str:
    cycles = FeeSchedule(node_count=nodes).storage(GIB, duration_s=MONTH_S)
    return (
        f"A GiB of memory, used or allocated, is {show_cycles(cycles)} cycles "
        f"({_dollars(rate.dollars(cycles))}) a month on {nodes} nodes"
    )


def _footer(report: SettingsReport) -> list[str]:
    rate = report.rate
    now, after = report.total("cycles_now"), report.total("cycles_profile")
    of_day = "as given" if rate.date is None else f"rate of {rate.date}"
    lines = [f"! {warning}" for warning in report.warnings]
    if after is not None:
        before = "" if now is None else f"{_dollars(rate.dollars(now))} now, "
        lines.append(
            f"All canisters: {before}{_dollars(rate.dollars(after))} with the profiles"
            f"{_difference(now, after, rate)}, a month of {report.month_days} days, before any call"
        )
    lines.append(f"A trillion cycles is ${rate.usd_per_trillion:g} ({of_day})")
    return lines


def _difference(now: int | None, after: int, rate: ExchangeRate) -> str:
    if now is None or now == after:
        return ""
    word = "more" if after > now else "less"
    return f": {_dollars(rate.dollars(abs(after - now)))} {word}"


def _padded(row: _Row, widths: Sequence[int]) -> str:
    cells = [
        cell.ljust(width) if column in _LEFT else cell.rjust(width)
        for column, (cell, width) in enumerate(zip(row, widths, strict=True))
    ]
    return "  ".join(cells).rstrip()
