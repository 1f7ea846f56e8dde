"""The game's fleet on a local network of its own, started by the command that users start."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from icfleet_protocol.principal import Principal

__all__ = ["RunningFleet", "copy_project", "start_fleet"]

ROOT = Path(__file__).parent.parent.parent
_START_TIMEOUT_S = 60


@dataclass(frozen=True)
class RunningFleet:
    """A project folder, and the network that ``icfleet up`` runs for it."""

    project: Path
    url: str
    ids: dict[str, Principal]
    process: subprocess.Popen[bytes]

    @property
    def did(self) -> str:
        """The game's interface."""
        return (self.project / "canisters/game/game.did").read_text()


def copy_project(target: Path) -> Path:
    """Copy what a user's project consists of: no virtual environment, no state."""
    for name in ("dfx.json", "icp.yaml", "pyproject.toml"):
        shutil.copy(ROOT / name, target / name)
    for name in ("canisters", "loadtests"):
        shutil.copytree(
            ROOT / name,
            target / name,
            ignore=shutil.ignore_patterns("__pycache__"),
        )
    return target


@contextmanager
def start_fleet(project: Path, *, port: int = 0) -> Generator[RunningFleet]:
    """Run ``icfleet up`` in a project until the end of the block."""
    ready = project / "ready.json"
    ready.unlink(missing_ok=True)  # a killed network leaves its own
    with (project / "up.log").open("wb") as log:
        process = subprocess.Popen(
            [
                sys.executable,
                "-m",
                "icfleet",
                "up",
                "--port",
                str(port),
                "--ready-file",
                str(ready),
            ],
            cwd=project,
            stdout=log,
            stderr=subprocess.STDOUT,
            env={**os.environ, "NO_COLOR": "1"},
        )
        try:
            fields: dict[str, Any] = _wait(ready, process, project / "up.log")
            ids = {name: Principal.from_text(text) for name, text in fields["canisters"].items()}
            yield RunningFleet(project, fields["url"], ids, process)
        finally:
            process.send_signal(signal.SIGINT)
            process.wait(timeout=20)


def _wait(ready: Path, process: subprocess.Popen[bytes], log: Path) -> dict[str, Any]:
    deadline = time.monotonic() + _START_TIMEOUT_S
    while time.monotonic() < deadline:
        if ready.exists():
            fields: dict[str, Any] = json.loads(ready.read_text())
            return fields
        assert process.poll() is None, log.read_text()
        time.sleep(0.1)
    raise AssertionError(log.read_text())
