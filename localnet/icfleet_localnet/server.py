"""The local network as a running HTTP server on loopback, with an operator's port beside it."""

import asyncio
import secrets
import time
from collections.abc import Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass
from random import Random
from types import TracebackType
from typing import Self

from icfleet_localnet.admin_app import AdminApp
from icfleet_localnet.clock import NetworkClock
from icfleet_localnet.commands import check_command, obey
from icfleet_localnet.event_log import EventLog, quiet
from icfleet_localnet.executor import Executor
from icfleet_localnet.fault_rules import ClockJump, Command
from icfleet_localnet.faults import FaultPlan
from icfleet_localnet.http_app import CALL_WAIT_S, HttpApp, Timing
from icfleet_localnet.http_interface import HttpInterface
from icfleet_localnet.http_server import HttpLimits, HttpServer
from icfleet_localnet.kybra_host.inprocess import InProcessExecutor
from icfleet_localnet.local_origin import check_loopback, listen
from icfleet_localnet.network import Network
from icfleet_localnet.profiles import FAST, Profile
from icfleet_localnet.recorder import Recorder
from icfleet_localnet.round_driver import RoundDriver
from icfleet_localnet.state_directory import StateDirectory
from icfleet_localnet.status_report import NetworkReport, ServerFacts, report_network
from icfleet_localnet.subnet import RoundReport
from icfleet_localnet.topology import Topology
from icfleet_localnet.traffic import Traffic
from icfleet_protocol.envelope import ENVELOPE_SIZE_MAX

__all__ = ["DEFAULT_PORT", "LocalnetOptions", "LocalnetServer"]

DEFAULT_PORT = 4943
"""Where ``dfx start`` listens too, so that the same commands reach either."""

