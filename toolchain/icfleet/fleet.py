"""The fleet's canisters on one network, opened for administration."""

import asyncio
from dataclasses import dataclass

from icfleet.admin_calls import Member
from icfleet.errors import AttachError
from icfleet.member_status import MemberStatus
from icfleet.site import Site
from icfleet_agent import Agent, Canister
from icfleet_agent.errors import AgentError, NotSentError
from icfleet_protocol.errors import CandidError
from icfleet_protocol.principal import Principal
from icfleet_router.project_files import read_canister_ids

__all__ = ["FLEET_METHODS", "OpenFleet", "open_fleet"]

FLEET_METHODS = ("attach", "follow", "log_since", "status", "submit")
"""Methods without which a canister cannot join a fleet. Source: ``canisters/icfleet.did``."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenFleet:
    """Main and replicas, ready to be asked."""

    agent: Agent
    main: Member
    replicas: tuple[Member, ...]

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

    async def statuses(self) -> dict[str, MemberStatus]:
        """Ask all members at once.

        Raises:
            AttachError: If one does not answer.
            NotSentError: If nobody is at the network's address at all.
        """
        statuses: dict[str, MemberStatus] = {}
        for name, answer in (await self.answers()).items():
            if isinstance(answer, AttachError):
                raise answer
            statuses[name] = answer
        return statuses

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

    async def _answer(self, member: Member) -> MemberStatus | AttachError | NotSentError:
        try:
            return await self.status(member)
        except (AttachError, NotSentError) as error:
            # Returned, because a task group would wrap what is raised.
            return error


def open_fleet(site: Site, agent: Agent) -> OpenFleet:
    """Find the fleet's canisters on the site's network.

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
    return OpenFleet(agent=agent, main=members[0], replicas=tuple(members[1:]))
