"""The fleet at a glance: role, position, lag, history and cycles of each canister."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from icfleet.connection import open_agent
from icfleet.errors import AttachError
from icfleet.fleet import OpenFleet, open_fleet
from icfleet.member_status import MemberStatus
from icfleet.site import Site

__all__ = ["CanisterLine", "FleetReport", "fleet_report", "report_site"]


@dataclass(frozen=True, slots=True, kw_only=True)
class CanisterLine:
    """One canister; what it did not tell is ``None``."""

    name: str
    id: str
    role: str | None = None
    epoch: int | None = None
    seq: int | None = None
    lag: int | None = None
    """Operations behind main; ``None`` when the histories differ or main does not answer."""
    chain_hash: str | None = None
    cycles: int | None = None
    error: str | None = None
    """Why it does not answer, why its last pull failed, or that its history is not main's."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FleetReport:
    """All canisters of a fleet, main first."""

    network: str
    url: str
    canisters: tuple[CanisterLine, ...]
    is_complete: bool
    """Whether every canister answered."""


async def report_site(site: Site, key: Path | None) -> FleetReport:
    """Find the fleet's canisters and ask them.

    Raises:
        ProjectError: If a project file is missing or malformed.
        AttachError: If a canister's interface is not that of a fleet's member.
    """
    async with open_agent(site, site.caller(key)) as agent:
        fleet = open_fleet(site, agent)
        return await fleet_report(fleet, network=site.network.name, url=site.network.host)


async def fleet_report(fleet: OpenFleet, *, network: str, url: str) -> FleetReport:
    """Ask every canister; one that does not answer gets a line all the same."""
    answers = await fleet.answers()
    head = await _main_after(fleet, answers)
    if head is not None:
        answers[fleet.main.name] = head
    return FleetReport(
        network=network,
        url=url,
        canisters=tuple(
            canister_line(member.name, str(member.id), answers[member.name], head)
            for member in fleet.members
        ),
        is_complete=not any(isinstance(answer, AttachError) for answer in answers.values()),
    )


def canister_line(
    name: str, canister: str, answer: MemberStatus | AttachError, main: MemberStatus | None
) -> CanisterLine:
    """Put one canister's answer into a line."""
    if isinstance(answer, AttachError):
        return CanisterLine(name=name, id=canister, error=str(answer))
    position = answer.position
    lag = None
    error = answer.pull_error
    if main is not None and answer.is_of_another_history(main):
        error = error or f"has another history than the main at {main.position}"
    elif main is not None and main.position.epoch == position.epoch:
        lag = main.position.seq - position.seq
    return CanisterLine(
        name=name,
        id=canister,
        role=answer.role.value,
        epoch=position.epoch,
        seq=position.seq,
        lag=lag,
        chain_hash=answer.chain_hash.hex(),
        cycles=answer.cycles,
        error=error,
    )


async def _main_after(
    fleet: OpenFleet, answers: Mapping[str, MemberStatus | AttachError]
) -> MemberStatus | None:
    """Main's answer, asked for anew if a replica seems ahead: writes go on while all are asked."""
    main = answers[fleet.main.name]
    if isinstance(main, AttachError):
        return None
    known = [one for one in answers.values() if not isinstance(one, AttachError)]
    if all(one.position <= main.position for one in known):
        return main
    try:
        return await fleet.status(fleet.main)
    except AttachError:
        return None
