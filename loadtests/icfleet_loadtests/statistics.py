"""A load test's figures as values: what was called where, how often, how fast.

Locust keeps them by kind and name; the users of this package put the canister that answered into
the name. A ``LoadSnapshot`` is a copy at one moment, written to a file for whoever watches.
"""

import re
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Literal

import msgspec

__all__ = [
    "CallKind",
    "CallStatistics",
    "LoadSnapshot",
    "call_name",
    "merge_by_method",
    "parse_call_name",
    "percentile_ms",
    "reads_by_canister",
]

CallKind = Literal["query", "update"]

_CALL_NAME = re.compile(r"(?P<method>.+) \[(?P<canister>[^\[\]]+)\]")


class CallStatistics(msgspec.Struct, frozen=True, kw_only=True):
    """One line of the figures; failures are counted in ``requests_count`` too."""

    kind: CallKind
    method: str
    canister: str
    requests_count: int
    failures_count: int
    histogram: dict[int, int]
    """Milliseconds to the number of calls that took so long, rounded as Locust does."""


class LoadSnapshot(msgspec.Struct, frozen=True, kw_only=True):
    """All figures at one moment."""

    elapsed_s: float
    """Seconds from the beginning to the end of the last call."""
    users_count: int
    calls: tuple[CallStatistics, ...]
    errors: dict[str, int]
    """What went wrong, and how often."""

    @property
    def requests_count(self) -> int:
        """Calls so far, failed ones included."""
        return sum(call.requests_count for call in self.calls)

    @property
    def failures_count(self) -> int:
        """Failed calls so far."""
        return sum(call.failures_count for call in self.calls)


def call_name(method: str, canister: str) -> str:
    """Name a call so that statistics tell main and replicas apart."""
    return f"{method} [{canister}]"


def parse_call_name(name: str) -> tuple[str, str] | None:
    """Read such a name: method and canister; ``None`` if it is another."""
    match = _CALL_NAME.fullmatch(name)
    return None if match is None else (match["method"], match["canister"])


def percentile_ms(histogram: Mapping[int, int], share: float) -> int:
    """Return the time within which ``share`` of the calls were done, in milliseconds.

    Args:
        histogram: Milliseconds to count.
        share: 0 to 1.

    Returns:
        A key of the histogram; 0 if it is empty.
    """
    assert 0 <= share <= 1, share
    count = sum(histogram.values())
    passed = 0
    for duration_ms in sorted(histogram):
        passed += histogram[duration_ms]
        if passed >= share * count:
            return duration_ms
    return 0


def merge_by_method(calls: Iterable[CallStatistics]) -> list[CallStatistics]:
    """Add up lines of one kind and method, whatever canister answered; busiest first."""
    merged: dict[tuple[CallKind, str], CallStatistics] = {}
    for call in calls:
        key = (call.kind, call.method)
        merged[key] = _add(merged[key], call) if key in merged else call
    return sorted(merged.values(), key=lambda call: (call.kind, -call.requests_count))


def _add(left: CallStatistics, right: CallStatistics) -> CallStatistics:
    return CallStatistics(
        kind=left.kind,
        method=left.method,
        canister="all",
        requests_count=left.requests_count + right.requests_count,
        failures_count=left.failures_count + right.failures_count,
        histogram=dict(Counter(left.histogram) + Counter(right.histogram)),
    )


def reads_by_canister(calls: Iterable[CallStatistics]) -> dict[str, int]:
    """Count the answered reads of each canister."""
    reads: Counter[str] = Counter()
    for call in calls:
        if call.kind == "query":
            reads[call.canister] += call.requests_count - call.failures_count
    return dict(sorted(reads.items()))
