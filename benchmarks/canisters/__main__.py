"""``python benchmarks/canisters [limiter] [views] [boards] [batches]``: the library's four parts.

Each against the straightforward form, in one run. Without names it runs all and writes the figures
to ``benchmarks/results/canisters.json``.
"""

from __future__ import annotations

import json
import platform
import sys
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "tests" / "support"), str(ROOT / "canisters" / "game")]

# The game and its stand-ins for stable memory are found only now.
import batch_cost  # noqa: E402
import limiter_cost  # noqa: E402
import view_cost  # noqa: E402
from side_by_side import HEADER, Comparison  # noqa: E402

RESULTS = ROOT / "benchmarks" / "results" / "canisters.json"


def main(names: list[str]) -> int:
    """Run and report."""
    parts: Mapping[str, Callable[[], dict[str, object]]] = {
        "limiter": lambda: _compared(limiter_cost.results()),
        "views": lambda: _compared(view_cost.results()),
        "boards": lambda: _compared(view_cost.board_results()),
        "batches": batch_cost.report,
    }
    unknown = set(names) - set(parts)
    if unknown:
        print(f"no part named {', '.join(sorted(unknown))}: {', '.join(parts)}", file=sys.stderr)
        return 2
    figures: dict[str, object] = {"python": platform.python_version()}
    for name in names or parts:
        figures[name] = parts[name]()
        print(flush=True)
    if not names:
        RESULTS.write_text(json.dumps(figures, indent=2) + "\n")
        print(f"written to {RESULTS.relative_to(ROOT)}", file=sys.stderr)
    return 0


def _compared(comparisons: Iterable[Comparison]) -> dict[str, object]:
    print(HEADER)
    rows: list[dict[str, object]] = []
    for comparison in comparisons:
        print(comparison.as_row(), flush=True)
        rows.append(comparison.as_json())
    return {"rows": rows}


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
