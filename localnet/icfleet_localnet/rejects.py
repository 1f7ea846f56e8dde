"""Rejections: codes, and the sentences that real clients match on.

Source: IC interface specification, "Reject codes"; dfinity/ic ``rs/types/error_types`` for the
error codes and their wording.
"""

from dataclasses import dataclass

from icfleet_localnet.executor import Trap
from icfleet_protocol.principal import Principal

__all__ = [
    "CANISTER_ERROR",
    "CANISTER_REJECT",
    "DESTINATION_INVALID",
    "SYS_FATAL",
    "SYS_TRANSIENT",
    "Reject",
    "canister_exists",
    "canister_rejected",
    "canister_trapped",
    "cannot_delete_itself",
    "chunk_store_error",
    "composite_query_refused",
    "did_not_reply",
    "id_not_hosted",
    "inert_code",
    "inspect_refused",
    "insufficient_cycles_for_allocation",
    "insufficient_cycles_to_create",
    "invalid_module",
    "invalid_payload",
    "invalid_upgrade_option",
    "logs_hidden",
    "method_not_found",
    "no_such_canister",
    "no_such_management_method",
    "no_such_query",
    "no_wasm_module",
    "not_controller",
    "not_empty",
    "not_replicated",
    "not_served",
    "not_stopped",
    "only_canisters",
    "queue_not_empty",
    "status_hidden",
    "stop_cancelled",
    "stop_timed_out",
    "stopped",
    "stopping",
    "uninstalled",
    "wrong_sender_version",
]

SYS_FATAL = 1
SYS_TRANSIENT = 2
DESTINATION_INVALID = 3
CANISTER_REJECT = 4
CANISTER_ERROR = 5

_MESSAGE_SIZE_MAX = 8 * 1024
"""Characters. Source: dfinity/ic cuts descriptions at 8 KiB."""


@dataclass(frozen=True, slots=True)
class Reject:
    """Why a message got no reply."""

    code: int
    message: str
    error_code: str

    def __post_init__(self) -> None:
        # A canister's own text may hold half a surrogate pair, which no encoding can carry.
        message = self.message.encode("utf-8", "replace").decode()
        if len(message) > _MESSAGE_SIZE_MAX:
            message = message[: _MESSAGE_SIZE_MAX - 3] + "..."
        object.__setattr__(self, "message", message)


def no_such_canister(canister: Principal) -> Reject:
    """The destination does not exist."""
    return Reject(DESTINATION_INVALID, f"Canister {canister} not found", "IC0301")


def no_wasm_module(canister: Principal) -> Reject:
    """The destination is empty."""
    reason = "Attempted to execute a message, but the canister contains no Wasm module."
    return Reject(CANISTER_ERROR, f"Error from Canister {canister}: {reason}", "IC0537")


def stopped(canister: Principal) -> Reject:
    """The destination is stopped."""
    return Reject(CANISTER_ERROR, f"Canister {canister} is stopped", "IC0508")


def stopping(canister: Principal) -> Reject:
    """The destination is being stopped."""
    return Reject(CANISTER_ERROR, f"Canister {canister} is stopping", "IC0509")


def method_not_found(canister: Principal, kind: str, method: str) -> Reject:
    """The destination has no such method; ``kind`` is ``update`` or ``query``."""
    reason = f"Canister has no {kind} method '{method}'."
    return Reject(CANISTER_ERROR, f"Error from Canister {canister}: {reason}", "IC0536")


def canister_rejected(message: str) -> Reject:
    """The canister's own ``reject``."""
    return Reject(CANISTER_REJECT, message, "IC0406")


def inspect_refused(canister: Principal, method: str) -> Reject:
    """``inspect_message`` did not accept."""
    reason = f"Canister {canister} rejected the message: inspect_message did not accept '{method}'"
    return Reject(CANISTER_REJECT, reason, "IC0406")


def composite_query_refused(canister: Principal, method: str) -> Reject:
    """A query that may call other canisters, which this network does not execute."""
    reason = f"composite query '{method}' cannot be executed on the local network"
    return Reject(CANISTER_REJECT, f"Error from Canister {canister}: {reason}", "IC0406")


def did_not_reply(canister: Principal) -> Reject:
    """Nothing is outstanding any more and no reply was given."""
    reason = "Canister did not reply to the call."
    return Reject(CANISTER_ERROR, f"Error from Canister {canister}: {reason}", "IC0506")


def canister_trapped(canister: Principal, trap: Trap, *, with_traceback: bool = False) -> Reject:
    """A message was undone; the traceback is added where only the developer reads it."""
    if trap.error_code == "IC0503":
        reason = f"Canister called `ic0.trap` with message: '{trap.message}'."
    else:
        reason = f"Canister trapped: {trap.message}"
    if with_traceback and trap.traceback:
        reason += f"\n{trap.traceback.rstrip()}"
    return Reject(CANISTER_ERROR, f"Error from Canister {canister}: {reason}", trap.error_code)


def not_controller(canister: Principal, method: str) -> Reject:
    """The caller may not manage the canister."""
    reason = f"Only controllers of canister {canister} can call ic00 method {method}"
    return Reject(CANISTER_ERROR, reason, "IC0512")


def only_canisters(method: str) -> Reject:
    """A management method that users may not call."""
    return Reject(CANISTER_REJECT, f"Only canisters can call ic00 method {method}", "IC0406")


def not_replicated(method: str) -> Reject:
    """A management method that only queries may call."""
    reason = f"{method} API is not accessible in replicated mode: call it as a query"
    return Reject(CANISTER_REJECT, reason, "IC0406")


