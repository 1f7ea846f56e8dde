"""The whole of icfleet in a minute: ``make demo``.

A local network with the project's fleet in a process of its own, stock Locust with the project's
scenario in another, then an audit by an independent witness. Every step is told; whatever fails is
named, and everything that was started is stopped.
"""

import argparse
import asyncio
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

import msgspec
from rich.console import Console
from rich.text import Text

from icfleet.demo_load import LoadRun, play, running
from icfleet.demo_report import AuditReport, DemoCheck, calls_table, load_checks, reads_line
from icfleet.errors import ToolchainError
from icfleet.fleet_status import FleetReport, report_site
from icfleet.fleet_up import ReadyFile, fleet_process
from icfleet.site import open_site
from icfleet_loadtests.records import find_record_files
from icfleet_loadtests.statistics import LoadSnapshot
from icfleet_localnet.server import DEFAULT_PORT
from icfleet_router import RouterError, read_project

__all__ = ["DemoOptions", "level_check", "main", "run_demo", "tell_verdict"]

EXIT_OK, EXIT_FAILED, EXIT_INTERRUPTED = 0, 1, 130

UP_TIMEOUT_S = 120
"""Bundling and three installs take some seconds; a machine that is busy otherwise takes longer."""

LEVEL_TIMEOUT_S = 30
"""Replicas pull once a second after changes, and every 5 s when there were none."""

LEVEL_POLL_S = 0.5

AUDIT_TIMEOUT_S = 300
"""A minute is ample for the demo's log; ic-py needs tens of milliseconds for a page of it."""

PIPE_WIDTH = 160
"""Columns where there is no terminal to ask."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DemoOptions:
    """What the user chose."""

    dfx: Path
    users_count: int
    spawn_rate: int
    seconds: int
    port: int | None

    @property
    def root(self) -> Path:
        """The project's folder."""
        return self.dfx.absolute().parent

    @property
    def folder(self) -> Path:
        """Where records, figures and logs go."""
        return self.root / ".icfleet" / "demo"

    @property
    def records(self) -> Path:
        """Base name of the records of acknowledged operations."""
        return self.folder / "records.jsonl"

    @property
    def html(self) -> Path:
        """Locust's report."""
        return self.root / "reports" / "demo.html"


def main(argv: Sequence[str] | None = None) -> int:
    """Run the demo.

    Returns:
        0 if everything held, 1 if something did not, which is named, 130 if interrupted.
    """
    console = Console(highlight=False, width=None if sys.stdout.isatty() else PIPE_WIDTH)
    started_s = time.monotonic()
    options = _parse(argv)
    # Whoever stops the demo by a signal wants what it started to be stopped too.
    signal.signal(signal.SIGTERM, _interrupt)
    try:
        checks = run_demo(options, console)
    except KeyboardInterrupt:
        sys.stderr.write("icfleet demo: interrupted; everything is stopped\n")
        return EXIT_INTERRUPTED
    except (ToolchainError, RouterError, OSError) as error:
        detail = f"\n{error.detail}" if isinstance(error, ToolchainError) and error.detail else ""
        sys.stderr.write(f"icfleet demo: {error}{detail}\n")
        return EXIT_FAILED
    return tell_verdict(checks, console, elapsed_s=time.monotonic() - started_s)


def tell_verdict(checks: Sequence[DemoCheck], console: Console, *, elapsed_s: float) -> int:
    """Say whether everything held, name what did not, and return the exit code."""
    failed = [check.name for check in checks if not check.is_kept]
    if failed:
        sys.stderr.write(f"icfleet demo: failed: {'; '.join(failed)}\n")
        return EXIT_FAILED
    console.print(Text(f"All {len(checks)} checks passed, in {elapsed_s:.0f} s."))
    console.print(Text("Next: icfleet up, then see README.md"))
    return EXIT_OK


def run_demo(options: DemoOptions, console: Console) -> list[DemoCheck]:
    """Do everything, tell it, and return what was checked.

    Raises:
        ToolchainError: If a step cannot be done at all.
        ProjectError: If a project file is missing or malformed.
    """
    # First of all, so that a wrong folder is not littered.
    read_project(options.dfx)
    options.folder.mkdir(parents=True, exist_ok=True)
    options.html.parent.mkdir(parents=True, exist_ok=True)
    for path in find_record_files(options.records):
        path.unlink()
    teller = _Teller(console)
    teller.step("Starting a local network and the fleet, in a process of their own")
    with fleet_process(options.dfx, port=_port(options, teller), timeout_s=UP_TIMEOUT_S) as fleet:
        ids = ", ".join(f"{name} {canister}" for name, canister in fleet.canisters.items())
        teller.say(f"{fleet.url}  {ids}")
        who = f"{options.users_count} players for {options.seconds} s"
        teller.step(f"Playing: {who}, by stock Locust with loadtests/locustfile.py")
        snapshot, code = play(_load_run(options, fleet), console)
        teller.step("Waiting until the replicas have everything that main has")
        level = asyncio.run(_await_level(options, fleet))
        teller.step("Auditing, with nothing but ic-py")
        audit = _audit(options, fleet)
    replicas = [line.name for line in level.canisters[1:]]
    checks = [*load_checks(snapshot, replicas, code), level_check(level), *audit.checks]
    _tell_summary(teller, snapshot, [audit.witness, *_lines(checks)])
    teller.say(f"Locust's report: {options.html}")
    return checks


