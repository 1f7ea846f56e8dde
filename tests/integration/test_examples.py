"""The examples do what the README says they do."""

import re
import subprocess
import sys
from pathlib import Path

from running_fleet import RunningFleet

ROOT = Path(__file__).parent.parent.parent
EXAMPLE = ROOT / "examples/game_server.py"


def test_the_game_server_of_the_readme_runs(running_fleet: RunningFleet) -> None:
    done = subprocess.run(
        [sys.executable, EXAMPLE, running_fleet.url],
        cwd=running_fleet.project,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    assert done.returncode == 0, done.stderr
    assert re.fullmatch(r"applied at 1\.\d+, read at 1\.\d+\nBob has 300 paise\n", done.stdout)


def test_without_a_fleet_it_says_how_to_start_one(running_fleet: RunningFleet) -> None:
    done = subprocess.run(
        [sys.executable, EXAMPLE, "http://127.0.0.1:1"],
        cwd=running_fleet.project,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    assert done.returncode == 1
    assert done.stderr.startswith("no fleet to play with at http://127.0.0.1:1: start it with")
    assert "no connection to 127.0.0.1:1: Connection refused" in done.stderr


def test_the_readme_shows_lines_of_the_example() -> None:
    (block,) = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    example = {line.strip() for line in EXAMPLE.read_text().splitlines()}

    assert [line for line in block.splitlines() if line.strip() not in example] == []
