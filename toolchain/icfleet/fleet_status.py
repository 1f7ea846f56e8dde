"""The fleet at a glance: what each canister says of itself, and what of it is proven.

Heads and controllers are certified; the rest is one node's word, as a query is.
"""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from icfleet.admin_calls import Member
from icfleet.connection import open_agent
from icfleet.errors import AttachError
from icfleet.fleet import Control, FleetPort, open_fleet
from icfleet.fleet_view import FleetView, look_main_last
from icfleet.member_status import MemberStatus
from icfleet.site import Site
from icfleet_agent.errors import NotSentError
from icfleet_protocol.principal import Principal
from icfleet_router.heads import VerifiedHead, find_forks
from icfleet_router.roles import Role

__all__ = [
    "CanisterLine",
    "FleetReport",
    "StatusPort",
    "canister_line",
    "fleet_report",
    "report_site",
]


class StatusPort(FleetPort, Protocol):
    """What the report needs of a fleet."""

    async def control(self, member: Member) -> Control:
        """Tell who may manage a member."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class CanisterLine:
    """One canister; what it did not tell is ``None``, or empty."""

    name: str
    id: str
    role: str | None = None
    phase: str | None = None
    fenced: str | None = None
    """Why a main decides nothing."""
    epoch: int | None = None
    seq: int | None = None
    lag: int | None = None
    """Operations behind main; ``None`` when the histories differ or main does not answer."""
    lag_s: float | None = None
    """Seconds since a replica last heard from its upstream: how old its data may be."""
    chain_hash: str | None = None
    is_verified: bool | None = None
    """Whether it has proven a head; ``None`` if it does not answer at all."""
    upstream: str | None = None
    """Whom it follows, by name if that is in the fleet."""
    path: tuple[str, ...] = ()
    """By whom its records come, up to the main."""
    replicas: tuple[dict[str, Any], ...] = ()
    """Who may pull from it, and what they last acknowledged."""
    admins: tuple[str, ...] = ()
    controllers: tuple[str, ...] = ()
    """Who may manage the canister, and so replace its code; certified."""
    settings: Mapping[str, int] = field(default_factory=dict[str, int])
    epochs: tuple[dict[str, int], ...] = ()
    log_from: dict[str, int] | None = None
    figures: Mapping[str, int] = field(default_factory=dict[str, int])
    cycles: int | None = None
    stable_bytes: int | None = None
    error: str | None = None
    """What is wrong with it, in a sentence."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FleetReport:
    """All canisters of a fleet, in the project's order."""

    network: str
    url: str
    canisters: tuple[CanisterLine, ...]
    is_complete: bool
    """Whether every canister answered."""
    main: str | None = None
    """Who takes writes; ``None`` if nobody does."""
    divergences: tuple[str, ...] = ()
    """Positions at which canisters have proven different histories."""


@dataclass(frozen=True, slots=True)
class _Proofs:
    """What of a canister is certified; an error says why it is not."""

    head: VerifiedHead | AttachError
    control: Control | AttachError


async def report_site(site: Site, key: Path | None) -> FleetReport:
    """Find the fleet's canisters and ask them.

    Raises:
        ProjectError: If a project file is missing or malformed.
        AttachError: If a canister's interface is not that of a fleet's member.
    """
    async with open_agent(site, site.caller(key)) as agent:
        fleet = open_fleet(site, agent)
        return await fleet_report(fleet, network=site.network.name, url=site.network.host)


async def fleet_report(fleet: StatusPort, *, network: str, url: str) -> FleetReport:
    """Ask every canister; one that does not answer gets a line all the same.

    Raises:
        NotSentError: If nobody is at the network's address at all.
    """
    view = await look_main_last(fleet)
    async with asyncio.TaskGroup() as tasks:
        asked = {one.name: tasks.create_task(_prove(fleet, one)) for one in view.answering}
    proofs = {name: task.result() for name, task in asked.items()}
    heads = {name: one.head for name, one in proofs.items() if isinstance(one.head, VerifiedHead)}
    main = view.main
    return FleetReport(
        network=network,
        url=url,
        canisters=tuple(
            canister_line(member, view, _reference(fleet, view), proofs.get(member.name))
            for member in fleet.members
        ),
        is_complete=not view.silent,
        main=None if main is None else main.name,
        divergences=tuple(str(fork) for fork in find_forks(heads)),
    )


