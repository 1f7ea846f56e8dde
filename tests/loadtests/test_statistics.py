import statistics

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from icfleet_loadtests.statistics import (
    CallKind,
    CallStatistics,
    LoadSnapshot,
    call_name,
    merge_by_method,
    parse_call_name,
    percentile_ms,
    reads_by_canister,
)


def _call(
    method: str,
    canister: str,
    *,
    kind: CallKind = "query",
    histogram: dict[int, int] | None = None,
    failures: int = 0,
) -> CallStatistics:
    histogram = {10: 4} if histogram is None else histogram
    return CallStatistics(
        kind=kind,
        method=method,
        canister=canister,
        requests_count=sum(histogram.values()),
        failures_count=failures,
        histogram=histogram,
    )


@given(st.text(min_size=1), st.from_regex(r"[a-z_0-9 ]+", fullmatch=True))
def test_a_name_tells_method_and_canister(method: str, canister: str) -> None:
    if "\n" not in method:
        assert parse_call_name(call_name(method, canister)) == (method, canister)


@pytest.mark.parametrize("name", ["", "Aggregated", "[main]", "board [", "board [a] b"])
def test_another_name_tells_nothing(name: str) -> None:
    assert parse_call_name(name) is None


@given(st.lists(st.integers(0, 500), min_size=1), st.sampled_from([0.5, 0.95, 0.99, 1.0]))
def test_a_percentile_covers_its_share_and_no_smaller_time_does(
    durations: list[int], share: float
) -> None:
    histogram = {value: durations.count(value) for value in durations}

    found = percentile_ms(histogram, share)

    assert sum(value <= found for value in durations) >= share * len(durations)
    assert sum(value < found for value in durations) < share * len(durations)


def test_the_median_of_an_odd_count_is_the_usual_one() -> None:
    assert percentile_ms({1: 1, 5: 1, 9: 1}, 0.5) == statistics.median([1, 5, 9])


def test_no_calls_took_no_time() -> None:
    assert percentile_ms({}, 0.99) == 0


def test_calls_are_added_up_over_canisters_but_not_over_kinds() -> None:
    calls = [
        _call("board", "main", histogram={10: 1, 20: 1}, failures=1),
        _call("board", "replica_1", histogram={20: 8}),
        _call("board", "main", kind="update", histogram={7: 1}),
    ]

    merged = merge_by_method(calls)

    assert merged == [
        _call("board", "all", histogram={10: 1, 20: 9}, failures=1),
        _call("board", "main", kind="update", histogram={7: 1}),
    ]


def test_only_answered_reads_count_as_reads() -> None:
    calls = [
        _call("board", "replica_1", histogram={1: 5}),
        _call("market", "replica_1", histogram={1: 6}, failures=2),
        _call("board", "main", histogram={1: 1}),
        _call("Pay", "main", kind="update"),
    ]

    assert reads_by_canister(calls) == {"main": 1, "replica_1": 9}


def test_a_snapshot_survives_its_file() -> None:
    snapshot = LoadSnapshot(
        elapsed_s=3.5,
        users_count=8,
        calls=(_call("board", "main", failures=1), _call("Pay", "main", kind="update")),
        errors={"query board [main]: ReadError": 1},
    )

    decoded = msgspec.json.decode(msgspec.json.encode(snapshot), type=LoadSnapshot)

    assert decoded == snapshot
    assert (decoded.requests_count, decoded.failures_count) == (8, 1)
