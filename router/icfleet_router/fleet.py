"""The fleet: one main canister and its replicas, as one thing to read from and write to."""

import asyncio
import secrets
from collections.abc import Callable, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from random import Random, SystemRandom
from types import TracebackType
from typing import Self

from icfleet_agent import Agent, AgentError, Clock, IdentityLike, SystemClock
from icfleet_protocol.candid import ServiceInterface, parse_did
from icfleet_protocol.errors import CandidError
from icfleet_protocol.principal import Principal
from icfleet_router.balancing import Load
from icfleet_router.batch_sender import BatchSender
from icfleet_router.config import DEFAULT_CONFIG, FleetConfig
from icfleet_router.errors import ConfigError, FleetClosedError, ProjectError
from icfleet_router.events import Observer
from icfleet_router.health import Health
from icfleet_router.main_finder import MainFinder
from icfleet_router.parts import FleetParts
from icfleet_router.pool import Belief, Member, Pool
from icfleet_router.port import AgentPort
from icfleet_router.position import START, Position
from icfleet_router.project_files import find_candid, read_canister_ids, read_project
from icfleet_router.read_path import ReadPath
from icfleet_router.replies import StatusReply
from icfleet_router.roles import Role
from icfleet_router.session import Session
from icfleet_router.wire import Wire
from icfleet_router.write_path import WritePath

__all__ = ["CanisterReport", "Fleet", "FleetCanister"]


@dataclass(frozen=True, slots=True)
class FleetCanister:
    """One canister that a fleet is made of.

    Attributes:
        name: Its name in dfx.json.
        canister: Its principal.
        role: Exactly one of a fleet is main.
    """

    name: str
    canister: Principal
    role: Role


@dataclass(frozen=True, slots=True, kw_only=True)
class CanisterReport:
    """What is known of one canister.

    Attributes:
        name: Its name in dfx.json.
        canister: Its principal.
        role: What the fleet takes it for.
        status: What it says of itself; ``None`` if it did not, or not as icfleet.did wants it.
        error: Why it did not answer.
        is_down: Whether the fleet has set it aside.
        in_flight_count: Calls on their way to it.
    """

    name: str
    canister: Principal
    role: Role
    status: StatusReply | None
    error: Exception | None
    is_down: bool
    in_flight_count: int

    @property
    def is_role_confirmed(self) -> bool:
        """Whether the canister says of itself what the fleet takes it for."""
        return self.status is not None and self.status.role == self.role.value


class Fleet:
    """Spreads reads over the replicas and gathers writes for main; an async context manager.

    Args:
        canisters: The canisters, exactly one of them main.
        interface: Their .did.
        agent: Carries the calls; closed with the fleet.
        config: Settings.
        clock: Time.
        random: For jitter.
        make_operation_id: Makes ids that nobody can guess.

    Raises:
        ConfigError: If ``config`` has a weight for a canister that is not there.
    """

    def __init__(  # noqa: PLR0913 - the last three have defaults that only tests replace
        self,
        canisters: Sequence[FleetCanister],
        interface: ServiceInterface,
        *,
        agent: AgentPort,
        config: FleetConfig = DEFAULT_CONFIG,
        clock: Clock | None = None,
        random: Random | None = None,
        make_operation_id: Callable[[], bytes] = lambda: secrets.token_bytes(16),
    ) -> None:
        unknown = set(config.weights) - {one.name for one in canisters}
        if unknown:
            message = f"weights for {', '.join(sorted(unknown))}, which the fleet does not have"
            raise ConfigError(message)
        clock = clock or SystemClock()
        self._agent = agent
        self._pool = Pool([_member(one, config) for one in canisters])
        self._wire = Wire(agent, clock)
        parts = FleetParts(self._pool, self._wire, interface, config, clock)
        self._finder = MainFinder(parts)
        self._reads = ReadPath(parts)
        sender = BatchSender(parts, self._finder, random or SystemRandom())
        self._writes = WritePath(parts, sender, make_operation_id)
        self._stack = AsyncExitStack()
        self._is_open = False

    @classmethod
    def from_dfx(
        cls,
        path: str | Path = "dfx.json",
        *,
        network: str = "local",
        host: str | None = None,
        identity: IdentityLike | None = None,
        config: FleetConfig = DEFAULT_CONFIG,
    ) -> Self:
        """Make a fleet of the canisters of a project.

        Args:
            path: The project's dfx.json.
            network: One of its networks, or a URL.
            host: Where the network is, if not where dfx.json says.
            identity: Who signs; anonymous if not given.
            config: Settings.

        Raises:
            ProjectError: If a file is missing or malformed, a canister has no id on the network,
                or there is not exactly one main.
            ConfigError: If ``host`` is no URL, or a weight is for nobody.
        """
        project = read_project(path)
        place = project.network(network)
        ids = read_canister_ids(project, place)
        try:
            interface = parse_did(find_candid(project, project.main))
        except CandidError as error:
            reason = f"the .did of {project.main.name} is malformed: {error}"
            raise ProjectError(project.path, reason) from error
        try:
            agent = Agent(host or place.host, identity=identity)
        except AgentError as error:
            raise ConfigError(str(error)) from error
        roles = [(one.name, one.role) for one in project.fleet]
        canisters = [
            FleetCanister(name, ids[name], role) for name, role in roles if role is not None
        ]
        return cls(canisters, interface, agent=agent, config=config)

    @property
    def observer(self) -> Observer | None:
        """Told of every call on the wire, soon after it, on the event loop."""
        return self._wire.observer

    @observer.setter
    def observer(self, observer: Observer | None) -> None:
        self._wire.observer = observer

    async def __aenter__(self) -> Self:
        """Open the fleet; nothing is sent yet."""
        self._stack.push_async_callback(self._agent.aclose)
        await self._stack.enter_async_context(self._writes)
        self._is_open = True
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Send the writes that wait, or give them up after an exception; close the agent."""
        self._is_open = False
        await self._stack.__aexit__(kind, error, traceback)

    async def aclose(self) -> None:
        """Leave the context before its end; a second time does nothing."""
        await self.__aexit__(None, None, None)

    def session(self, position: Position = START) -> Session:
        """Begin a session.

        Args:
            position: Where an earlier session ended that this one continues.

        Raises:
            FleetClosedError: Outside of the context.
        """
        if not self._is_open:
            raise FleetClosedError
        return Session(self._reads, self._writes, position)

    async def status(self) -> Mapping[str, CanisterReport]:
        """Ask every canister for its status, side by side.

        Raises:
            FleetClosedError: Outside of the context.
        """
        if not self._is_open:
            raise FleetClosedError
        async with asyncio.TaskGroup() as asking:
            tasks = [asking.create_task(self._report(member)) for member in self._pool]
        reports = [task.result() for task in tasks]
        return {report.name: report for report in reports}

    async def _report(self, member: Member) -> CanisterReport:
        status: StatusReply | None = None
        failure: Exception | None = None
        try:
            status = await self._finder.ask_status(member)
        except (AgentError, CandidError) as error:
            failure = error
        return CanisterReport(
            name=member.name,
            canister=member.canister,
            role=member.role,
            status=status,
            error=failure,
            is_down=member.health.is_down,
            in_flight_count=member.load.in_flight_count,
        )


def _member(canister: FleetCanister, config: FleetConfig) -> Member:
    return Member(
        canister.name,
        canister.canister,
        canister.role,
        Load(weight=config.weights.get(canister.name, 1)),
        Health(config.fails_max, config.fail_timeout_s),
        Belief(config.belief_s),
    )
