"""Two ways to do the same thing, in turns in one run: time, and bytecodes, told as ratios.

Machines are shared and noisy, so each round times one side right after the other, and the median
of the rounds' ratios is reported with their spread. Bytecodes are exact.
"""

from __future__ import annotations

import gc
import statistics
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import partial

from bytecodes import count_bytecodes

__all__ = ["HEADER", "Comparison", "Side", "compare"]

ROUNDS = 9
"""Odd, so that the median is one of the rounds."""

HEADER = (
    "| what | of | peer | ours, us | peer, us | ratio of times | spread | ours, bytecodes | "
    "peer, bytecodes | ratio |\n|---|---|---|---|---|---|---|---|---|---|"
)


def _nothing(calls: int) -> None:
    del calls


@dataclass(frozen=True, slots=True)
class Side:
    """One way."""

    run: Callable[[int], object]
    """Does it so many times."""
    calls: int
    """How many times in one round."""
    loop: Callable[[int], object] = _nothing
    """Does all that ``run`` does except the thing itself; its time is taken off."""
    counted: int = 10
    """Calls of which the bytecodes are counted."""


@dataclass(frozen=True, slots=True)
class Comparison:
    """What came out."""

    what: str
    size: int
    """Principals, entries or players."""
    peer: str
    ours_us: float
    """Microseconds of CPU time per call, median of the rounds."""
    peer_us: float
    ratio: float
    """How many times the peer's time is ours: above 1 means ours is faster."""
    ratio_min: float
    ratio_max: float
    ours_bytecodes: float
    peer_bytecodes: float

    def as_row(self) -> str:
        """One line of a Markdown table."""
        return (
            f"| {self.what} | {self.size:,} | {self.peer} | {self.ours_us:.2f} "
            f"| {self.peer_us:,.1f} | **{self.ratio:,.1f}** "
            f"| {self.ratio_min:,.1f} to {self.ratio_max:,.1f} | {self.ours_bytecodes:.0f} "
            f"| {self.peer_bytecodes:,.0f} | **{self.peer_bytecodes / self.ours_bytecodes:,.1f}** |"
        )

    def as_json(self) -> dict[str, object]:
        """For machines."""
        return asdict(self)


def compare(what: str, size: int, ours: Side, peer_name: str, peer: Side) -> Comparison:
    """Time both in turns, then count both."""
    ours.run(1)
    peer.run(1)
    # As ``timeit`` does: a collection would be charged to whoever it happens to.
    gc.disable()
    try:
        pairs = [(_time_us(ours), _time_us(peer)) for _ in range(ROUNDS)]
    finally:
        gc.enable()
    ratios = [slow / fast for fast, slow in pairs]
    return Comparison(
        what,
        size,
        peer_name,
        statistics.median(fast for fast, _ in pairs),
        statistics.median(slow for _, slow in pairs),
        statistics.median(ratios),
        min(ratios),
        max(ratios),
        _bytecodes(ours),
        _bytecodes(peer),
    )


def _time_us(side: Side) -> float:
    started = time.process_time_ns()
    side.run(side.calls)
    middle = time.process_time_ns()
    side.loop(side.calls)
    ended = time.process_time_ns()
    return ((middle - started) - (ended - middle)) / side.calls / 1_000


def _bytecodes(side: Side) -> float:
    counts = [count_bytecodes(partial(run, side.counted)) for run in (side.run, side.loop)]
    return (counts[0] - counts[1]) / side.counted
