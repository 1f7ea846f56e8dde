"""Replicas that follow: told whom, and waited for until they have what the main has."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from icfleet.admin_calls import AdminCaller, Member, admin_call
from icfleet.errors import AttachError, SwitchOverError
from icfleet.fleet import FleetPort
from icfleet.fleet_view import FleetView, look_main_last
from icfleet.member_status import MemberStatus
from icfleet.progress import Progress
from icfleet_protocol.principal import Principal
from icfleet_router.heads import VerifiedHead, find_forks
from icfleet_router.position import Position
from icfleet_router.roles import Role

__all__ = [
    "MemberReport",
    "check_still_main",
    "detach_strays",
    "has_caught_up",
    "join",
    "prove_heads",
    "report_member",
    "share_done",
    "tail_message",
    "wait_until_level",
    "whereabouts",
]

POLL_DELAY_S = 0.25
"""A replica pulls once a second, so this adds little to the wait and little load."""

_SEEDED_SLOTS, _SLOTS = "seeded_slots", "slots"
"""Figures: rows that a replica has taken over, and rows that its upstream has."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MemberReport:
    """Where a member of the fleet stands when all are joined."""

    name: str
    id: str
    epoch: int
    seq: int
    chain_hash: str


async def join(caller: AdminCaller, view: FleetView, replica: Member, upstream: Member) -> None:
    """Let a canister follow another, unless it does already.

    A canister that was a main until now is demoted first. The upstream is told before, so that the
    first pull is answered.

    Raises:
        AttachError: If one of the two refuses.
        AgentError: If the network does not answer.
    """
    status = view.status(replica)
    if replica.id not in view.status(upstream).attached:
        await admin_call(caller, upstream, "attach", replica.id)
    if status.role is Role.MAIN:
        await admin_call(caller, replica, "demote", status.position.epoch)
    is_level = status.position == view.status(upstream).position
    # Following once more does no harm and wakes a replica that has backed off.
    if status.upstream != upstream.id or not is_level:
        await admin_call(caller, replica, "follow", upstream.id)


async def detach_strays(
    caller: AdminCaller, view: FleetView, wanted: Mapping[str, Member]
) -> tuple[str, ...]:
    """Detach members from those whom they do not follow any more.

    A main that has slept asks all who are attached before it decides, so nobody should be whom it
    would wait for in vain.

    Returns:
        Warnings about canisters that are attached and no part of the fleet.
    """
    strangers: dict[Principal, list[str]] = {}
    for member in view.answering:
        for replica in view.status(member).replicas:
            known = view.by_id(replica.id)
            if known is None:
                strangers.setdefault(replica.id, []).append(member.name)
            elif wanted.get(known.name) is not member:
                await admin_call(caller, member, "detach", replica.id)
    return tuple(
        f"{stranger} is attached to {', '.join(names)}, and dfx.json does not name it: "
        f"icfleet detach {stranger}"
        for stranger, names in strangers.items()
    )


async def wait_until_level(
    fleet: FleetPort,
    main: Member,
    replicas: Sequence[Member],
    *,
    timeout_s: float,
    progress: Progress,
) -> FleetView:
    """Wait until every replica has what the main had when the waiting began.

    Raises:
        AttachError: If one has another history, or does not come in time.
        SwitchOverError: If another was made main meanwhile.
        AgentError: If the network does not answer.
    """
    target = await fleet.status(main)
    behind = list(replicas)
    view: FleetView | None = None
    with progress.bar("Waiting for equal positions") as show:
        try:
            async with asyncio.timeout(timeout_s):
                while True:
                    view = await look_main_last(fleet, main)
                    check_still_main(view, main, target)
                    head = view.status(main)
                    statuses = {one.name: view.status(one) for one in replicas}
                    behind = [
                        one
                        for one in replicas
                        if not _is_level(one, statuses[one.name], head, target)
                    ]
                    if not behind:
                        return view
                    show(min(share_done(statuses[one.name], target) for one in behind))
                    await asyncio.sleep(POLL_DELAY_S)
        except TimeoutError:
            raise AttachError(_lag_message(main, behind, view, target, timeout_s)) from None


