"""Records of ``icfleet.did``, as Kybra passes them: dicts, bytes and its ``Principal``.

The generated ``main.py`` makes one instance, ``records = FleetRecords(Principal)``, and passes
everything through it that comes in or goes out; nothing else of the library knows Candid.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

from icfleet_canister.application import Application, content_of
from icfleet_canister.batch_applier import PendingOperation, Verdict
from icfleet_canister.change_log import EpochStart
from icfleet_canister.fleet_admin import AdminOutcome
from icfleet_canister.fleet_errors import EncodingError
from icfleet_canister.fleet_rules import UnreadableOperation
from icfleet_canister.fleet_service import FleetService, SubmitOutcome
from icfleet_canister.log_record import ChangeRecord, LogHead, Position, RowChange
from icfleet_canister.member_settings import MemberSettings
from icfleet_canister.principal_text import principal_text
from icfleet_canister.pull_messages import (
    Behind,
    Cursor,
    Diverged,
    LogAnswer,
    LogBatch,
    NotAttached,
    NotReady,
    PageAnswer,
    Reseed,
    StatePage,
    WrongCursor,
)

__all__ = ["FleetRecords"]

Record = Mapping[str, Any]

#: Cases of ``OperationResult`` that carry a time.
_WITH_TIME = ("RateLimited", "Busy")


class PrincipalType(Protocol):
    """Kybra's ``Principal``, which the library does not import."""

    def from_str(self, text: str, /) -> Any:
        """Return a principal."""
        ...


