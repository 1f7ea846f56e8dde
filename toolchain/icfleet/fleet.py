"""The fleet's canisters on one network, opened for administration."""

import asyncio
import sys
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Protocol

from icfleet.admin_calls import (
    AdminCaller,
    KeyCaller,
    Member,
    Signer,
    SignerChoice,
    ToolCaller,
)
from icfleet.canister_ids import adopt_icp_ids
from icfleet.connection import open_agent
from icfleet.errors import AttachError, IdentityFileError
from icfleet.member_status import MemberStatus
from icfleet.progress import progress_on
from icfleet.site import Site
from icfleet.upstreams import read_upstreams
from icfleet_agent import Agent, Canister
from icfleet_agent.errors import AgentError, NotSentError
from icfleet_protocol.canister_state import controllers, controllers_path
from icfleet_protocol.errors import CandidError, ProtocolError
from icfleet_protocol.identity import AnonymousIdentity
from icfleet_protocol.principal import Principal
from icfleet_router.errors import HeadError, ProjectError
from icfleet_router.heads import VerifiedHead, verified_head
from icfleet_router.project_files import read_canister_ids

__all__ = [
    "FLEET_METHODS",
    "Control",
    "FleetPort",
    "OpenFleet",
    "open_administration",
    "open_fleet",
]

FLEET_METHODS = (
    *("acknowledge", "attach", "configure", "demote", "detach", "follow", "head", "log_since"),
    *("promote", "reseed", "state_page", "status", "submit"),
)
"""Methods without which a canister cannot join a fleet. Source: ``canisters/icfleet.did``."""


@dataclass(frozen=True, slots=True)
class Control:
    """Who may manage a canister, and when that was certified."""

    controllers: tuple[Principal, ...]
    certified_at_ns: int


