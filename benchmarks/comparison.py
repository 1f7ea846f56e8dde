"""Side-by-side timing: both sides in turns, in one process and one run, told as a ratio.

Machines are shared and noisy, so each round times one side right after the other, and the median
of the rounds' ratios is reported with their spread.
"""

import statistics
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass

__all__ = ["Result", "compare", "repeat"]

ROUNDS = 9
"""Odd, so that the median is one of the rounds."""


@dataclass(frozen=True, slots=True)
class Result:
    """One comparison."""

    name: str
    peer: str
    ours_us: float
    """Microseconds of CPU time per call, median of the rounds."""
    theirs_us: float
    ratio: float
    """How many times the peer's time is ours: above 1 means ours is faster."""
    ratio_min: float
    ratio_max: float

    def as_row(self) -> str:
        """One line of a Markdown table."""
        spread = f"{self.ratio_min:.1f} to {self.ratio_max:.1f}"
        return (
            f"| {self.name} | {self.peer} | {self.ours_us:.1f} | {self.theirs_us:.1f} "
            f"| **{self.ratio:.1f}** | {spread} |"
        )

    def as_json(self) -> dict[str, object]:
        """For machines."""
        return asdict(self)


def compare(
    name: str,
    peer: str,
    ours: Callable[[int], object],
    theirs: Callable[[int], object],
    *,
    calls: tuple[int, int],
) -> Result:
    """Time two ways to do the same thing; each takes how often to do it, per round ``calls``."""
    ours(1)
    theirs(1)
    pairs = [(_time_us(ours, calls[0]), _time_us(theirs, calls[1])) for _ in range(ROUNDS)]
    ratios = [slow / fast for fast, slow in pairs]
    return Result(
        name,
        peer,
        statistics.median(fast for fast, _ in pairs),
        statistics.median(slow for _, slow in pairs),
        statistics.median(ratios),
        min(ratios),
        max(ratios),
    )


def repeat(function: Callable[[], object]) -> Callable[[int], None]:
    """Turn one call into the many that ``compare`` wants."""

    def run(calls: int) -> None:
        for _ in range(calls):
            function()

    return run


def _time_us(function: Callable[[int], object], calls: int) -> float:
    started = time.process_time_ns()
    function(calls)
    return (time.process_time_ns() - started) / calls / 1_000