class _Teller:
    """Tells what is going on, a step at a time."""

    def __init__(self, console: Console) -> None:
        self.console = console

    def step(self, text: str) -> None:
        self.console.print(Text(f"• {text} ...", style="bold"))

    def say(self, text: str) -> None:
        # Ids and paths are copied by people: they must not be folded.
        self.console.print(Text(f"  {text}"), soft_wrap=True)


def _port(options: DemoOptions, teller: _Teller) -> int:
    if options.port is not None:
        return options.port
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", DEFAULT_PORT))
        except OSError:
            teller.say(f"Port {DEFAULT_PORT} is taken, so a free one is used.")
            return 0
    return DEFAULT_PORT


def _load_run(options: DemoOptions, fleet: ReadyFile) -> LoadRun:
    return LoadRun(
        locustfile=options.root / "loadtests" / "locustfile.py",
        url=fleet.url,
        network=fleet.network,
        users_count=options.users_count,
        spawn_rate=options.spawn_rate,
        seconds=options.seconds,
        records=options.records,
        html=options.html,
        folder=options.folder,
    )


async def _await_level(options: DemoOptions, fleet: ReadyFile) -> FleetReport:
    """Ask until every replica is where main is, or time is up."""
    site = open_site(options.dfx, fleet.network, fleet.url)
    deadline_s = time.monotonic() + LEVEL_TIMEOUT_S
    while True:
        report = await report_site(site, Path(fleet.admin))
        if level_check(report).is_kept or time.monotonic() > deadline_s:
            return report
        await asyncio.sleep(LEVEL_POLL_S)


def level_check(report: FleetReport) -> DemoCheck:
    """Judge whether all canisters answer, and the replicas are where main is."""
    main, *replicas = report.canisters
    faults = [f"{line.name}: {line.error}" for line in report.canisters if line.error]
    faults += [
        f"{line.name} is in another epoch than main"
        if line.lag is None
        else f"{line.name} is {line.lag} operations behind"
        for line in replicas
        if line.lag != 0
    ]
    figures = f"main and {len(replicas)} replicas at {main.epoch}.{main.seq}"
    return DemoCheck(f"replicas caught up within {LEVEL_TIMEOUT_S} s", figures, tuple(faults))


def _audit(options: DemoOptions, fleet: ReadyFile) -> AuditReport:
    ids = options.root / ".dfx" / fleet.network / "canister_ids.json"
    command = [
        *(sys.executable, str(options.root / "loadtests" / "audit.py"), "--json"),
        *("--url", fleet.url, "--network", fleet.network, "--identity", fleet.admin),
        *("--canister-ids", str(ids)),
        *(str(path) for path in find_record_files(options.records)),
    ]
    with running(command, subprocess.PIPE) as process:
        try:
            output, _ = process.communicate(timeout=AUDIT_TIMEOUT_S)
        except subprocess.TimeoutExpired as error:
            message = f"the audit took more than {AUDIT_TIMEOUT_S} s"
            raise ToolchainError(message) from error
    try:
        return msgspec.json.decode(output, type=AuditReport)
    except msgspec.DecodeError as error:
        message = f"the audit ended with code {process.returncode} and without a report"
        raise ToolchainError(message) from error


def _tell_summary(teller: _Teller, snapshot: LoadSnapshot, verdicts: Sequence[str]) -> None:
    teller.console.print()
    if snapshot.calls:
        teller.console.print(calls_table(snapshot))
        teller.console.print()
    teller.say("These are times of a local network; on mainnet an update takes about two seconds.")
    teller.say(f"Reads answered by: {reads_line(snapshot)}")
    for line in verdicts:
        teller.say(line)


def _lines(checks: Sequence[DemoCheck]) -> list[str]:
    return [line for check in checks for line in check.lines()]


def _parse(argv: Sequence[str] | None) -> DemoOptions:
    parser = argparse.ArgumentParser(prog="python -m icfleet.demo", description=__doc__)
    parser.add_argument("--dfx", type=Path, default=Path("dfx.json"), help="the project's dfx.json")
    parser.add_argument("--users", type=int, default=50, help="players (default: 50)")
    parser.add_argument("--rate", type=int, default=10, help="players a second (default: 10)")
    parser.add_argument("--seconds", type=int, default=30, help="of load (default: 30)")
    parser.add_argument("--port", type=int, help=f"default: {DEFAULT_PORT}, or a free one")
    chosen = parser.parse_args(argv)
    return DemoOptions(
        dfx=chosen.dfx,
        users_count=chosen.users,
        spawn_rate=chosen.rate,
        seconds=chosen.seconds,
        port=chosen.port,
    )


def _interrupt(_number: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt


if __name__ == "__main__":
    sys.exit(main())
