"""Keeping what only an old main has, after another was promoted by force.

The histories of the two begin alike. Where they part is found by their epochs and the chain hash;
every record of the old main after that is written to a file, for people to decide about.
"""

import json
from collections.abc import AsyncGenerator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from icfleet.admin_calls import AdminCaller, Member, admin_call
from icfleet.errors import AttachError, SwitchOverError
from icfleet.fleet import FleetPort
from icfleet.fleet_view import check_is_latest, look, member_named
from icfleet.member_log import LogEntry, MemberLog, position_at
from icfleet.member_status import MemberStatus
from icfleet.progress import Progress
from icfleet_canister.fleet_errors import EncodingError
from icfleet_canister.log_record import decode_epoch, decode_refusal

__all__ = ["TailReport", "common_seq_max", "export_tail", "find_fork"]


@dataclass(frozen=True, slots=True, kw_only=True)
class TailReport:
    """What was written."""

    name: str
    main: str
    fork_epoch: int
    """The last record that both have."""
    fork_seq: int
    count: int
    path: str


async def export_tail(
    fleet: FleetPort, caller: AdminCaller, name: str, out: Path, progress: Progress
) -> TailReport:
    """Write what a canister has and the present main has not.

    A canister that still decides is demoted first, or the tail would grow while it is read.

    Raises:
        SwitchOverError: If the file is there already, there is no main to compare with or a later
            one is silent, or the canister is the main.
        AttachError: If the logs do not reach back to where the histories part.
        AgentError: If the network does not answer.
    """
    _check_is_new(out)
    member = member_named(fleet.members, name)
    view = await look(fleet)
    main = view.main
    if main is None:
        message = "nobody is main, so there is nothing to compare with: see 'icfleet status'"
        raise SwitchOverError(message)
    status = view.status(member)
    if main is member:
        message = f"{name} is the main: what it has is what counts"
        raise SwitchOverError(message)
    check_is_latest(view, main)
    if status.decides:
        with progress.step(f"Demoting {member.name}"):
            await admin_call(caller, member, "demote", status.position.epoch)
        status = await fleet.status(member)
    theirs = MemberLog(caller, member, status)
    ours = MemberLog(caller, main, view.status(main))
    with progress.step("Finding where the histories part"):
        highest = common_seq_max(status, view.status(main))
        fork, chain_hash = await find_fork(theirs, ours, status, highest)
    with progress.step(f"Writing {out}"):
        entries = theirs.records_after(fork, chain_hash)
        count = await _write(out, _heading(member, main, status, fork), entries)
    return TailReport(
        name=member.name,
        main=main.name,
        fork_epoch=position_at(status, fork).epoch,
        fork_seq=fork,
        count=count,
        path=str(out),
    )


def common_seq_max(one: MemberStatus, other: MemberStatus) -> int:
    """The last seq that two histories can have in common, by the epochs that they know of."""
    highest = min(one.position.seq, other.position.seq)
    mine = {start.first_seq: start.epoch for start in one.epochs}
    theirs = {start.first_seq: start.epoch for start in other.epochs}
    oldest = max(min(mine, default=0), min(theirs, default=0))
    for seq in sorted({*mine, *theirs}):
        # Both remember 64 epochs; what one of them has forgotten says nothing.
        if seq >= oldest and mine.get(seq) != theirs.get(seq):
            return min(highest, seq - 1)
    return highest


async def find_fork(
    one: MemberLog, other: MemberLog, status: MemberStatus, highest: int
) -> tuple[int, bytes]:
    """Find the last seq at which two logs have the same hash, at most ``highest``; and the hash.

    Raises:
        AttachError: If one of them has not kept its log back to there.
        AgentError: If the network does not answer.
    """

    async def common(seq: int) -> bytes | None:
        mine, theirs = await one.hash_at(seq), await other.hash_at(seq)
        if mine is None or theirs is None:
            message = (
                f"the logs do not reach back to {seq}, where the histories part or before: they "
                "keep log_pages_max pages of at least 25 minutes"
            )
            raise AttachError(message)
        return mine if mine == theirs else None

    found = await common(highest)
    if found is not None:
        return highest, found
    low = status.log_from.seq
    found = await common(low)
    if found is None:
        message = f"the histories part before {low}, where the log begins"
        raise AttachError(message)
    high = highest
    while high - low > 1:
        middle = (low + high) // 2
        shared = await common(middle)
        if shared is None:
            high = middle
        else:
            low, found = middle, shared
    return low, found


def _check_is_new(out: Path) -> None:
    """See that nothing is overwritten: it may be the only copy of an earlier tail."""
    if out.exists():
        message = f"{out} is there already: choose another name"
        raise SwitchOverError(message)


def _heading(member: Member, main: Member, status: MemberStatus, fork: int) -> dict[str, Any]:
    at = position_at(status, fork)
    return {
        "canister": str(member.id),
        "name": member.name,
        "main": str(main.id),
        "fork": {"epoch": at.epoch, "seq": at.seq},
        "head": {
            "epoch": status.position.epoch,
            "seq": status.position.seq,
            "chain_hash": status.chain_hash.hex(),
        },
    }


async def _write(out: Path, heading: dict[str, Any], entries: AsyncGenerator[LogEntry]) -> int:
    """Write record by record, as they come: a tail may be larger than memory."""
    count = 0
    draft = out.with_name(f".{out.name}.draft")
    try:
        with draft.open("w", encoding="utf-8") as file:
            file.write(json.dumps(heading, indent=1)[:-2] + ',\n "records": [')
            async for entry in entries:
                line = json.dumps(_as_json(entry), ensure_ascii=False)
                file.write(("" if count == 0 else ",") + f"\n  {line}")
                count += 1
            file.write(f'\n ],\n "count": {count}\n}}\n')
        draft.replace(out)
    except OSError as error:
        message = f"cannot write {out}: {error.strerror}"
        raise AttachError(message) from error
    finally:
        draft.unlink(missing_ok=True)
    return count


def _as_json(entry: LogEntry) -> dict[str, Any]:
    record = entry.record
    return {
        "epoch": entry.position.epoch,
        "seq": entry.position.seq,
        "subject": record.subject,
        "id": record.operation_id.hex(),
        "digest": record.digest.hex(),
        "created_at": record.created_at_ns,
        "result": _result_as_json(record.result),
        "rows": [
            {"slot": row.slot, "value": None if row.value is None else row.value.hex()}
            for row in record.rows
        ],
    }


def _result_as_json(result: bytes) -> dict[str, Any]:
    try:
        epoch = decode_epoch(result)
        refusal = None if epoch is not None else decode_refusal(result)
    except EncodingError:
        # Of a later version: kept as it is, rather than not at all.
        return {"other": result.hex()}
    if epoch is not None:
        return {"epoch_begins": epoch}
    if refusal is None:
        return {"applied": True}
    code, reason = refusal
    return {"refused": {"code": code, "reason": reason}}
