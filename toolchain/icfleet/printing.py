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

_COLUMNS = ("canister", "id", "role", "phase", "position", "lag")
_PROOF_COLUMNS = ("canister", "chain hash", "verified", "follows", "heard", "cycles")
_NUMBERS = frozenset({"cycles", "heard", "lag"})


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
    """Print two lines for each canister, what is wrong with it, and what all have in common.

    Columns are as wide as their longest value: an id is for copying, and is never shortened.
    """
    # Rich takes a fifth of a second to load, and most commands print no table.
    from rich.console import Console  # noqa: PLC0415

    # Soft wrapping leaves lines as they are: a terminal folds what is too long, nothing is cut.
    console = Console(highlight=False, markup=False, emoji=False, soft_wrap=True)
    heading, *lines = _table(_COLUMNS, [_fleet_row(line) for line in report.canisters])
    console.print(heading, style="bold")
    for line, text in zip(report.canisters, lines, strict=True):
        console.print(text)
        if line.error is not None:
            console.print(f"    {line.error}")
    answering = [line for line in report.canisters if line.role is not None]
    if answering:
        heading, *lines = _table(_PROOF_COLUMNS, [_proof_row(line) for line in answering])
        console.print()
        console.print(heading, style="bold")
        for text in lines:
            console.print(text)
        console.print()
        for text in (*_rights(answering), *_settings(answering)):
            console.print(text)
    for divergence in report.divergences:
        console.print()
        console.print(f"DIVERGED: {divergence}", style="bold red")


def _fleet_row(line: CanisterLine) -> tuple[str, ...]:
    return (
        line.name,
        line.id,
        _shown(line.role),
        "fenced" if line.fenced is not None else _shown(line.phase),
        "-" if line.seq is None else f"{line.epoch}.{line.seq}",
        _shown(line.lag),
    )


def _proof_row(line: CanisterLine) -> tuple[str, ...]:
    return (
        line.name,
        "-" if line.chain_hash is None else line.chain_hash[:_HASH_DIGITS],
        "yes" if line.is_verified else "NO",
        _shown(line.upstream),
        "-" if line.lag_s is None else f"{line.lag_s:,.0f} s ago",
        "-" if line.cycles is None else f"{line.cycles / _CYCLES_PER_T:,.2f} T",
    )


def _rights(lines: Sequence[CanisterLine]) -> list[str]:
    """Admins beside controllers: who is one of them only is easily overlooked."""
    shown: list[str] = []
    everybody: dict[str, tuple[list[str], list[str]]] = {}
    for line in lines:
        for admin in line.admins:
            everybody.setdefault(admin, ([], []))[0].append(line.name)
        for controller in line.controllers:
            everybody.setdefault(controller, ([], []))[1].append(line.name)
    for principal, (administers, controls) in everybody.items():
        shown += [
            principal,
            f"    admin of {_names(administers, lines)}; controls {_names(controls, lines)}",
        ]
    return shown


def _settings(lines: Sequence[CanisterLine]) -> list[str]:
    groups: dict[str, list[str]] = {}
    for line in lines:
        words = "  ".join(f"{key} {value}" for key, value in line.settings.items())
        groups.setdefault(words, []).append(line.name)
    return [f"settings of {_names(names, lines)}\n    {words}" for words, names in groups.items()]


def _names(names: Sequence[str], lines: Sequence[CanisterLine]) -> str:
    if not names:
        return "none"
    return "all" if len(names) == len(lines) else ", ".join(names)


def _table(columns: Sequence[str], rows: Sequence[tuple[str, ...]]) -> list[str]:
    widths = [max(len(row[column]) for row in (columns, *rows)) for column in range(len(columns))]
    return [_padded(columns, row, widths) for row in (columns, *rows)]


def _padded(columns: Sequence[str], row: Sequence[str], widths: Sequence[int]) -> str:
    cells = [
        cell.rjust(width) if heading in _NUMBERS else cell.ljust(width)
        for heading, cell, width in zip(columns, row, widths, strict=True)
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
