"""Stock Locust as a process of its own, and its figures on the screen while it runs."""

import subprocess
import sys
import time
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import msgspec
from rich.console import Console
from rich.live import Live
from rich.text import Text

from icfleet.demo_report import live_line, live_view
from icfleet.errors import ToolchainError
from icfleet_loadtests.statistics import LoadSnapshot

__all__ = ["LoadRun", "RateMeter", "play", "running"]

LOAD_GRACE_S = 90
"""For Locust to start, and for calls on their way at its end (30 s)."""

STOP_TIMEOUT_S = 15
LIVE_INTERVAL_S = 0.5
LINE_INTERVAL_S = 5.0
"""Without a terminal, a line now and then is enough."""

LOG_LINES_SHOWN_MAX = 15


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadRun:
    """One run of Locust.

    Attributes:
        locustfile: The scenario.
        url: Where the network is.
        network: Which canister ids to use.
        users_count: Players.
        spawn_rate: Players that come each second.
        seconds: How long.
        records: Base name of the records of acknowledged operations.
        html: Where Locust writes its report.
        folder: Where figures and log go.
    """

    locustfile: Path
    url: str
    network: str
    users_count: int
    spawn_rate: int
    seconds: int
    records: Path
    html: Path
    folder: Path

    @property
    def live(self) -> Path:
        """The figures, replaced once a second."""
        return self.folder / "live.json"

    @property
    def log(self) -> Path:
        """What Locust prints."""
        return self.folder / "locust.log"

    def command(self) -> list[str]:
        """Return the command, as a person would type it."""
        return [
            *(sys.executable, "-m", "locust", "-f", str(self.locustfile), "--host", self.url),
            *("-u", str(self.users_count), "-r", str(self.spawn_rate), "-t", f"{self.seconds}s"),
            *("--headless", "--only-summary", "--html", str(self.html)),
            *("--icfleet-network", self.network, "--icfleet-record", str(self.records)),
            *("--icfleet-live", str(self.live)),
        ]


def play(run: LoadRun, console: Console) -> tuple[LoadSnapshot, int]:
    """Run Locust, show its figures meanwhile, and return the last ones with its exit code.

    Raises:
        ToolchainError: If it does not come to its end, or leaves no figures.
    """
    run.live.unlink(missing_ok=True)
    with run.log.open("wb") as log, running(run.command(), log) as locust:
        _watch(locust, run, console)
        code = locust.poll()
    snapshot = _read(run.live)
    if snapshot is None or code is None or code < 0:
        how = "took too long" if code is None else f"ended with code {code} and no figures"
        message = f"Locust {how}; {run.log} says why"
        raise ToolchainError(message, detail=_tail(run.log))
    return snapshot, code


@contextmanager
def running(
    command: Sequence[str], output: IO[bytes] | int, *, stop_timeout_s: float = STOP_TIMEOUT_S
) -> Generator["subprocess.Popen[bytes]"]:
    """Run a process, to the end of the block at the latest.

    Args:
        command: The program and its arguments.
        output: Where its output goes; what it says about errors goes to ours if this is a pipe.
        stop_timeout_s: How long it may take to end when it is asked to, in seconds.
    """
    errors = None if output == subprocess.PIPE else subprocess.STDOUT
    process = subprocess.Popen(command, stdout=output, stderr=errors)  # noqa: S603 - no shell
    try:
        yield process
    finally:
        process.terminate()
        try:
            process.wait(stop_timeout_s)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


class RateMeter:
    """Calls a second by kind and method, between the last two figures that differ in time."""

    def __init__(self) -> None:
        self._previous: LoadSnapshot | None = None
        self._rates: Mapping[tuple[str, str], float] = {}

    def update(self, snapshot: LoadSnapshot) -> Mapping[tuple[str, str], float]:
        """Take new figures in and return the rates."""
        before_s = 0.0 if self._previous is None else self._previous.elapsed_s
        elapsed_s = snapshot.elapsed_s - before_s
        if elapsed_s > 0:
            counts = _counts(snapshot)
            earlier = {} if self._previous is None else _counts(self._previous)
            self._rates = {
                key: (count - earlier.get(key, 0)) / elapsed_s for key, count in counts.items()
            }
            self._previous = snapshot
        return self._rates


def _counts(snapshot: LoadSnapshot) -> dict[tuple[str, str], int]:
    counts: dict[tuple[str, str], int] = {}
    for call in snapshot.calls:
        key = (call.kind, call.method)
        counts[key] = counts.get(key, 0) + call.requests_count
    return counts


def _watch(locust: "subprocess.Popen[bytes]", run: LoadRun, console: Console) -> None:
    deadline_s = time.monotonic() + run.seconds + LOAD_GRACE_S
    if not console.is_terminal:
        while _runs_on(locust, LINE_INTERVAL_S, deadline_s):
            snapshot = _read(run.live)
            if snapshot is not None:
                console.print(Text(f"  {live_line(snapshot)}"))
        return
    meter = RateMeter()
    with Live(console=console, auto_refresh=False, transient=True) as live:
        while _runs_on(locust, LIVE_INTERVAL_S, deadline_s):
            snapshot = _read(run.live)
            if snapshot is not None:
                live.update(live_view(snapshot, meter.update(snapshot)), refresh=True)


def _runs_on(process: "subprocess.Popen[bytes]", seconds: float, deadline_s: float) -> bool:
    """Wait; say whether the process still runs, and still may."""
    try:
        process.wait(seconds)
    except subprocess.TimeoutExpired:
        return time.monotonic() < deadline_s
    return False


def _read(path: Path) -> LoadSnapshot | None:
    try:
        return msgspec.json.decode(path.read_bytes(), type=LoadSnapshot)
    except FileNotFoundError:
        return None


def _tail(path: Path) -> str:
    return "\n".join(path.read_text(errors="replace").splitlines()[-LOG_LINES_SHOWN_MAX:])
