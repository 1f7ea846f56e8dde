"""``icfleet localnet``: a local network by itself, until a signal."""

import asyncio
import gc
import os
import sys
import time
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import msgspec

from icfleet.errors import ToolchainError
from icfleet.event_loop import run_served, stopped_by_signals
from icfleet.executors import make_executor
from icfleet.option_values import ExecutorName
from icfleet.printing import print_lines
from icfleet.progress import Progress
from icfleet_localnet.profiles import Profile, profile_from
from icfleet_localnet.server import DEFAULT_PORT, LocalnetOptions, LocalnetServer
from icfleet_localnet.state_directory import StateDirectory
from icfleet_localnet.topology import Topology

__all__ = [
    "LocalnetCommand",
    "NetworkChoice",
    "ReadyLocalnet",
    "check_ready_file",
    "fix_hash_seed",
    "run_localnet",
]

_HASH_SEED = "PYTHONHASHSEED"
_COLLECTOR_THRESHOLDS = (20_000, 50, 100)


@dataclass(frozen=True, slots=True, kw_only=True)
class NetworkChoice:
    """What kind of network the user chose."""

    port: int
    admin_port: int | None = None
    subnets: int = 1
    profile: str = "fast"
    scale: str | None = None
    executor: ExecutorName = "inprocess"

    def server(self, *, seed: bytes | None, state: StateDirectory | None = None) -> LocalnetServer:
        """Make the network; it listens when it is entered.

        Raises:
            LocalnetError: If an option makes no sense.
            ToolchainError: If two options exclude each other.
        """
        if self.port and self.port == self.admin_port:
            reason = f"--port and --admin-port are both {self.port}: choose two"
            raise ToolchainError(reason)
        options = LocalnetOptions(
            subnets=self.subnets,
            profile=self.checked_profile(),
            admin_port=self.admin_port,
            state=state,
        )
        # The executor last: it may own processes, which whoever made it must close.
        # A state must not depend on files that change: tracebacks name the sources that they find.
        source_roots = _source_roots(Path.cwd()) if state is None else ()
        executor = make_executor(self.executor, source_roots=source_roots)
        return LocalnetServer(port=self.port, executor=executor, seed=seed, options=options)

    def checked_profile(self) -> Profile:
        """The profile that is meant, if the choice makes sense.

        Raises:
            LocalnetError: If it does not.
        """
        profile = profile_from(self.profile, self.scale)
        Topology(subnets=self.subnets, nodes=profile.node_count)
        return profile


@dataclass(frozen=True, slots=True, kw_only=True)
class LocalnetCommand:
    """What the user chose."""

    network: NetworkChoice
    state_dir: Path | None = None
    seed: str | None = None
    ready_file: Path | None = None


class ReadyLocalnet(msgspec.Struct, frozen=True, kw_only=True):
    """What ``icfleet localnet --ready-file`` writes when the network answers."""

    url: str
    admin_url: str | None
    pid: int
    root_key: str
    subnets: list[str]


def run_localnet(command: LocalnetCommand, progress: Progress) -> None:
    """Serve the network until SIGINT or SIGTERM.

    Raises:
        LocalnetError: If an option makes no sense, a port is taken, or the state cannot be used.
        ToolchainError: If two options exclude each other.
    """
    if command.seed is not None and command.state_dir is not None:
        reason = "--state-dir keeps a seed of its own: leave --seed out"
        raise ToolchainError(reason)
    if command.ready_file is not None:
        check_ready_file(command.ready_file)
    try:
        with _opened_state(command) as state:
            seed = None if command.seed is None else command.seed.encode()
            server = command.network.server(seed=seed, state=state)
            # Before the event loop takes over the signals, so that Ctrl-C ends it.
            _restore(server, state, progress)
            run_served(_serve(command, server))
    except KeyboardInterrupt:
        _tell_stopped(command)
    finally:
        if command.ready_file is not None:
            command.ready_file.unlink(missing_ok=True)