def no_such_management_method(method: str) -> Reject:
    """A management method that there is not."""
    return Reject(CANISTER_ERROR, f"ic00 interface does not expose method {method}", "IC0536")


def not_served(method: str) -> Reject:
    """A management method that the mainnet has and this network has not."""
    reason = (
        f"ic00 interface does not expose method {method}: "
        "it is not served by the local network (yet)"
    )
    return Reject(CANISTER_ERROR, reason, "IC0536")


def no_such_query(method: str) -> Reject:
    """A management method that there is not as a query."""
    return Reject(CANISTER_ERROR, f"Query method {method} not found.", "IC0536")


def invalid_payload(method: str, detail: str) -> Reject:
    """A management argument that does not decode."""
    reason = f"Error decoding the argument of ic00 method {method}: {detail}"
    return Reject(CANISTER_REJECT, reason, "IC0408")


def wrong_sender_version(version: int) -> Reject:
    """A canister's call that names a version the canister has not."""
    reason = f"sender_canister_version {version} is not the version of the calling canister"
    return Reject(CANISTER_ERROR, reason, "IC0504")


def status_hidden(caller: Principal) -> Reject:
    """The caller may not see a canister's status."""
    reason = f"Caller {caller} is not allowed to access canister status"
    return Reject(CANISTER_REJECT, reason, "IC0406")


def logs_hidden(caller: Principal) -> Reject:
    """The caller may not see a canister's log."""
    reason = f"Caller {caller} is not allowed to access canister logs"
    return Reject(CANISTER_REJECT, reason, "IC0406")


def canister_exists(canister: Principal) -> Reject:
    """A canister cannot be made, for it is there."""
    reason = f"Canister {canister} is already installed: a canister with this id exists."
    return Reject(CANISTER_ERROR, reason, "IC0538")


def id_not_hosted(canister: Principal, subnet: Principal) -> Reject:
    """A canister cannot be made, for its id is none of the subnet's."""
    reason = (
        f"Unsuccessful validation of specified ID: {canister} is no canister id of subnet {subnet}"
    )
    return Reject(CANISTER_REJECT, reason, "IC0405")


def insufficient_cycles_to_create(*, sent: int, required: int) -> Reject:
    """A canister cannot be made with so few cycles."""
    reason = (
        f"Creating a canister requires a fee of {required} cycles that is deducted from its "
        f"initial balance, but only {sent} cycles were received with the request."
    )
    return Reject(CANISTER_REJECT, reason, "IC0403")


def insufficient_cycles_for_allocation(setting: str, missing: int) -> Reject:
    """An allocation cannot be raised, for the canister would be frozen."""
    reason = (
        f"Cannot increase {setting.replace('_', ' ')} due to insufficient cycles. "
        f"At least {missing} additional cycles are required."
    )
    error_code = "IC0530" if setting == "compute_allocation" else "IC0531"
    return Reject(CANISTER_ERROR, reason, error_code)


def invalid_module(canister: Principal, detail: str) -> Reject:
    """Code that cannot be installed."""
    reason = f"Canister's Wasm module is not valid: {detail}"
    return Reject(CANISTER_ERROR, f"Error from Canister {canister}: {reason}", "IC0505")


def inert_code(canister: Principal) -> Reject:
    """The destination's code is a tool's, which is kept but not run."""
    reason = (
        "this canister's code is compiled Wasm of another tool. The local network runs Python "
        "sources only (`icfleet build`), so it keeps this code and answers no calls to it."
    )
    return Reject(CANISTER_ERROR, f"Error from Canister {canister}: {reason}", "IC0536")


def invalid_upgrade_option(detail: str) -> Reject:
    """New code cannot take over from the old in the way that is asked for."""
    return Reject(CANISTER_ERROR, f"Invalid upgrade option: {detail}", "IC0504")


def chunk_store_error(detail: str) -> Reject:
    """Chunks of code that cannot be stored or put together."""
    return Reject(CANISTER_ERROR, f"Error from Wasm chunk store: {detail}.", "IC0504")


def not_empty(canister: Principal) -> Reject:
    """``install`` over code that is there."""
    reason = (
        f"Canister {canister} cannot be installed because the canister is not empty. "
        "Try installing with mode='reinstall' instead."
    )
    return Reject(CANISTER_ERROR, reason, "IC0514")


def uninstalled(canister: Principal) -> Reject:
    """A call was open when its canister's code was taken out."""
    return Reject(CANISTER_REJECT, f"Canister {canister} has been uninstalled.", "IC0406")


def stop_cancelled(canister: Principal) -> Reject:
    """A canister was started again before it had stopped."""
    reason = f"Canister {canister}'s stop request was cancelled."
    return Reject(CANISTER_ERROR, reason, "IC0511")


def stop_timed_out(canister: Principal) -> Reject:
    """A canister goes on stopping, but nobody waits for it any more."""
    reason = f"Stop canister request timed out: canister {canister} still has open calls"
    return Reject(SYS_TRANSIENT, reason, "IC0206")


def not_stopped(canister: Principal) -> Reject:
    """Only a stopped canister can be deleted."""
    reason = f"Canister {canister} must be stopped before it is deleted."
    return Reject(CANISTER_ERROR, reason, "IC0510")


def cannot_delete_itself(canister: Principal) -> Reject:
    """A canister that controls itself cannot end itself."""
    return Reject(CANISTER_ERROR, f"Canister {canister} cannot delete itself.", "IC0512")


def queue_not_empty(canister: Principal) -> Reject:
    """A canister that something waits for cannot be deleted."""
    reason = (
        f"Canister {canister} has messages in its queues and cannot be deleted now. "
        "Please retry after some time."
    )
    return Reject(SYS_TRANSIENT, reason, "IC0203")
