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
    "canister_rejected",
    "canister_trapped",
    "composite_query_refused",
    "did_not_reply",
    "inspect_refused",
    "invalid_module",
    "invalid_payload",
    "method_not_found",
    "no_such_canister",
    "no_such_management_method",
    "no_wasm_module",
    "not_controller",
    "not_empty",
    "only_canisters",
    "stopped",
    "stopping",
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


def no_such_management_method(method: str) -> Reject:
    """A management method that is not served."""
    return Reject(CANISTER_REJECT, f"ic00 interface does not expose method {method}", "IC0407")


def invalid_payload(method: str, detail: str) -> Reject:
    """A management argument that does not decode."""
    reason = f"Error decoding the argument of ic00 method {method}: {detail}"
    return Reject(CANISTER_REJECT, reason, "IC0408")


def invalid_module(canister: Principal, detail: str) -> Reject:
    """Code that cannot be installed."""
    reason = f"Canister's Wasm module is not valid: {detail}"
    return Reject(CANISTER_ERROR, f"Error from Canister {canister}: {reason}", "IC0505")


def not_empty(canister: Principal) -> Reject:
    """``install`` over code that is there."""
    reason = f"Canister {canister} cannot be installed because it is not empty."
    return Reject(CANISTER_ERROR, reason, "IC0514")