_log = EventLog(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class LocalnetOptions:
    """What kind of network it is."""

    subnets: int = 1
    """How many subnets canisters can live on. From two on there is a root besides."""
    profile: Profile = FAST
    """How fast the network pretends to be."""
    admin_port: int | None = None
    """TCP port of the status page and of faults; 0 picks a free one, ``None`` is none."""
    state: StateDirectory | None = None
    """Keeps what is put in, so that the network can start as it was left. Its seed counts."""
    call_wait_s: float = CALL_WAIT_S
    """How long a synchronous call is held before it is answered with 202."""


class LocalnetServer:
    """A local network, from ``async with`` to the end of the block.

    Args:
        host: A loopback address: the server runs the code that it is sent.
        port: TCP port; 0 picks a free one.
        executor: What runs the canisters; closed at the end.
        seed: Fixes the network's keys, and the chance in its faults; random when not given.
        options: Subnets, profile, operator's port, state directory.

    Raises:
        AddressError: If others could reach the address.
        TopologyError: If there cannot be so many subnets.
    """

    def __init__(
        self,
        *,
        host: str = "127.0.0.1",
        port: int = DEFAULT_PORT,
        executor: Executor | None = None,
        seed: bytes | None = None,
        options: LocalnetOptions | None = None,
    ) -> None:
        check_loopback(host)
        options = options or LocalnetOptions()
        state, profile = options.state, options.profile
        self._host = host
        self._port = port
        self._admin_port = options.admin_port
        self._executor = InProcessExecutor() if executor is None else executor
        self.profile = profile
        self.clock = NetworkClock()
        if state is not None:
            seed = state.seed
        elif seed is None:
            seed = secrets.token_bytes(32)
        self.network = Network(
            self._executor,
            seed=seed,
            now_ns=self.clock.now_ns() if state is None else state.origin.started_ns,
            topology=Topology(subnets=options.subnets, nodes=profile.node_count),
            profile=profile,
        )
        self.faults = FaultPlan(seed)
        self._recorder = None if state is None else Recorder(self.network, state)
        self._traffic = Traffic()
        self._driver = RoundDriver(
            self.network, self.clock, self._recorder, interval_s=profile.round_interval_s
        )
        self._driver.on_round(self._count_round)
        self._started_s = time.monotonic()
        self._timing = Timing(
            call_wait_s=options.call_wait_s,
            profile=profile,
            random=Random(seed + b"timing"),  # noqa: S311 - a model is to repeat itself
        )
        self._app: HttpApp | None = None
        self._stack: AsyncExitStack | None = None

    @property
    def url(self) -> str:
        """Base URL, without a slash at the end."""
        return _url(self._host, self._port)

    @property
    def admin_url(self) -> str | None:
        """Where the status page is, if there is one."""
        return None if self._admin_port is None else _url(self._host, self._admin_port)

    @property
    def root_key_der(self) -> bytes:
        """The key that all certificates lead to."""
        return self.network.root_key_der

    @property
    def label(self) -> str:
        """Says what is modelled here, and whether this machine kept up with the model."""
        lag = None if self._app is None else self._app.lag
        text = self.profile.label()
        return text if lag is None else f"{text} {lag.sentence()}"

    def restore(self, on_progress: Callable[[float], None] = lambda _share: None) -> int:
        """Compute the state that the state directory holds; before the server starts.

        Returns:
            How many rounds were made again.

        Raises:
            StateDirectoryError: If it is damaged, or a canister did something else than before.
        """
        assert self._stack is None, "restore before the server starts"
        if self._recorder is None:
            return 0
        try:
            with quiet():
                return self._recorder.replay(self.clock, on_progress)
        except BaseException:
            self._executor.close()
            raise

    def report(self) -> NetworkReport:
        """Describe the network as it is now."""
        facts = ServerFacts(
            label=self.label,
            url=self.url,
            executor=type(self._executor).__name__,
            time_ns=self.clock.now_ns(),
            uptime_s=time.monotonic() - self._started_s,
        )
        return report_network(self.network, self._traffic, self.faults, facts)

    def obey(self, command: Command) -> None:
        """Halt or resume a subnet, drain a canister's cycles, or let the clock jump.

        Raises:
            FaultRuleError: If the command names what does not exist.
            StateDirectoryError: If it cannot be recorded; then it is not carried out.
        """
        check_command(self.network, command)
        if self._recorder is not None:
            self._recorder.commanded(command)
        obey(self.network, self.clock, command)
        self._driver.wake()
        _log.info("a command was obeyed", command=command)

    async def advance(self, seconds: float) -> None:
        """Let time pass in an instant, with every timer and message that falls due on the way.

        Raises:
            FaultRuleError: If asked to go back, or ahead by more than ten years.
        """
        jump = ClockJump(seconds)
        if self._recorder is not None:
            self._recorder.commanded(jump)
        await self._driver.advance(int(jump.seconds * 1e9))
        _log.info("time passed", seconds=seconds)

    async def __aenter__(self) -> Self:
        async with AsyncExitStack() as stack:
            stack.callback(self._executor.close)
            stack.push(self._conclude)
            interface = HttpInterface(self.network, self._recorder)
            self._app = app = HttpApp(
                interface,
                self._driver,
                self.faults,
                self.clock,
                self._traffic,
                self._timing,
            )
            # Both ports are taken before either answers.
            listener = stack.enter_context(listen(self._host, self._port))
            admin_listener = None
            if self._admin_port is not None:
                admin_listener = stack.enter_context(listen(self._host, self._admin_port))
                self._admin_port = int(admin_listener.getsockname()[1])
            self._port = int(listener.getsockname()[1])
            tasks = await stack.enter_async_context(asyncio.TaskGroup())
            stack.callback(tasks.create_task(self._driver.run()).cancel)
            limits = HttpLimits(body_size_max=ENVELOPE_SIZE_MAX)
            await stack.enter_async_context(HttpServer(app, listener, limits))
            if admin_listener is not None:
                await stack.enter_async_context(HttpServer(self._admin_app(), admin_listener))
            stack.callback(app.stop)
            self._stack = stack.pop_all()
        _log.info(
            "the local network started",
            url=self.url,
            admin=self.admin_url,
            profile=self.profile.name,
            executor=type(self._executor).__name__,
            subnets=len(self.network.applications),
        )
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        assert self._stack is not None
        try:
            await self._stack.__aexit__(kind, error, traceback)
        except BaseExceptionGroup as group:
            # The only task besides the block is the one that makes rounds.
            (first, *_) = group.exceptions
            if first is not error:
                raise first from None
        _log.info("the local network stopped", url=self.url, rounds=self._traffic.totals["rounds"])
        if self._app is not None and self._app.lag is not None:
            _log.info("the model and this machine", lag=self._app.lag.sentence())

    def _conclude(
        self,
        kind: type[BaseException] | None,
        _error: BaseException | None,
        _traceback: TracebackType | None,
    ) -> None:
        """Record what the state came to, unless a round failed halfway."""
        has_failed = kind is not None and issubclass(kind, Exception)
        if self._recorder is not None and not has_failed:
            self._recorder.check()

    def _count_round(self, report: RoundReport) -> None:
        now_s = report.time_ns / 1e9
        self._traffic.note("rounds", now_s)
        self._traffic.note("messages", now_s, report.messages)

    def _admin_app(self) -> AdminApp:
        return AdminApp(
            report=self.report, faults=self.faults, obey=self.obey, advance=self.advance
        )


def _url(host: str, port: int) -> str:
    shown = f"[{host}]" if ":" in host else host
    return f"http://{shown}:{port}"
