"""A local network inside a test: real canisters, real protocol, time that the test decides.

The network runs in a thread of its own, so that plain tests and asynchronous ones can both use it,
and any other client through its ``url``. The fixtures of ``icfleet.pytest_plugin`` make these; in
other frameworks use ``Localnet`` as a context manager.
"""

import asyncio
import errno
import threading
from collections.abc import Callable, Coroutine, Sequence
from concurrent.futures import Future
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar

from icfleet.build import BuildResult, build
from icfleet.localnet_command import NetworkChoice
from icfleet.search_path import search_path_of
from icfleet_agent import Agent, Canister, ManagementCanister
from icfleet_agent.adaptors import IdentityLike, PrincipalLike
from icfleet_localnet.fault_rules import Command, FaultRule
from icfleet_localnet.server import LocalnetServer
from icfleet_protocol.candid import encode, parse_did
from icfleet_protocol.identity import Ed25519Identity
from icfleet_protocol.principal import Principal

__all__ = ["CONTROLLER", "InstalledCanister", "Localnet", "LocalnetClock"]

Result = TypeVar("Result")

_START_TIMEOUT_S = 30
_CALL_TIMEOUT_S = 60
_ADVANCE_TIMEOUT_S = 600
"""A year of a timer that fires each hour takes some seconds to compute."""
_ENTRY = "main.py"

CONTROLLER = Ed25519Identity.from_seed(b"icfleet.testing controller......")
"""Controls what ``Localnet.install`` installs. Its key is public: it is for tests."""


class LocalnetClock:
    """The network's time, for the test to move and for agents to go by."""

    def __init__(self, localnet: "Localnet") -> None:
        self._localnet = localnet

    def advance(self, seconds: float) -> None:
        """Let time pass in an instant, with every timer and message that falls due on the way."""
        advancing = self._localnet.server.advance(seconds)
        asyncio.run_coroutine_threadsafe(advancing, self._localnet.loop).result(_ADVANCE_TIMEOUT_S)

    def now_ns(self) -> int:
        """Nanoseconds since 1970 on the network."""
        return self._localnet.server.clock.now_ns()

    def now_s(self) -> float:
        """Seconds since an arbitrary start, in real time: deadlines of calls go by it."""
        return asyncio.get_running_loop().time()

    async def sleep(self, duration_s: float) -> None:
        """Pause the calling task, in real time."""
        await asyncio.sleep(duration_s)


class InstalledCanister:
    """A canister of the test's network, called by plain functions.

    Attributes:
        id: Which canister.
        did: Its Candid interface.
    """

    def __init__(self, localnet: "Localnet", canister: Principal, built: BuildResult) -> None:
        self._localnet = localnet
        self.id = canister
        self.did = built.did

    def query(self, method: str, *args: object, identity: IdentityLike | None = None) -> Any:
        """Ask by a query method.

        Raises:
            AgentError: If the canister rejects or traps; ``reject_message`` says why.
        """
        return self._localnet.call(
            lambda agent: Canister(agent, self.id, self.did).query(method, *args), identity
        )

    def update(self, method: str, *args: object, identity: IdentityLike | None = None) -> Any:
        """Call an update method, and wait for its certified answer.

        Raises:
            AgentError: If the canister rejects or traps; ``reject_message`` says why.
        """
        return self._localnet.call(
            lambda agent: Canister(agent, self.id, self.did).update(method, *args), identity
        )

    def upgrade(self, entry: Path, *args: object) -> None:
        """Replace the code by that of another entry file, keeping stable memory."""
        built = self._localnet.build(entry)
        self._localnet.install_built(self.id, built, args, mode="upgrade")
        self.did = built.did

    @property
    def log(self) -> list[str]:
        """What it printed, and why it trapped, the oldest line first."""

        def read(server: LocalnetServer) -> list[str]:
            subnet = server.network.subnet_of(self.id)
            assert subnet is not None, "the canister was made here"
            return [line.text for line in subnet.canisters[self.id].log]

        return self._localnet.run(read)