def check_ready_file(path: Path) -> None:
    """Say before the start that a file cannot be written, and not after.

    Raises:
        ToolchainError: If its folder is not there.
    """
    if not path.absolute().parent.is_dir():
        reason = f"--ready-file: there is no folder {path.absolute().parent}"
        raise ToolchainError(reason)


def fix_hash_seed(state_dir: Path | None) -> None:
    """Start this program again with a fixed order of sets, where a state must be repeatable."""
    if state_dir is None or os.environ.get(_HASH_SEED) == "0":
        return
    os.environ[_HASH_SEED] = "0"
    os.execv(sys.executable, [sys.executable, *sys.orig_argv[1:]])  # noqa: S606 - this very program


async def _serve(command: LocalnetCommand, server: LocalnetServer) -> None:
    stopped = asyncio.Event()
    with stopped_by_signals(stopped.set):
        async with server:
            _collect_less()
            _tell_ready(command, server)
            await stopped.wait()
    _tell_stopped(command)


def _collect_less() -> None:
    """Look for cycles in memory rarely: the network's own data has none.

    A full search takes about 11 us for each request that is still remembered (measured: 0.2 s
    after 18,000 updates), and nothing is answered meanwhile.
    """
    gc.freeze()
    gc.set_threshold(*_COLLECTOR_THRESHOLDS)


def _source_roots(project: Path) -> tuple[Path, ...]:
    """Where modules are imported from, for debuggers: a bundle does not tell."""
    canisters = project / "canisters"
    return (*sorted(canisters.glob("*/")), canisters, project)


@contextmanager
def _opened_state(command: LocalnetCommand) -> Generator[StateDirectory | None]:
    if command.state_dir is None:
        yield None
        return
    network = command.network
    profile = network.checked_profile()
    with StateDirectory.open(
        command.state_dir,
        subnets=network.subnets,
        profile=f"{profile.name} {profile.scale}",
        executor=network.executor,
        now_ns=time.time_ns(),
    ) as state:
        yield state


def _restore(server: LocalnetServer, state: StateDirectory | None, progress: Progress) -> None:
    if state is None or state.size_bytes == 0:
        return
    started_s = time.monotonic()
    with progress.bar(f"Restoring the network from {state.path}") as show:
        rounds = server.restore(show)
    took_s = time.monotonic() - started_s
    print_lines(f"Restored       {rounds:,} rounds in {took_s:.1f} s from {state.path}")


def _tell_ready(command: LocalnetCommand, server: LocalnetServer) -> None:
    print_lines(*_ready_lines(server))
    if command.ready_file is not None:
        ready = ReadyLocalnet(
            url=server.url,
            admin_url=server.admin_url,
            pid=os.getpid(),
            root_key=server.root_key_der.hex(),
            subnets=[str(subnet.id) for subnet in server.network.applications],
        )
        draft = command.ready_file.with_name(f".{command.ready_file.name}.draft")
        draft.write_bytes(msgspec.json.encode(ready))
        draft.replace(command.ready_file)


def _tell_stopped(command: LocalnetCommand) -> None:
    state = "is gone" if command.state_dir is None else f"is kept in {command.state_dir}"
    print_lines("", f"The local network is stopped; what it held {state}.")


def _ready_lines(server: LocalnetServer) -> list[str]:
    lines = [f"Local network  {server.url}"]
    if server.admin_url is not None:
        lines.append(f"Status page    {server.admin_url}")
    for number, subnet in enumerate(server.network.applications, start=1):
        lines.append(
            f"Subnet {number:<6}  {subnet.id}  new canisters near {subnet.plan.first_canister}"
        )
    host = "" if server.url.endswith(f":{DEFAULT_PORT}") else f" --host {server.url}"
    following = ["Next, in your project's folder:", f"  icfleet deploy{host}"]
    return [*lines, "", server.profile.label(), "", *following, "", "Ctrl-C stops it."]