class FleetPort(Protocol):
    """What administration needs of a fleet; ``OpenFleet`` has it."""

    @property
    def main(self) -> Member:
        """The canister that the project's files call main."""
        ...

    @property
    def replicas(self) -> tuple[Member, ...]:
        """The others."""
        ...

    @property
    def members(self) -> tuple[Member, ...]:
        """All, main first."""
        ...

    @property
    def upstreams(self) -> Mapping[str, str]:
        """Who follows another than main, by name."""
        ...

    async def status(self, member: Member) -> MemberStatus:
        """Ask one member."""
        ...

    async def answers(self) -> Mapping[str, MemberStatus | AttachError]:
        """Ask all members, and keep what went wrong with each."""
        ...

    async def head(self, member: Member) -> VerifiedHead:
        """Ask one member to prove where it is."""
        ...

    async def subnets(self) -> Mapping[str, Principal]:
        """Tell each member's subnet, by name."""
        ...

    async def now_ns(self, member: Member) -> int:
        """The time of a member's subnet, as certified."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenFleet:
    """Main and replicas, ready to be asked."""

    agent: Agent
    main: Member
    replicas: tuple[Member, ...]
    table: Mapping[str, str] | ProjectError = field(default_factory=dict[str, str])
    """``[tool.icfleet.upstreams]``, or what is wrong with it: reading the fleet needs it not."""

    @property
    def upstreams(self) -> Mapping[str, str]:
        """Who follows another than main, by name.

        Raises:
            ProjectError: If the table names who is not in the fleet, or goes in a circle.
        """
        if isinstance(self.table, ProjectError):
            raise self.table
        return self.table

    @property
    def members(self) -> tuple[Member, ...]:
        """Main, then the replicas."""
        return (self.main, *self.replicas)

    async def status(self, member: Member) -> MemberStatus:
        """Ask one member.

        Raises:
            AttachError: If it does not answer, or not as a fleet's canister; it is named.
            NotSentError: If nobody is at the network's address at all.
        """
        canister = Canister(self.agent, member.id, member.interface)
        try:
            return MemberStatus.from_candid(await canister.query("status"))
        except NotSentError:
            raise
        except (AgentError, CandidError) as error:
            message = f"{member.name} ({member.id}) does not answer: {error}"
            raise AttachError(message) from error
        except AttachError as error:
            message = f"{member.name}: {error}"
            raise AttachError(message) from error

    async def answers(self) -> dict[str, MemberStatus | AttachError]:
        """Ask all members at once, and keep what went wrong with each.

        Raises:
            NotSentError: If nobody is at the network's address at all.
        """
        async with asyncio.TaskGroup() as tasks:
            asked = {
                member.name: tasks.create_task(self._answer(member)) for member in self.members
            }
        answers: dict[str, MemberStatus | AttachError] = {}
        for name, task in asked.items():
            answer = task.result()
            if isinstance(answer, NotSentError):
                raise answer
            answers[name] = answer
        return answers

    async def head(self, member: Member) -> VerifiedHead:
        """Ask one member to prove where it is.

        Raises:
            AttachError: If it does not; it is named.
            NotSentError: If nobody is at the network's address at all.
        """
        try:
            return await verified_head(self.agent, member.id, member.interface)
        except NotSentError:
            raise
        except (AgentError, HeadError, ProtocolError) as error:
            message = f"{member.name} ({member.id}) does not prove its head: {error}"
            raise AttachError(message) from error

    async def subnets(self) -> dict[str, Principal]:
        """Tell each member's subnet, as certified by the network.

        Raises:
            AgentError: If the network does not answer.
        """
        certificates = [
            await self.agent.read_state(member.id, [[b"time"]]) for member in self.members
        ]
        return {
            member.name: certificate.subnet
            for member, certificate in zip(self.members, certificates, strict=True)
        }

    async def now_ns(self, member: Member) -> int:
        """The time of a member's subnet, as certified.

        Raises:
            AgentError: If the network does not answer.
        """
        return (await self.agent.read_state(member.id, [[b"time"]])).time_ns

    async def control(self, member: Member) -> Control:
        """Tell who may manage a member, as certified.

        Raises:
            AttachError: If the network does not say.
            NotSentError: If nobody is at the network's address at all.
        """
        try:
            certificate = await self.agent.read_state(member.id, [controllers_path(member.id)])
            return Control(controllers(certificate, member.id), certificate.time_ns)
        except NotSentError:
            raise
        except (AgentError, ProtocolError) as error:
            message = f"the controllers of {member.name} are not known: {error}"
            raise AttachError(message) from error

    async def _answer(self, member: Member) -> MemberStatus | AttachError | NotSentError:
        try:
            return await self.status(member)
        except (AttachError, NotSentError) as error:
            # Returned, because a task group would wrap what is raised.
            return error


def open_fleet(site: Site, agent: Agent) -> OpenFleet:
    """Find the fleet's canisters on the site's network.

    Of wrong upstreams it only warns: whoever wants to use them is refused then.

    Raises:
        ProjectError: If an id or interface is missing.
        AttachError: If a canister's interface lacks what a fleet needs.
    """
    ids = read_canister_ids(site.project, site.network)
    members: list[Member] = []
    for canister in site.project.fleet:
        interface = site.interface(canister)
        missing = [name for name in FLEET_METHODS if name not in interface.methods]
        if missing:
            message = (
                f"{canister.name} lacks {', '.join(missing)}, which icfleet.did asks of a canister "
                "that joins a fleet"
            )
            raise AttachError(message)
        members.append(Member(name=canister.name, id=ids[canister.name], interface=interface))
    table: Mapping[str, str] | ProjectError
    try:
        table = read_upstreams(site.project)
    except ProjectError as error:
        progress_on(sys.stderr).warn(str(error))
        table = error
    return OpenFleet(
        agent=agent,
        main=members[0],
        replicas=tuple(members[1:]),
        table=table,
    )


@asynccontextmanager
async def open_administration(
    site: Site, choice: SignerChoice
) -> AsyncGenerator[tuple[OpenFleet, AdminCaller]]:
    """Open the fleet for whoever may administer it; ids that only icp-cli knows are taken over.

    Raises:
        ProjectError: If a project file is missing or malformed.
        AttachError: If a canister's interface lacks what a fleet needs.
        NetworkError: If nobody is at the network's address.
        IdentityFileError: If the key that is to sign is not there; a new one would be no admin's.
    """
    is_ours = choice.signer is Signer.KEY
    if is_ours and choice.key is None and not site.admin_path.exists():
        message = f"no admin key at {site.admin_path}: --identity, or restore it"
        raise IdentityFileError(message)
    # Refused before anything is changed by it.
    read_upstreams(site.project)
    adopt_icp_ids(site.project, site.network, is_current=choice.signer is Signer.ICP)
    identity = site.admin(choice.key) if is_ours else AnonymousIdentity()
    async with open_agent(site, identity) as agent:
        caller: AdminCaller = KeyCaller(agent)
        if not is_ours:
            caller = ToolCaller(choice.signer, site.network.name, site.project.root)
        yield open_fleet(site, agent), caller
