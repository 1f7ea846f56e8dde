"""The figures of a running load test, in a file that is replaced once a second."""

from pathlib import Path
from typing import cast

import gevent
import msgspec

from icfleet_loadtests.locust_port import EnvironmentPort
from icfleet_loadtests.statistics import CallKind, CallStatistics, LoadSnapshot, parse_call_name

__all__ = ["snapshot_of", "watch"]

INTERVAL_S = 1.0
"""People read a table that changes once a second; copying the figures takes about a millisecond."""


def watch(environment: EnvironmentPort, path: Path) -> None:
    """Write the figures until Locust ends, and once more then.

    Workers write nothing: their master has everybody's figures.
    """
    if getattr(environment.parsed_options, "worker", False):
        return
    gevent.spawn(_write_forever, environment, path)

    def write_last(**_: object) -> None:
        _write(environment, path)

    # Fired after the last figures of the workers have come in.
    environment.events.quit.add_listener(write_last)


def snapshot_of(environment: EnvironmentPort) -> LoadSnapshot:
    """Copy Locust's figures."""
    stats = environment.stats
    runner = environment.runner
    calls: list[CallStatistics] = []
    for (name, kind), entry in stats.entries.items():
        parsed = parse_call_name(name)
        if parsed is not None and kind in {"query", "update"}:
            method, canister = parsed
            calls.append(
                CallStatistics(
                    kind=cast("CallKind", kind),
                    method=method,
                    canister=canister,
                    requests_count=entry.num_requests,
                    failures_count=entry.num_failures,
                    histogram=dict(entry.response_times),
                )
            )
    return LoadSnapshot(
        elapsed_s=max(0.0, (stats.last_request_timestamp or 0.0) - stats.start_time),
        users_count=0 if runner is None else runner.user_count,
        calls=tuple(calls),
        errors={error.to_name(): error.occurrences for error in stats.errors.values()},
    )


def _write_forever(environment: EnvironmentPort, path: Path) -> None:
    while True:
        _write(environment, path)
        gevent.sleep(INTERVAL_S)


def _write(environment: EnvironmentPort, path: Path) -> None:
    draft = path.with_name(f".{path.name}.draft")
    draft.write_bytes(msgspec.json.encode(snapshot_of(environment)))
    draft.replace(path)
