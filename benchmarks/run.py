"""``make bench``: run every comparison, then the local network's load, and keep the figures."""

import json
import platform
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import against_ic_py
import localnet_load
import queries

RESULTS = Path(__file__).parent / "results" / "latest.json"
_PACKAGES = ("aiohttp", "cbor2", "ic-py", "icfleet", "PyNaCl")


def main() -> int:
    """Run and report."""
    print("| what | peer | ours, us | peer, us | ratio | spread |")
    print("|---|---|---|---|---|---|")
    results: list[dict[str, object]] = []
    for source in (against_ic_py.results, queries.results):
        for result in source():
            print(result.as_row(), flush=True)
            results.append(result.as_json())
    figures = {
        "python": platform.python_version(),
        "versions": {name: version(name) for name in _PACKAGES},
        "results": results,
    }
    RESULTS.write_text(json.dumps(figures, indent=2) + "\n")
    print(f"\nwritten to {RESULTS.relative_to(Path.cwd())}\n", file=sys.stderr)
    # In a process of its own: it imports the game's modules by plain names, as Kybra does.
    subprocess.run([sys.executable, Path(__file__).parent / "canisters"], check=True)
    return localnet_load.main([])


if __name__ == "__main__":
    sys.exit(main())
