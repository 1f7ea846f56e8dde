"""What the management canister tells about a canister: status, metrics, logs, history.

Source: IC interface specification, "IC method canister_status" and the sections after it.
"""

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any, cast, get_args

from icfleet_localnet.canister import Canister, CyclesUse
from icfleet_localnet.canister_history import Change, ChangeOrigin
from icfleet_localnet.canister_log import LogRecord
from icfleet_localnet.fees import FeeSchedule
from icfleet_localnet.management.settings import show_settings
from icfleet_localnet.rejects import CANISTER_REJECT, Reject, logs_hidden
from icfleet_protocol.principal import Principal

__all__ = ["show_info", "show_logs", "show_metadata", "show_metrics", "show_status"]


def show_status(canister: Canister, fees: FeeSchedule) -> dict[str, object]:
    """Return the ``canister_status_result`` record; clients decode every field of it."""
    memory = canister.memory
    settings = canister.settings
    return {
        "status": {canister.status: None},
        "ready_for_migration": canister.status == "stopped",
        "version": canister.version,
        "settings": show_settings(settings),
        "module_hash": None if canister.module is None else canister.module.sha256,
        "memory_size": memory.total,
        "memory_metrics": asdict(memory),
        "cycles": canister.cycles,
        "reserved_cycles": 0,
        "idle_cycles_burned_per_day": fees.idle_burn_per_day(
            memory_bytes=max(memory.total, settings.memory_allocation),
            compute_percent=settings.compute_allocation,
        ),
        "query_stats": asdict(canister.query_stats),
    }


def show_metrics(canister: Canister) -> dict[str, object]:
    """Return what the canister's cycles went into."""
    uses: tuple[CyclesUse, ...] = get_args(CyclesUse)
    return {"cycles_consumed": {use: canister.consumed[use] for use in uses}}


def show_logs(
    canister: Canister, caller: Principal, fields: Mapping[str, Any]
) -> dict[str, object] | Reject:
    """Return the log's records, if the caller may see them."""
    visibility = canister.settings.log_visibility
    if not (canister.is_controlled_by(caller) or visibility.includes(caller)):
        return logs_hidden(caller)
    records = [
        {
            "idx": record.index,
            "timestamp_nanos": record.line.time_ns,
            "content": record.content,
        }
        for record in canister.log.records
        if _is_wanted(record, cast("Mapping[str, Any] | None", fields["filter"]))
    ]
    return {"canister_log_records": records}


def _is_wanted(record: LogRecord, filtered: Mapping[str, Any] | None) -> bool:
    if filtered is None:
        return True
    ((kind, span),) = filtered.items()
    key = record.index if kind == "by_idx" else record.line.time_ns
    return bool(span["start"] <= key < span["end"])


def show_info(canister: Canister, fields: Mapping[str, Any]) -> dict[str, object]:
    """Return the canister's history, as much of it as is asked for."""
    count = cast("int | None", fields["num_requested_changes"]) or 0
    return {
        "total_num_changes": canister.history.total,
        "recent_changes": [_show_change(change) for change in canister.history.newest(count)],
        "module_hash": None if canister.module is None else canister.module.sha256,
        "controllers": list(canister.settings.controllers),
    }


def _show_change(change: Change) -> dict[str, object]:
    return {
        "timestamp_nanos": change.time_ns,
        "canister_version": change.canister_version,
        "origin": _show_origin(change.origin),
        "details": {change.kind: change.content},
    }


def _show_origin(origin: ChangeOrigin) -> dict[str, object]:
    if not origin.is_canister:
        return {"from_user": {"user_id": origin.caller}}
    named = {"canister_id": origin.caller, "canister_version": origin.canister_version}
    return {"from_canister": named}


def show_metadata(
    canister: Canister, caller: Principal, fields: Mapping[str, Any]
) -> dict[str, object] | Reject:
    """Return one piece of the module's metadata; what is private, to controllers only."""
    name = cast("str", fields["name"])
    found = None if canister.module is None else canister.module.metadata.get(name)
    if found is None or not (found.is_public or canister.is_controlled_by(caller)):
        reason = f"The canister {canister.id} has no metadata section with the name {name}."
        return Reject(CANISTER_REJECT, reason, "IC0406")
    return {"value": found.content}
