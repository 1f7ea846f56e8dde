"""What commands print on standard output: tables for people, JSON for scripts."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict, is_dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    # For the annotations only: what prints needs no agent, and 'icfleet lint' starts without.
    from collections.abc import Sequence

    from _typeshed import DataclassInstance

    from icfleet.attach import AttachReport
    from icfleet.deploy import DeployReport
    from icfleet.fleet_status import CanisterLine, FleetReport

__all__ = ["print_attachment", "print_deployment", "print_fleet", "print_json", "print_lines"]

_HASH_DIGITS = 8
"""Of 64: enough to tell two histories apart at a glance."""

_CYCLES_PER_T = 10**12
"""A trillion: cycles are priced and topped up in these. ``--json`` has them exactly."""

_COLUMNS = ("canister", "id", "role", "position", "lag", "chain hash", "cycles")
_NUMBERS = frozenset({"lag", "cycles"})


def print_json(value: DataclassInstance | dict[str, Any]) -> None:
    """Print one indented JSON object."""
    content = asdict(value) if is_dataclass(value) else value
    print_lines(json.dumps(content, indent=2, ensure_ascii=False, allow_nan=False))


def print_lines(*lines: str) -> None:
    """Print lines as they are."""
    for line in lines:
        sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def print_fleet(report: FleetReport) -> None:
    """Print a line for each canister, and below it what is wrong with it.

    Columns are as wide as their longest value: an id is for copying, and is never shortened.
    """
    # Rich takes a fifth of a second to load, and most commands print no table.
    from rich.console import Console  # noqa: PLC0415

    rows = [_COLUMNS, *(_fleet_row(line) for line in report.canisters)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(_COLUMNS))]
    heading, *lines = [_padded(row, widths) for row in rows]
    # Soft wrapping leaves lines as they are: a terminal folds what is too long, nothing is cut.
    console = Console(highlight=False, markup=False, emoji=False, soft_wrap=True)
    console.print(heading, style="bold")
    for line, text in zip(report.canisters, lines, strict=True):
        console.print(text)
        if line.error is not None:
            console.print(f"    {line.error}")


def _fleet_row(line: CanisterLine) -> tuple[str, ...]:
    return (
        line.name,
        line.id,
        _shown(line.role),
        "-" if line.seq is None else f"{line.epoch}.{line.seq}",
        _shown(line.lag),
        "-" if line.chain_hash is None else line.chain_hash[:_HASH_DIGITS],
        "-" if line.cycles is None else f"{line.cycles / _CYCLES_PER_T:,.2f} T",
    )


def _padded(row: Sequence[str], widths: Sequence[int]) -> str:
    cells = [
        cell.rjust(width) if heading in _NUMBERS else cell.ljust(width)
        for heading, cell, width in zip(_COLUMNS, row, widths, strict=True)
    ]
    return " ".join(cells).rstrip()


def print_deployment(report: DeployReport) -> None:
    """Print a line for each canister."""
    for canister in report.canisters:
        print_lines(f"{canister.name:<12}  {canister.id}  {canister.action}")


def print_attachment(report: AttachReport) -> None:
    """Print where each member stands."""
    for member in (report.main, *report.replicas):
        position = f"{member.epoch}.{member.seq}"
        print_lines(
            f"{member.name:<12}  {member.id}  at {position}  {member.chain_hash[:_HASH_DIGITS]}"
        )


def _shown(value: object) -> str:
    return "-" if value is None else str(value)
