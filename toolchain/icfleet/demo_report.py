"""What the demo shows and what it judges by, as values: no process is started here."""

from collections.abc import Collection, Mapping, Sequence

import msgspec
from rich.console import Group
from rich.table import Table
from rich.text import Text

from icfleet_loadtests.calls import NOBODY
from icfleet_loadtests.statistics import (
    CallStatistics,
    LoadSnapshot,
    merge_by_method,
    percentile_ms,
    reads_by_canister,
)

__all__ = [
    "AuditReport",
    "DemoCheck",
    "calls_table",
    "live_line",
    "live_view",
    "load_checks",
    "reads_line",
]

REPLICA_SHARE_MIN = 0.5
"""Replicas must answer more than half of the reads, or there is no point in having them."""

CANISTERS_WIDTH_MAX = 26
"""Columns of a terminal of 80 for names of canisters: main and two replicas need 25. The others
are for methods (12), and for figures of up to five digits."""

FAULTS_SHOWN_MAX = 5
"""Examples of what went wrong; the log and the report have the rest."""


class DemoCheck(msgspec.Struct, frozen=True):
    """Something that must hold, and what speaks against it."""

    name: str
    figures: str
    faults: tuple[str, ...] = ()

    @property
    def is_kept(self) -> bool:
        """Whether it holds."""
        return not self.faults

    def lines(self) -> list[str]:
        """Say it for people: one line, and up to five examples if it does not hold."""
        verdict = "PASS" if self.is_kept else "FAIL"
        head = (
            f"{verdict}  {self.name}: {self.figures}" if self.figures else f"{verdict}  {self.name}"
        )
        return [head, *(f"      {fault}" for fault in self.faults[:FAULTS_SHOWN_MAX])]


class AuditReport(msgspec.Struct, frozen=True):
    """What ``loadtests/audit.py --json`` prints."""

    witness: str
    checks: tuple[DemoCheck, ...]


def load_checks(snapshot: LoadSnapshot, replicas: Sequence[str], exit_code: int) -> list[DemoCheck]:
    """Judge the load test by its figures.

    Args:
        snapshot: The last figures.
        replicas: Names of the replicas.
        exit_code: Locust's.
    """
    failures = tuple(f"{count} x {name}" for name, count in snapshot.errors.items())
    if exit_code and not failures:
        failures = (f"locust ended with code {exit_code}",)
    reads = reads_by_canister(snapshot.calls)
    total = sum(reads.values())
    share = sum(reads.get(name, 0) for name in replicas) / max(total, 1)
    figures = f"{share:.0%} of {total:,} reads"
    too_few = () if share > REPLICA_SHARE_MIN else (f"no more than {REPLICA_SHARE_MIN:.0%}",)
    count = f"{snapshot.failures_count:,} of {snapshot.requests_count:,} failed"
    return [
        DemoCheck("no call failed", count, failures),
        DemoCheck("replicas answered most reads", figures, too_few),
    ]


def calls_table(
    snapshot: LoadSnapshot, rates: Mapping[tuple[str, str], float] | None = None
) -> Table:
    """Make a table of all calls by method, which fits into 80 columns.

    Canisters have a column each, with their shares of a method's calls; if those are too many,
    replicas share one.

    Args:
        snapshot: The figures.
        rates: Calls a second by kind and method; ``None`` for the average since the first call.
    """
    groups = _canister_groups(snapshot.calls)
    table = Table(box=None, pad_edge=False, padding=(0, 1, 0, 0), header_style="bold")
    table.add_column("call", no_wrap=True)
    # Names of methods are whatever a project chose: one that is too long goes on in a second line.
    table.add_column("", overflow="fold")
    for heading in (*groups, "calls", "calls/s", "p50 ms", "p95", "p99"):
        table.add_column(heading, justify="right", no_wrap=True)
    for call in merge_by_method(snapshot.calls):
        average = call.requests_count / max(snapshot.elapsed_s, 1)
        rate = average if rates is None else rates.get((call.kind, call.method), 0.0)
        table.add_row(
            call.kind,
            call.method,
            *(_share(snapshot.calls, call, canisters) for canisters in groups.values()),
            f"{call.requests_count:,}",
            f"{rate:.1f}",
            *(str(percentile_ms(call.histogram, share)) for share in (0.5, 0.95, 0.99)),
        )
    return table


def _canister_groups(calls: Sequence[CallStatistics]) -> dict[str, frozenset[str]]:
    """Choose the table's columns for canisters: heading to names, main first."""
    names = sorted({call.canister for call in calls}, key=lambda name: (not _is_main(name), name))
    if sum(len(name) + 1 for name in names) <= CANISTERS_WIDTH_MAX:
        return {name: frozenset({name}) for name in names}
    mains = frozenset(filter(_is_main, names))
    return {"main": mains, "replicas": frozenset(names) - mains - {NOBODY}}


def _is_main(canister: str) -> bool:
    # The load tests put the role before names that do not begin with it.
    return canister.startswith("main")


def _share(
    calls: Sequence[CallStatistics], merged: CallStatistics, canisters: Collection[str]
) -> str:
    """Say what share of a method's calls these canisters answered; nothing if they did not."""
    count = sum(
        call.requests_count
        for call in calls
        if (call.kind, call.method) == (merged.kind, merged.method) and call.canister in canisters
    )
    return f"{count / max(merged.requests_count, 1):.0%}" if count else ""


def reads_line(snapshot: LoadSnapshot) -> str:
    """Say how many reads each canister answered."""
    reads = reads_by_canister(snapshot.calls)
    total = sum(reads.values())
    shares = [f"{name} {count:,} ({count / max(total, 1):.0%})" for name, count in reads.items()]
    return ", ".join(shares) or NOBODY


def live_line(snapshot: LoadSnapshot) -> str:
    """Say in one line how far the load test is."""
    durations: dict[int, int] = {}
    for call in snapshot.calls:
        for duration_ms, count in call.histogram.items():
            durations[duration_ms] = durations.get(duration_ms, 0) + count
    return (
        f"{snapshot.elapsed_s:4.0f} s  {snapshot.users_count} players  "
        f"{snapshot.requests_count:,} calls  "
        f"{snapshot.requests_count / max(snapshot.elapsed_s, 1):.0f}/s  "
        f"p50 {percentile_ms(durations, 0.5)} ms  p95 {percentile_ms(durations, 0.95)} ms  "
        f"{snapshot.failures_count} failed"
    )


def live_view(snapshot: LoadSnapshot, rates: Mapping[tuple[str, str], float]) -> Group:
    """Show how far the load test is: the line, and the table as soon as it has a row."""
    line = Text(live_line(snapshot))
    return Group(line, calls_table(snapshot, rates)) if snapshot.calls else Group(line)
