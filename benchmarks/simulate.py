"""``make simulate``: run simulations by hand, one seed or as many as the time allows.

python benchmarks/simulate.py SEED
python benchmarks/simulate.py --minutes 60 --from 1000000
"""

import argparse
import sys
import time
import traceback
from collections import Counter
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent / "tests/support"))

from simulated_run import simulate, small_pages


def main() -> int:
    """Run, report, and exit with 1 if a promise was broken."""
    parser = argparse.ArgumentParser(description="Run simulated fleets with faults.")
    parser.add_argument("seed", nargs="?", type=int, help="run this one alone")
    parser.add_argument("--minutes", type=float, default=1.0, help="how long (default 1)")
    parser.add_argument("--from", type=int, default=10_000, dest="first", help="first seed")
    options = parser.parse_args()
    with small_pages():
        if options.seed is not None:
            print(simulate(options.seed))
            return 0
        return _run_many(options.first, options.minutes * 60)


def _run_many(first: int, seconds: float) -> int:
    deadline = time.monotonic() + seconds
    seed = first
    totals: Counter[str] = Counter()
    broken: list[int] = []
    while time.monotonic() < deadline:
        try:
            report = simulate(seed)
        except Exception:  # noqa: BLE001 - whatever it is, it is what was looked for
            broken.append(seed)
            traceback.print_exc()
            print(f"SEED {seed} broke a promise", file=sys.stderr)
        else:
            totals.update(report.counts)
            totals.update(steps=report.steps, acknowledged=report.acknowledged, lost=report.lost)
        seed += 1
        if sys.stderr.isatty():
            print(f"\r{seed - first} seeds, {len(broken)} broken", end="", file=sys.stderr)
    print(f"\n{seed - first} seeds from {first}, {len(broken)} broken: {broken}")
    for name, number in sorted(totals.items()):
        print(f"  {name}: {number}")
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main())