class FleetRecords:
    """All conversions, both ways.

    Args:
        principal_type: ``kybra.Principal``, or whatever stands for it.
    """

    def __init__(self, principal_type: PrincipalType) -> None:
        self._principal: Callable[[str], Any] = principal_type.from_str

    def position(self, position: LogHead | Position) -> dict[str, Any]:
        """Return a ``Position``."""
        return {"epoch": position.epoch, "seq": position.seq}

    def principal_opt(self, principal: str | None) -> Any:
        """Return an ``opt principal`` of a text; nothing for what an upstream's row made up."""
        try:
            return self._principal(principal) if principal else None
        except Exception:  # noqa: BLE001 - Kybra's own type; `status` must tell the rest
            return None

    # The application's methods.

    def pending_operation(self, app: Application, envelope: Record) -> PendingOperation[Any]:
        """Read one of ``submit``'s operations; one that has no encoding is still one."""
        body: Any
        try:
            body = app.parse_operation(envelope["body"])
            content = content_of(body)
        except (EncodingError, ValueError) as error:
            name = next(iter(envelope["body"]), "")
            body, content = UnreadableOperation(name, str(error)), b""
        return PendingOperation(
            operation_id=envelope["id"],
            subject=principal_text(envelope["subject"]),
            created_at_ns=envelope["created_at"],
            body=body,
            content=content,
        )

    def submit_result(self, service: FleetService, outcome: SubmitOutcome) -> dict[str, Any]:
        """Return a ``SubmitResult``."""
        if outcome.case == "NotMain":
            return {"NotMain": self.principal_opt(outcome.main)}
        if outcome.case == "TooLarge":
            return {"TooLarge": outcome.reason}
        results = [self._operation_result(service, verdict) for verdict in outcome.verdicts]
        return {"Done": {"as_of": self.position(service.member.head), "results": results}}

    def cached_view(self, service: FleetService, name: str) -> dict[str, Any] | None:
        """Return an ``opt CachedView``: the content, if it is bytes, else its ``blob``."""
        view, shown = service.view(name)
        if view is None or view.value is None:
            return None
        content = view.value.content
        return {
            "value": content if isinstance(content, bytes) else content.blob,
            "computed_at": view.value.computed_at_ns,
            "expires_at": view.value.expires_at_ns,
            "as_of": self.position(shown),
            "dirty": view.is_dirty,
        }

    # What admins and probes see.

    def admin_result(self, service: FleetService, outcome: AdminOutcome) -> dict[str, Any]:
        """Return an ``AdminResult``."""
        if outcome.case == "Done":
            return {"Done": self.position(service.member.head)}
        if outcome.case == "Forbidden":
            return {"Forbidden": outcome.reason}
        return {"Invalid": {"code": outcome.code, "reason": outcome.reason}}

    def head(self, service: FleetService, certificate: bytes | None) -> dict[str, Any]:
        """Return a ``Head``; ``certificate`` is what ``ic.data_certificate`` returned."""
        head = service.member.head
        return {
            "as_of": self.position(head),
            "chain_hash": head.chain_hash,
            "certificate": certificate,
        }

    def status(
        self, service: FleetService, cycles: int | None, stable_bytes: int | None
    ) -> dict[str, Any]:
        """Return a ``Status``.

        Args:
            service: The canister.
            cycles: The balance; ``None`` for callers whom ``forbids(_, "status", "cycles")``.
            stable_bytes: Size of stable memory; ``None`` for the same callers.
        """
        member = service.member
        replication = member.replication
        upstream_head = replication.upstream_head
        return {
            "role": {"Main": None} if member.is_main else {"Replica": None},
            "phase": {service.phase: None},
            "fenced": member.fence,
            "as_of": self.position(member.head),
            "chain_hash": member.head.chain_hash,
            "log_from": self.position(member.log.base),
            "epochs": self._epochs(member.log.extent.epochs),
            "upstream": self.principal_opt(replication.upstream),
            "upstream_head": None if upstream_head is None else self.position(upstream_head),
            "path": [self._principal(canister) for canister in replication.path],
            "replicas": [
                {
                    "id": self._principal(replica.canister),
                    "seen": {"epoch": replica.epoch, "seq": replica.seq},
                    "seen_at": replica.seen_at_ns,
                }
                for replica in member.replicas.all
            ],
            "main": self.principal_opt(service.main),
            "admins": [self._principal(admin) for admin in service.admins],
            "pulled_at": replication.pulled_at_ns,
            "pull_error": replication.error,
            "settings": member.settings._asdict(),
            "cycles": cycles,
            "stable_bytes": stable_bytes,
            "figures": [{"name": name, "value": value} for name, value in service.figures()],
        }

    def settings(self, record: Record) -> MemberSettings:
        """Read ``Settings``."""
        return MemberSettings(**{name: record[name] for name in MemberSettings._fields})

    # Between canisters.

    def log_head(self, position: Record, chain_hash: bytes) -> LogHead:
        """Read the arguments of ``log_since``."""
        return LogHead(position["epoch"], position["seq"], chain_hash)

    def log_reply(self, answer: LogAnswer) -> dict[str, Any]:
        """Return a ``LogReply``."""
        if isinstance(answer, LogBatch):
            return {
                "Batch": {
                    "base_hash": answer.base_hash,
                    "records": [self._log_record(record) for record in answer.records],
                    "head": self.position(answer.head),
                    "path": [self._principal(canister) for canister in answer.path],
                    "acknowledge": answer.acknowledge,
                }
            }
        if isinstance(answer, NotReady):
            return {"Seeding": None}
        if isinstance(answer, NotAttached):
            return {"NotAttached": None}
        return {type(answer).__name__: self.position(answer.position)}

    def log_answer(self, reply: Record) -> LogAnswer:
        """Read a ``LogReply``."""
        if "Batch" in reply:
            batch = reply["Batch"]
            return LogBatch(
                base_hash=batch["base_hash"],
                records=[_change_record(record) for record in batch["records"]],
                head=_position(batch["head"]),
                path=[principal_text(canister) for canister in batch["path"]],
                acknowledge=batch["acknowledge"],
            )
        if "Reseed" in reply:
            return Reseed(_position(reply["Reseed"]))
        if "Diverged" in reply:
            return Diverged(_position(reply["Diverged"]))
        if "Behind" in reply:
            return Behind(_position(reply["Behind"]))
        return NotReady() if "Seeding" in reply else NotAttached()

    def cursor_opt(self, cursor: Cursor | None) -> dict[str, Any] | None:
        """Return an ``opt Cursor``."""
        if cursor is None:
            return None
        return {"upstream": self._principal(cursor.upstream), "slot": cursor.slot}

    def cursor(self, record: Record | None) -> Cursor | None:
        """Read an ``opt Cursor``."""
        return (
            None if record is None else Cursor(principal_text(record["upstream"]), record["slot"])
        )

    def state_reply(self, answer: PageAnswer) -> dict[str, Any]:
        """Return a ``StateReply``."""
        if isinstance(answer, WrongCursor):
            return {"WrongCursor": answer.reason}
        if isinstance(answer, NotReady):
            return {"Seeding": None}
        if isinstance(answer, NotAttached):
            return {"NotAttached": None}
        return {
            "Page": {
                "as_of": self.position(answer.head),
                "chain_hash": answer.head.chain_hash,
                "taken_at": answer.taken_at_ns,
                "applied": answer.applied,
                "refused": answer.refused,
                "epochs": self._epochs(answer.epochs),
                "rows": _log_rows(answer.rows),
                "end": answer.end,
                "next": self.cursor_opt(answer.next),
            }
        }

    def page_answer(self, reply: Record) -> PageAnswer:
        """Read a ``StateReply``."""
        if "Page" in reply:
            page = reply["Page"]
            epochs = [EpochStart(start["epoch"], start["first_seq"]) for start in page["epochs"]]
            return StatePage(
                head=self.log_head(page["as_of"], page["chain_hash"]),
                taken_at_ns=page["taken_at"],
                applied=page["applied"],
                refused=page["refused"],
                epochs=epochs,
                rows=_row_changes(page["rows"]),
                end=page["end"],
                next=self.cursor(page["next"]),
            )
        if "WrongCursor" in reply:
            return WrongCursor(reply["WrongCursor"])
        return NotReady() if "Seeding" in reply else NotAttached()

    def _operation_result(self, service: FleetService, verdict: Verdict) -> dict[str, Any]:
        case = verdict.case
        if case in ("Applied", "Refused"):
            position = {"epoch": service.epoch_of(verdict.seq), "seq": verdict.seq}
            if case == "Applied":
                return {"Applied": position}
            refusal = {"position": position, "code": verdict.code, "reason": verdict.reason}
            return {"Refused": refusal}
        if case == "Forbidden":
            return {"Forbidden": verdict.reason}
        if case == "Invalid":
            return {"Invalid": {"code": verdict.code, "reason": verdict.reason}}
        return {case: verdict.retry_after_ns if case in _WITH_TIME else None}

    def _epochs(self, epochs: Sequence[EpochStart]) -> list[dict[str, int]]:
        return [{"epoch": start.epoch, "first_seq": start.first_seq} for start in epochs]

    def _log_record(self, record: ChangeRecord) -> dict[str, Any]:
        return {
            "seq": record.seq,
            "subject": self._principal(record.subject),
            "id": record.operation_id,
            "digest": record.digest,
            "created_at": record.created_at_ns,
            "result": record.result,
            "rows": _log_rows(record.rows),
        }


def _position(record: Record) -> Position:
    return Position(record["epoch"], record["seq"])


def _log_rows(rows: Sequence[RowChange]) -> list[dict[str, Any]]:
    return [{"slot": row.slot, "value": row.value} for row in rows]


def _row_changes(rows: Sequence[Record]) -> list[RowChange]:
    return [RowChange(row["slot"], row["value"]) for row in rows]


def _change_record(record: Record) -> ChangeRecord:
    return ChangeRecord(
        seq=record["seq"],
        subject=principal_text(record["subject"]),
        operation_id=record["id"],
        digest=record["digest"],
        created_at_ns=record["created_at"],
        result=record["result"],
        rows=_row_changes(record["rows"]),
    )