def check_still_main(view: FleetView, main: Member, status: MemberStatus) -> None:
    """See that nobody else was made main since.

    Args:
        view: What all say now.
        main: Who was made main, or found to be it.
        status: What that one said then, or later.

    Raises:
        SwitchOverError: If another decides in a later epoch.
    """
    latest = view.main
    if latest is None or latest is main:
        return
    at = view.status(latest).position
    if at.epoch > status.position.epoch:
        message = f"{latest.name} was made main meanwhile, at {at}: run 'icfleet status'"
        raise SwitchOverError(message)


def has_caught_up(main: MemberStatus, replica: MemberStatus, target: MemberStatus) -> bool:
    """Whether the replica has reached ``target`` by the main's own history, and can be read.

    Args:
        main: The main, asked no earlier than the replica.
        replica: Who is to catch up, asked after it was told to follow.
        target: The main when the watching began.

    Raises:
        AttachError: If the replica is ahead of main, has another hash at a position known of main,
            or was told by main that they have diverged.
    """
    if replica.position == main.position and replica.chain_hash == main.chain_hash:
        return replica.phase == "Serving"
    at_target = replica.position == target.position
    if (
        replica.is_of_another_history(main)
        or replica.has_diverged
        or (at_target and replica.chain_hash != target.chain_hash)
    ):
        message = f"{whereabouts(replica)} and has another history than the main at {main.position}"
        raise AttachError(message)
    return replica.position >= target.position and replica.phase == "Serving"


def share_done(replica: MemberStatus, target: MemberStatus) -> float:
    """How much of the way a replica has come, from 0 to 1."""
    done, whole = replica.figures.get(_SEEDED_SLOTS, 0), target.figures.get(_SLOTS, 0)
    if replica.phase == "Seeding" and whole > 0:
        return min(1.0, done / whole)
    if target.position.seq == 0:
        return 1.0
    return min(1.0, replica.position.seq / target.position.seq)


def whereabouts(status: MemberStatus) -> str:
    """Say where a member is, and what is the matter with its pulls."""
    why = "" if status.pull_error is None else f" ({status.pull_error})"
    phase = "" if status.phase == "Serving" else f", {status.phase.lower()},"
    return f"is{phase} at {status.position}{why}"


def tail_message(member: Member, status: MemberStatus, main: Member) -> str:
    """Say what to do about a canister that has what the main never had."""
    return (
        f"{member.name} is at {status.position}, with another history than {main.name}: 'icfleet "
        f"export-tail {member.name} --out tail.json' keeps what only it has, then 'icfleet reseed "
        f"{member.name}'"
    )


async def prove_heads(fleet: FleetPort, members: Sequence[Member]) -> Mapping[str, VerifiedHead]:
    """Ask members to prove where they are, and compare what they have proven.

    Raises:
        AttachError: If one does not prove it, or two prove different histories.
    """
    heads = {member.name: await fleet.head(member) for member in members}
    forks = find_forks(heads)
    if forks:
        message = (
            "the canisters have DIVERGED, by their certified heads: "
            f"{'; '.join(str(fork) for fork in forks)}; find out which history is right, and "
            "'icfleet reseed' the canisters of the other"
        )
        raise AttachError(message)
    return heads


def report_member(member: Member, status: MemberStatus) -> MemberReport:
    """Put down where a member is."""
    return MemberReport(
        name=member.name,
        id=str(member.id),
        epoch=status.position.epoch,
        seq=status.position.seq,
        chain_hash=status.chain_hash.hex(),
    )


def _is_level(
    replica: Member, status: MemberStatus, main: MemberStatus, target: MemberStatus
) -> bool:
    try:
        return has_caught_up(main, status, target)
    except AttachError as error:
        message = (
            f"{replica.name} {error}: find out why, then 'icfleet reseed {replica.name}' throws "
            "away what it holds and takes everything over anew"
        )
        raise AttachError(message) from error


def _lag_message(
    main: Member,
    behind: Sequence[Member],
    view: FleetView | None,
    target: MemberStatus,
    timeout_s: float,
) -> str:
    parts: list[str] = []
    for replica in behind:
        answers = view is not None and replica.name in view.statuses
        where = whereabouts(view.status(replica)) if view and answers else "does not answer"
        parts.append(f"{replica.name} {where}")
    at: Position = target.position
    return (
        f"{main.name} was at {at}, and after {timeout_s:g} s {', '.join(parts)}: "
        "wait longer with --timeout, or see 'icfleet status'"
    )
