"""The local network under load from outside, for each executor.

``python benchmarks/localnet_load.py`` measures everything and writes ``results/localnet.json``;
``--quick`` takes some 20 s, writes nothing and leaves out what is large.

Figures of a machine that does other things meanwhile say little: the load before the run and the
generator's ceiling stand beside them.
"""

import argparse
import json
import os
import platform
import sys
from collections.abc import Iterable, Iterator
from importlib.metadata import version
from itertools import chain
from pathlib import Path

from localnet_figures import (
    Plan,
    RateFigure,
    ValueFigure,
    heap_cost,
    memory,
    own_ceiling,
    record_cost,
    start_up,
    throughput,
)
from localnet_server import EXECUTORS

__all__ = ["FULL", "QUICK", "main", "measure"]

RESULTS = Path(__file__).parent / "results" / "localnet.json"
_PACKAGES = ("cbor2", "httptools", "icfleet", "pyblst", "PyNaCl", "uvloop")

_LOAD_QUIET = 0.5
"""Of the last minute, before anything is measured."""

QUICK = Plan(seconds=0.2, repetitions=3, connections=(1, 32), starts=1, records=(), containers=())
FULL = Plan(
    seconds=1.0,
    repetitions=3,
    connections=(1, 32, 256),
    starts=3,
    records=(10**3, 10**4, 10**5, 10**6),
    containers=(10**2, 10**3, 10**4, 10**5),
)

_RATE_HEAD = (
    "| what | executor | connections | per second | spread | p50, ms | p99, ms | server, us "
    "| generator, us | answers |\n|---|---|---|---|---|---|---|---|---|---|"
)
_VALUE_HEAD = "| what | executor | median | spread |\n|---|---|---|---|"


def measure(plan: Plan, executors: Iterable[str]) -> Iterator[RateFigure | ValueFigure]:
    """Measure everything of a plan."""
    yield from own_ceiling(plan)
    for executor in executors:
        yield from chain(
            throughput(executor, plan),
            record_cost(executor, plan),
            heap_cost(executor, plan),
            start_up(executor, plan),
            memory(executor, plan) if plan.records else (),
        )


def main(arguments: list[str] | None = None) -> int:
    """Measure, print, and keep the figures of a full run."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="some 20 s, and nothing is written")
    parser.add_argument("--executor", action="append", choices=sorted(EXECUTORS))
    options = parser.parse_args(arguments)
    executors: list[str] = options.executor or list(EXECUTORS)
    rates: list[RateFigure] = []
    values: list[ValueFigure] = []
    load = os.getloadavg()[0]
    if load > _LOAD_QUIET:
        print(f"the machine is busy (load {load:.1f}): expect lower figures", file=sys.stderr)
    print(_RATE_HEAD)
    for figure in measure(QUICK if options.quick else FULL, executors):
        if isinstance(figure, RateFigure):
            rates.append(figure)
            print(_rate_row(figure), flush=True)
        else:
            values.append(figure)
    print(f"\n{_VALUE_HEAD}")
    for value in values:
        print(_value_row(value))
    if not options.quick and options.executor is None:
        _write(rates, values, load)
    return 0


def _write(rates: Iterable[RateFigure], values: Iterable[ValueFigure], load: float) -> None:
    figures = {
        "python": platform.python_version(),
        "cores": os.cpu_count(),
        "load_before": round(load, 1),
        "versions": {name: version(name) for name in _PACKAGES},
        "rates": [figure.as_json() for figure in rates],
        "values": [figure.as_json() for figure in values],
    }
    RESULTS.write_text(json.dumps(figures, indent=2) + "\n")
    print(f"\nwritten to {RESULTS}", file=sys.stderr)


def _rate_row(figure: RateFigure) -> str:
    answers = ", ".join(f"{number} {kind}" for kind, number in sorted(figure.answers.items()))
    return (
        f"| {figure.what} | {figure.executor} | {figure.connections} | **{figure.rate:.0f}** "
        f"| {figure.rate_min:.0f} to {figure.rate_max:.0f} | {figure.p50_ms:.2f} "
        f"| {figure.p99_ms:.2f} | {figure.server_us:.0f} | {figure.client_us:.0f} | {answers} |"
    )


def _value_row(figure: ValueFigure) -> str:
    return (
        f"| {figure.what} | {figure.executor} | **{figure.value:.2f} {figure.unit}** "
        f"| {figure.value_min:.2f} to {figure.value_max:.2f} |"
    )


if __name__ == "__main__":
    sys.exit(main())