class Localnet:
    """A running network, to the end of the block.

    Args:
        choice: Subnets, profile, executor.
        seed: Fixes keys and faults, so that a test repeats.

    Attributes:
        server: The network's server; use ``run`` to touch it from another thread.
        clock: The network's time.
    """

    server: LocalnetServer

    def __init__(self, choice: NetworkChoice | None = None, *, seed: bytes = b"test") -> None:
        self._choice = choice or NetworkChoice(port=0)
        self._seed = seed
        self._loop = asyncio.new_event_loop()
        self._started: Future[None] = Future()
        self._stop = asyncio.Event()
        self._thread = threading.Thread(target=self._serve, name="icfleet localnet", daemon=True)
        self.clock = LocalnetClock(self)

    def __enter__(self) -> Self:
        self._thread.start()
        self._started.result(_START_TIMEOUT_S)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        with suppress(RuntimeError):  # The loop has ended by itself, with an error told below.
            self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(_START_TIMEOUT_S)
        assert not self._thread.is_alive(), "the local network does not stop"

    @property
    def url(self) -> str:
        """Where clients reach it."""
        return self.server.url

    @property
    def root_key_der(self) -> bytes:
        """The key that all certificates lead to."""
        return self.server.root_key_der

    def agent(self, identity: IdentityLike | None = None) -> Agent:
        """An agent for the test's own event loop, which goes by the network's time."""
        return Agent(self.url, identity=identity, clock=self.clock)

    def add_fault(self, rule: FaultRule) -> str:
        """Put a fault into force, and return its id."""
        return self.run(lambda server: server.faults.add(rule))

    def clear_faults(self) -> None:
        """End all faults."""
        self.run(lambda server: server.faults.clear())

    def obey(self, command: Command) -> None:
        """Halt or resume a subnet, drain cycles, let the clock jump."""
        self.run(lambda server: server.obey(command))

    def build(self, entry: Path) -> BuildResult:
        """Build a canister from its entry file, or the folder of its ``main.py``.

        Raises:
            CanisterSourceError: If Kybra would not compile it.
            FileNotFoundError: If there is no such file.
        """
        entry = entry.absolute()
        entry = entry / _ENTRY if entry.is_dir() else entry
        if not entry.is_file():
            raise FileNotFoundError(errno.ENOENT, "there is no canister source", str(entry))
        root = Path.cwd()
        # A test's own little canister lies anywhere, and imports from beside itself.
        outside = not entry.is_relative_to(root)
        return build(entry, search_path_of(entry.parent if outside else root, entry))

    def install(
        self, entry: Path, *args: object, subnet: int = 0, cycles: int | None = None
    ) -> InstalledCanister:
        """Build, create and install a canister.

        Args:
            entry: Its entry file, or the folder of its ``main.py``.
            args: What ``init`` takes.
            subnet: On which subnet it shall live, from 0.
            cycles: Its balance; the network's default if not given.

        Raises:
            CanisterSourceError: If Kybra would not compile it.
            AgentError: If ``init`` traps; the message has the canister's traceback.
        """
        built = self.build(entry)
        near = self.server.network.applications[subnet].plan.first_canister
        canister = self.call(
            lambda agent: ManagementCanister(agent).create(cycles=cycles, effective_canister=near),
            CONTROLLER,
        )
        self.install_built(canister, built, args)
        return InstalledCanister(self, canister, built)

    def install_built(
        self,
        canister: PrincipalLike,
        built: BuildResult,
        args: Sequence[object],
        *,
        mode: Any = "install",
    ) -> None:
        """Install or upgrade to a module that is built already."""
        interface = parse_did(built.did)
        # The interface tells what ``init`` takes; ``post_upgrade`` takes the same or nothing.
        wanted = interface.init_args if args or mode != "upgrade" else ()
        arg = encode(wanted, args, environment=interface.environment)
        self.call(
            lambda agent: ManagementCanister(agent).install(canister, built.wasm, arg, mode=mode),
            CONTROLLER,
        )

    @property
    def loop(self) -> asyncio.AbstractEventLoop:
        """The network's own event loop, in its own thread."""
        return self._loop

    def call(
        self,
        work: Callable[[Agent], Coroutine[Any, Any, Result]],
        identity: IdentityLike | None = None,
    ) -> Result:
        """Do something with an agent in the network's own event loop, and wait for its result."""

        async def with_agent() -> Result:
            async with self.agent(identity) as agent:
                return await work(agent)

        future = asyncio.run_coroutine_threadsafe(with_agent(), self._loop)
        return future.result(_CALL_TIMEOUT_S)

    def run(self, work: Callable[[LocalnetServer], Result]) -> Result:
        """Do something with the server in its own thread, and wait for the result."""

        async def in_loop() -> Result:
            return work(self.server)

        return asyncio.run_coroutine_threadsafe(in_loop(), self._loop).result(_CALL_TIMEOUT_S)

    def _serve(self) -> None:
        try:
            with asyncio.Runner(loop_factory=lambda: self._loop) as runner:
                runner.run(self._run_server())
        except BaseException as error:
            if self._started.done():
                raise
            self._started.set_exception(error)

    async def _run_server(self) -> None:
        async with self._choice.server(seed=self._seed) as server:
            self.server = server
            self._started.set_result(None)
            await self._stop.wait()
