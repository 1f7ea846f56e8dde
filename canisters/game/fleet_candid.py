"""Records of the fleet's interface, as Kybra passes them: dicts, bytes and its ``Principal``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from game_service import AdminOutcome, Game
from kybra import Principal

from icfleet_canister import ChangeRecord, LogHead, PullAnswer, RowChange, Verdict

__all__ = [
    "admin_variant",
    "batch_record",
    "position_record",
    "principal_opt",
    "pull_answer",
    "status_record",
    "verdict_variant",
]

#: Cases of ``OperationResult`` that carry a text, and those that carry a time.
_WITH_REASON = ("Forbidden", "Invalid")
_WITH_TIME = ("RateLimited", "Busy")


def position_record(epoch: int, seq: int) -> dict[str, Any]:
    """Return a ``Position``."""
    return {"epoch": epoch, "seq": seq}


def principal_opt(principal: str | None) -> Principal | None:
    """Return an ``opt principal`` of a text."""
    return Principal.from_str(principal) if principal else None


def verdict_variant(verdict: Verdict, epoch: int) -> dict[str, Any]:
    """Return an ``OperationResult``."""
    position = position_record(epoch, verdict.seq)
    if verdict.case == "Applied":
        return {"Applied": position}
    if verdict.case == "Refused":
        refusal = {"position": position, "code": verdict.code, "reason": verdict.reason}
        return {"Refused": refusal}
    if verdict.case in _WITH_REASON:
        return {verdict.case: verdict.reason}
    if verdict.case in _WITH_TIME:
        return {verdict.case: verdict.retry_after_ns}
    return {verdict.case: None}


def admin_variant(outcome: AdminOutcome, head: LogHead) -> dict[str, Any]:
    """Return an ``AdminResult``."""
    if outcome.case == "Done":
        return {"Done": position_record(head.epoch, head.seq)}
    return {outcome.case: outcome.reason}


def batch_record(answer: PullAnswer) -> dict[str, Any]:
    """Return a ``LogBatch``."""
    return {
        "epoch": answer.epoch,
        "base_hash": answer.base_hash,
        "records": [_log_record(record) for record in answer.records],
    }


def pull_answer(batch: Mapping[str, Any]) -> PullAnswer:
    """Read a ``LogBatch``."""
    records = [_change_record(record) for record in batch["records"]]
    return PullAnswer(batch["epoch"], batch["base_hash"], records)


def status_record(game: Game, canister: str, cycles: int | None) -> dict[str, Any]:
    """Return a ``Status``; ``cycles`` only for callers that may know."""
    member = game.member
    main = canister if member.is_main else game.ledger.main
    return {
        "role": {"Main": None} if member.is_main else {"Replica": None},
        "as_of": position_record(member.head.epoch, member.head.seq),
        "chain_hash": member.head.chain_hash,
        "upstream": principal_opt(member.replication.upstream),
        "replicas": [
            {
                "id": Principal.from_str(replica.canister),
                "seen": position_record(replica.epoch, replica.seq),
                "seen_at": replica.seen_at_ns,
            }
            for replica in member.replicas.all
        ],
        "main": principal_opt(main),
        "pulled_at": member.replication.pulled_at_ns,
        "pull_error": member.replication.error,
        "cycles": cycles,
        "figures": [{"name": name, "value": value} for name, value in game.figures()],
    }


def _log_record(record: ChangeRecord) -> dict[str, Any]:
    return {
        "seq": record.seq,
        "subject": Principal.from_str(record.subject),
        "id": record.operation_id,
        "digest": record.digest,
        "created_at": record.created_at_ns,
        "result": record.result,
        "rows": [{"slot": row.slot, "value": row.value} for row in record.rows],
    }


def _change_record(record: Mapping[str, Any]) -> ChangeRecord:
    rows: Sequence[Mapping[str, Any]] = record["rows"]
    return ChangeRecord(
        seq=record["seq"],
        subject=record["subject"].to_str(),
        operation_id=record["id"],
        digest=record["digest"],
        created_at_ns=record["created_at"],
        result=record["result"],
        rows=[RowChange(row["slot"], row["value"]) for row in rows],
    )
