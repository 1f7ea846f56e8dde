"""Joining replicas to their main: idempotent, verified, and waited for.

The main is told who may pull, each replica whom to follow; then positions are watched until every
replica has what the main had when the watching began. On a fleet at rest that is equality.

A main that was reinstalled has another history than its replicas, and waiting does not mend that.
It shows in a replica that is ahead of main, in another hash at one position, or in a pull that the
main answered with ``Diverged``.
"""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol, cast

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
from icfleet.errors import AttachError
from icfleet.fleet import open_fleet
from icfleet.member_status import MemberStatus
from icfleet.progress import Progress
from icfleet.site import Site
from icfleet_agent.errors import RejectedError
from icfleet_protocol.identity import AnonymousIdentity
from icfleet_protocol.principal import Principal
from icfleet_router.position import Position
from icfleet_router.roles import Role

__all__ = [
    "AttachReport",
    "MemberReport",
    "admin_call",
    "attach_fleet",
    "attach_site",
    "check_roles",
    "has_caught_up",
    "shared_subnets",
]

_POLL_DELAY_S = 0.25
"""A replica pulls once a second, so this adds little to the wait and little load."""


_WHO_MAY = (
    "only an admin of the canister may (first of all whoever installed it): --identity KEY.pem, or "
    "--signer dfx or icp"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class MemberReport:
    """Where a member of the fleet stands when all are joined."""

    name: str
    id: str
    epoch: int
    seq: int
    chain_hash: str


@dataclass(frozen=True, slots=True, kw_only=True)
class AttachReport:
    """A fleet that has been joined."""

    network: str
    main: MemberReport
    replicas: tuple[MemberReport, ...]
    warnings: tuple[str, ...]


class FleetPort(Protocol):
    """What joining needs of the fleet; ``OpenFleet`` has it."""

    @property
    def main(self) -> Member:
        """The canister that decides."""
        ...

    @property
    def replicas(self) -> tuple[Member, ...]:
        """The canisters that follow."""
        ...

    async def status(self, member: Member) -> MemberStatus:
        """Ask one member."""
        ...

    async def statuses(self) -> Mapping[str, MemberStatus]:
        """Ask all members, by name."""
        ...

    async def subnets(self) -> Mapping[str, Principal]:
        """Tell each member's subnet, by name."""
        ...


async def attach_site(
    site: Site, choice: SignerChoice, *, timeout_s: float, progress: Progress
) -> AttachReport:
    """Find the fleet's canisters and join them; ids that only icp-cli knows are taken over.

    Raises:
        ProjectError: If a project file is missing or malformed.
        AttachError: See ``attach_fleet``.
        AgentError: If the network does not answer.
    """
    adopt_icp_ids(site.project, site.network, is_current=choice.signer is Signer.ICP)
    is_ours = choice.signer is Signer.KEY
    identity = site.admin(choice.key) if is_ours else AnonymousIdentity()
    async with open_agent(site, identity) as agent:
        caller: AdminCaller = KeyCaller(agent)
        if not is_ours:
            caller = ToolCaller(choice.signer, site.network.name, site.project.root)
        return await attach_fleet(
            open_fleet(site, agent),
            caller,
            network=site.network.name,
            timeout_s=timeout_s,
            progress=progress,
        )


async def attach_fleet(
    fleet: FleetPort, caller: AdminCaller, *, network: str, timeout_s: float, progress: Progress
) -> AttachReport:
    """Join every replica to the main, unless it is already, and wait until it has caught up.

    Args:
        fleet: The canisters.
        caller: Signs as an admin of each.
        network: For the report.
        timeout_s: How long to wait for the positions, in seconds.
        progress: Told about each step.

    Raises:
        AttachError: If a role is wrong, an admin call is refused, histories differ, or the
            positions do not meet in time.
        AgentError: If the network does not answer.
    """
    statuses = await fleet.statuses()
    check_roles(fleet.main, fleet.replicas, statuses)
    for replica in fleet.replicas:
        with progress.step(f"Attaching {replica.name}"):
            await _join(fleet, caller, replica, statuses)
    with progress.step("Waiting for equal positions"):
        statuses = await _wait_until_level(fleet, timeout_s)
    reports = [_report(member, statuses[member.name]) for member in (fleet.main, *fleet.replicas)]
    return AttachReport(
        network=network,
        main=reports[0],
        replicas=tuple(reports[1:]),
        warnings=shared_subnets(await fleet.subnets()),
    )


async def admin_call(caller: AdminCaller, member: Member, method: str, *args: object) -> None:
    """Make a call that answers ``AdminResult``.

    Raises:
        AttachError: If the canister refuses; the message says what to do.
        AgentError: If the network does not answer.
    """
    try:
        answer = await caller.call(member, method, *args)
    except RejectedError as error:
        # Strangers may be turned away before the method itself could say so.
        message = f"{member.name} refuses {method}: {error.reject_message}; {_WHO_MAY}"
        raise AttachError(message) from error
    match cast("Mapping[str, object]", answer):
        case {"Done": _}:
            return
        case {"Forbidden": reason}:
            message = f"{member.name} refuses {method}: {reason}; {_WHO_MAY}"
        case {"Invalid": reason}:
            message = f"{member.name} refuses {method}: {reason}"
        case _:
            message = f"{member.name} answers {method} with something that icfleet.did does not say"
    raise AttachError(message)


def check_roles(
    main: Member, replicas: Sequence[Member], statuses: Mapping[str, MemberStatus]
) -> None:
    """Compare what the canisters are with what dfx.json wants them to be.

    Raises:
        AttachError: If one differs.
    """
    for member in (main, *replicas):
        wanted = Role.MAIN if member is main else Role.REPLICA
        found = statuses[member.name].role
        if found is not wanted:
            message = (
                f"{member.name} ({member.id}) was installed as {found.value}, and dfx.json wants a "
                f"{wanted.value}: reinstall it with (variant {{ {wanted.value.title()} }}), or "
                "set its role in [tool.icfleet.roles] of pyproject.toml"
            )
            raise AttachError(message)


def has_caught_up(main: MemberStatus, replica: MemberStatus, target: MemberStatus) -> bool:
    """Whether the replica has reached ``target`` by the main's own history.

    Args:
        main: The main, asked no earlier than the replica.
        replica: Who is to catch up, asked after it was told to follow.
        target: The main when the watching began.

    Raises:
        AttachError: If the replica is ahead of main, has another hash at a position known of main,
            or was told by main that they have diverged.
    """
    if replica.position == main.position and replica.chain_hash == main.chain_hash:
        return True
    at_target = replica.position == target.position
    if (
        replica.is_of_another_history(main)
        or replica.has_diverged
        or (at_target and replica.chain_hash != target.chain_hash)
    ):
        message = (
            f"{_whereabouts(replica)} and has another history than the main at {main.position}: "
            "reinstall it empty"
        )
        raise AttachError(message)
    return replica.position >= target.position


def shared_subnets(subnets: Mapping[str, Principal]) -> tuple[str, ...]:
    """Warn of each subnet that hosts several members.

    In one subnet a second canister at most doubles read capacity and a third adds nothing.
    """
    tenants: dict[Principal, list[str]] = {}
    for name, subnet in subnets.items():
        tenants.setdefault(subnet, []).append(name)
    return tuple(
        f"{', '.join(names)} share subnet {subnet}: replicas add most capacity in subnets of their "
        "own"
        for subnet, names in tenants.items()
        if len(names) > 1
    )


async def _join(
    fleet: FleetPort,
    caller: AdminCaller,
    replica: Member,
    statuses: Mapping[str, MemberStatus],
) -> None:
    main = fleet.main
    if replica.id not in statuses[main.name].replicas:
        await admin_call(caller, main, "attach", replica.id)
    # Following once more does no harm and wakes a replica that has backed off.
    if (
        statuses[replica.name].upstream != main.id
        or statuses[replica.name].position != statuses[main.name].position
    ):
        await admin_call(caller, replica, "follow", main.id)


async def _wait_until_level(fleet: FleetPort, timeout_s: float) -> Mapping[str, MemberStatus]:
    target = await fleet.status(fleet.main)
    statuses: Mapping[str, MemberStatus] = {}
    behind: Sequence[Member] = fleet.replicas
    try:
        async with asyncio.timeout(timeout_s):
            while True:
                statuses = await _statuses_main_last(fleet)
                behind = [
                    one for one in fleet.replicas if not _is_level(fleet, one, statuses, target)
                ]
                if not behind:
                    return statuses
                await asyncio.sleep(_POLL_DELAY_S)
    except TimeoutError:
        raise AttachError(_lag_message(behind, statuses, target.position, timeout_s)) from None


async def _statuses_main_last(fleet: FleetPort) -> Mapping[str, MemberStatus]:
    """Ask all, and main once more if a replica seems ahead: it may have answered before a write."""
    statuses = await fleet.statuses()
    main = statuses[fleet.main.name]
    if all(statuses[one.name].position <= main.position for one in fleet.replicas):
        return statuses
    return {**statuses, fleet.main.name: await fleet.status(fleet.main)}


def _is_level(
    fleet: FleetPort, replica: Member, statuses: Mapping[str, MemberStatus], target: MemberStatus
) -> bool:
    try:
        return has_caught_up(statuses[fleet.main.name], statuses[replica.name], target)
    except AttachError as error:
        message = f"{replica.name} {error}"
        raise AttachError(message) from error


def _lag_message(
    behind: Sequence[Member],
    statuses: Mapping[str, MemberStatus],
    target: Position,
    timeout_s: float,
) -> str:
    parts: list[str] = []
    for replica in behind:
        status = statuses.get(replica.name)
        where = "does not answer" if status is None else _whereabouts(status)
        parts.append(f"{replica.name} {where}")
    return (
        f"main was at {target}, and after {timeout_s:g} s {', '.join(parts)}: "
        "wait longer with --timeout, or see 'icfleet status'"
    )


def _whereabouts(status: MemberStatus) -> str:
    why = "" if status.pull_error is None else f" ({status.pull_error})"
    return f"is at {status.position}{why}"


def _report(member: Member, status: MemberStatus) -> MemberReport:
    return MemberReport(
        name=member.name,
        id=str(member.id),
        epoch=status.position.epoch,
        seq=status.position.seq,
        chain_hash=status.chain_hash.hex(),
    )
