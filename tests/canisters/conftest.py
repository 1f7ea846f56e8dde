"""The game's modules lie side by side, as Kybra bundles them, and are imported by plain names."""

import sys
from pathlib import Path

GAME = Path(__file__).parent.parent.parent / "canisters" / "game"

if str(GAME) not in sys.path:
    sys.path.insert(0, str(GAME))
