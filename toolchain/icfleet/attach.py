"""Joining replicas to their main: idempotent, verified, and waited for.

A main that was installed, or installed anew, decides nothing until it is opened at an epoch above
all that the fleet has seen; that is done here. Then everybody is told who may pull and whom to
follow, and positions are watched until every replica has what the main had when the watching
began. On a fleet at rest that is equality.

A replica with another history than the main's is not mended by waiting. It shows in a replica that
is ahead of main, in another hash at one position, or in a pull that was answered with ``Diverged``.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from icfleet.admin_calls import AdminCaller, Member, SignerChoice, admin_call
from icfleet.errors import AttachError
from icfleet.fleet import FleetPort, open_administration
from icfleet.fleet_view import FleetView, look, look_main_last
from icfleet.following import (
    MemberReport,
    detach_strays,
    join,
    prove_heads,
    report_member,
    tail_message,
    wait_until_level,
)
from icfleet.member_status import MemberStatus
from icfleet.progress import Progress
from icfleet.role_lines import role_lines
from icfleet.site import Site
from icfleet.upstreams import upstream_order, upstreams_below
from icfleet_protocol.principal import Principal
from icfleet_router.roles import Role

__all__ = [
    "AttachReport",
    "MemberReport",
    "attach_fleet",
    "attach_site",
    "check_roles",
    "open_main",
    "shared_subnets",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class AttachReport:
    """A fleet that has been joined."""

    network: str
    main: MemberReport
    replicas: tuple[MemberReport, ...]
    warnings: tuple[str, ...]


async def attach_site(
    site: Site, choice: SignerChoice, *, timeout_s: float, progress: Progress
) -> AttachReport:
    """Find the fleet's canisters and join them; ids that only icp-cli knows are taken over.

    Raises:
        ProjectError: If a project file is missing or malformed.
        AttachError: See ``attach_fleet``.
        AgentError: If the network does not answer.
    """
    async with open_administration(site, choice) as (fleet, caller):
        return await attach_fleet(
            fleet,
            caller,
            network=site.network.name,
            timeout_s=timeout_s,
            progress=progress,
        )


async def attach_fleet(
    fleet: FleetPort, caller: AdminCaller, *, network: str, timeout_s: float, progress: Progress
) -> AttachReport:
    """Open the main if nobody has yet, join every replica, and wait until it has caught up.

    Args:
        fleet: The canisters.
        caller: Signs as an admin of each.
        network: For the report.
        timeout_s: How long to wait for the positions, in seconds.
        progress: Told about each step.

    Raises:
        AttachError: If a role is wrong, an admin call is refused, histories differ, a head is not
            proven, or the positions do not meet in time.
        AgentError: If the network does not answer.
    """
    await open_main(fleet, caller, progress)
    view = await look_main_last(fleet, fleet.main)
    _check_tails(view, fleet.main)
    wanted = upstreams_below(fleet.main, fleet.members, fleet.upstreams)
    for replica in upstream_order(fleet.main, fleet.members, wanted):
        with progress.step(f"Attaching {replica.name}"):
            await join(caller, view, replica, wanted[replica.name])
    view = await wait_until_level(
        fleet, fleet.main, fleet.replicas, timeout_s=timeout_s, progress=progress
    )
    strangers = await detach_strays(caller, view, wanted)
    with progress.step("Verifying certified heads"):
        await prove_heads(fleet, fleet.members)
    reports = [report_member(member, view.status(member)) for member in fleet.members]
    return AttachReport(
        network=network,
        main=reports[0],
        replicas=tuple(reports[1:]),
        warnings=(*strangers, *shared_subnets(await fleet.subnets())),
    )


async def open_main(fleet: FleetPort, caller: AdminCaller, progress: Progress) -> None:
    """Let a main that was never opened begin to decide, above every epoch that was ever seen.

    Does nothing to one that has been.

    Raises:
        AttachError: If a canister does not answer or has not the role that it should have, or if
            the main was reinstalled while its replicas have kept what they had.
        AgentError: If the network does not answer.
    """
    view = await _stop_old_mains(fleet, caller, progress)
    statuses = {member.name: view.status(member) for member in fleet.members}
    check_roles(fleet, statuses)
    main = statuses[fleet.main.name]
    if not main.is_unopened:
        _check_decides(view, fleet.main)
        return
    _check_not_reinstalled(view, fleet.main)
    with progress.step(f"Opening {fleet.main.name}"):
        await admin_call(caller, fleet.main, "promote", 0, view.highest_epoch + 1)


def check_roles(fleet: FleetPort, statuses: Mapping[str, MemberStatus]) -> None:
    """Compare what the canisters are with what the project's files want them to be.

    Raises:
        AttachError: If one differs.
    """
    main = statuses[fleet.main.name]
    for replica in fleet.replicas:
        status = statuses[replica.name]
        problem = _wrong_main(fleet.main, main, replica, status)
        if status.role is Role.MAIN and problem is not None:
            raise AttachError(problem)
    if main.role is not Role.MAIN:
        if main.position.epoch == 0:
            raise AttachError(_wrong_install(fleet.main, Role.REPLICA, Role.MAIN))
        message = (
            f"nobody is main: {fleet.main.name} was demoted at {main.position}, by a switch-over "
            "that was not finished or by hand; 'icfleet promote NAME' finishes it, with "
            f"{fleet.main.name} or the canister that was to become main"
        )
        raise AttachError(message)


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


async def _stop_old_mains(fleet: FleetPort, caller: AdminCaller, progress: Progress) -> FleetView:
    """Demote mains that another has replaced: what they decide from now on would be lost."""
    view = await look(fleet)
    old = [one for one in view.answering if view.status(one).decides and one is not view.main]
    for member in old:
        with progress.step(f"Demoting {member.name}, which has been replaced"):
            await admin_call(caller, member, "demote", view.status(member).position.epoch)
    return await look(fleet) if old else view


def _check_tails(view: FleetView, main: Member) -> None:
    """See that nobody is to follow who has what the main never had."""
    for member in view.answering:
        status = view.status(member)
        if member is not main and status.has_more_than(view.status(main)):
            raise AttachError(tail_message(member, status, main))


def _check_decides(view: FleetView, main: Member) -> None:
    status = view.status(main)
    if status.decides:
        return
    furthest = view.furthest[0]
    chosen = main if main in view.furthest else furthest
    message = (
        f"{main.name} decides nothing: {status.fenced}; {chosen.name} is furthest, at "
        f"{view.status(chosen).position}: 'icfleet promote {chosen.name}' makes it main"
    )
    raise AttachError(message)


def _check_not_reinstalled(view: FleetView, main: Member) -> None:
    """See that no replica has data of a main that is gone."""
    holding = [
        one for one in view.answering if one is not main and view.status(one).position.epoch >= 1
    ]
    if not holding:
        return
    furthest = next(one for one in view.furthest if one is not main)
    held = ", ".join(f"{one.name} is at {view.status(one).position}" for one in holding)
    message = (
        f"{main.name} was reinstalled: it is empty, and {held}. To go on from there: 'icfleet "
        f"promote {furthest.name}'. To begin anew and throw that away: 'icfleet reseed "
        f"{holding[0].name}'"
    )
    raise AttachError(message)


def _wrong_main(
    main: Member, main_status: MemberStatus, other: Member, status: MemberStatus
) -> str | None:
    """Say what to do about a second main; ``None`` if it is an old one, which can simply follow."""
    if status.position.epoch == 0:
        return _wrong_install(other, Role.MAIN, Role.REPLICA)
    is_later = status.position > main_status.position
    if is_later or (status.decides and not main_status.decides):
        lines = "\n".join(role_lines({main.name: Role.REPLICA, other.name: Role.MAIN}))
        return (
            f"{other.name} ({other.id}) is the main now, at {status.position}, and the project's "
            f"files say {main.name}: put this into pyproject.toml\n{lines}"
        )
    return None


def _wrong_install(member: Member, found: Role, wanted: Role) -> str:
    return (
        f"{member.name} ({member.id}) was installed as {found.value}, and dfx.json wants a "
        f"{wanted.value}: reinstall it with (variant {{ {wanted.value.title()} }}), or "
        "set its role in [tool.icfleet.roles] of pyproject.toml"
    )