def canister_line(
    member: Member, view: FleetView, main: Member | None, proofs: _Proofs | None
) -> CanisterLine:
    """Put what is known of one canister into a line.

    Args:
        member: Which.
        view: What all said.
        main: Whom to compare with, if that one answered.
        proofs: What of it is certified.
    """
    if member.name in view.silent:
        return CanisterLine(
            name=member.name, id=str(member.id), error=str(view.silent[member.name])
        )
    assert proofs is not None, member.name
    status = view.status(member)
    control = proofs.control
    is_replica = status.role is Role.REPLICA
    lag_s: float | None = None
    if is_replica and status.pulled_at_ns > 0 and isinstance(control, Control):
        lag_s = max(0.0, (control.certified_at_ns - status.pulled_at_ns) / 1e9)
    return CanisterLine(
        name=member.name,
        id=str(member.id),
        role=status.role.value,
        phase=status.phase,
        fenced=status.fenced,
        epoch=status.position.epoch,
        seq=status.position.seq,
        lag=None if main is None else _lag(status, view.status(main)),
        lag_s=lag_s,
        chain_hash=status.chain_hash.hex(),
        is_verified=isinstance(proofs.head, VerifiedHead),
        upstream=None if status.upstream is None else _name(view, status.upstream),
        path=tuple(_name(view, one) for one in status.path),
        replicas=tuple(
            {"name": _name(view, one.id), "epoch": one.seen.epoch, "seq": one.seen.seq}
            for one in status.replicas
        ),
        admins=tuple(str(one) for one in status.admins),
        controllers=tuple(str(one) for one in control.controllers)
        if isinstance(control, Control)
        else (),
        settings=status.settings,
        epochs=tuple({"epoch": one.epoch, "first_seq": one.first_seq} for one in status.epochs),
        log_from={"epoch": status.log_from.epoch, "seq": status.log_from.seq},
        figures=status.figures,
        cycles=status.cycles,
        stable_bytes=status.stable_bytes,
        error="; ".join(_problems(member, view, main, proofs)) or None,
    )


def _problems(member: Member, view: FleetView, main: Member | None, proofs: _Proofs) -> list[str]:
    status = view.status(member)
    problems: list[str] = []
    if status.fenced is not None:
        problems.append(f"decides nothing: {status.fenced}")
    if status.pull_error is not None:
        problems.append(status.pull_error)
    if main is not None and main is not member:
        head = view.status(main)
        if status.decides:
            problems.append(f"still takes writes, though {main.name} is a later main")
        if status.has_more_than(head) or status.is_of_another_history(head):
            problems.append(f"has another history than the main at {head.position}")
    problems += [str(one) for one in (proofs.head, proofs.control) if isinstance(one, AttachError)]
    return problems


def _lag(status: MemberStatus, main: MemberStatus) -> int | None:
    if status.is_of_another_history(main) or status.has_more_than(main):
        return None
    return main.position.seq - status.position.seq


def _reference(fleet: StatusPort, view: FleetView) -> Member | None:
    """Whom the others are compared with: who takes writes, else whom the project calls main."""
    if view.main is not None:
        return view.main
    return fleet.main if fleet.main.name in view.statuses else None


async def _prove(fleet: StatusPort, member: Member) -> _Proofs:
    head: VerifiedHead | AttachError
    control: Control | AttachError
    # Returned, because a task group would wrap what is raised.
    try:
        head = await fleet.head(member)
    except (AttachError, NotSentError) as error:
        head = AttachError(str(error))
    try:
        control = await fleet.control(member)
    except (AttachError, NotSentError) as error:
        control = AttachError(str(error))
    return _Proofs(head, control)


def _name(view: FleetView, canister: Principal) -> str:
    known = view.by_id(canister)
    return str(canister) if known is None else known.name
