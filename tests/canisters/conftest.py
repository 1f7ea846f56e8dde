"""The game's modules lie side by side, as Kybra bundles them, and are imported by plain names.

So are the benchmarks', for the counter of bytecodes.
"""

import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent.parent

for folder in (ROOT / "canisters" / "game", ROOT / "benchmarks" / "canisters"):
    if str(folder) not in sys.path:
        sys.path.insert(0, str(folder))
