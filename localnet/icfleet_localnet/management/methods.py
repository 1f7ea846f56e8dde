"""Which methods there are, who may call them, and which canister a call is about.

One table decides; nothing else in the package knows a method's callers.

Source: IC interface specification, "The IC management canister" and "API Request submission";
dfinity/ic for error codes.
"""

from collections.abc import Mapping
from enum import Enum
from typing import Any, NamedTuple, cast

from icfleet_localnet.canister import Canister
from icfleet_localnet.management.interface import MANAGEMENT_INTERFACE
from icfleet_localnet.rejects import (
    Reject,
    invalid_payload,
    no_such_management_method,
    not_controller,
    not_replicated,
    not_served,
    only_canisters,
    status_hidden,
)
from icfleet_protocol.errors import CandidError
from icfleet_protocol.principal import Principal

__all__ = [
    "METHODS",
    "QUERIES",
    "Access",
    "Method",
    "check_access",
    "effective_canister",
    "read_fields",
    "refuse_method",
]


class Access(Enum):
    """Who may call a method, of those who may address it at all."""

    ANYONE = "anyone"
    CONTROLLERS = "controllers"
    CONTROLLERS_AND_SELF = "controllers and the canister itself"
    STATUS_VIEWERS = "controllers, the canister itself and those its status is visible to"


class Method(NamedTuple):
    """One method that is served."""

    access: Access
    target: str | None = "canister_id"
    """The argument's field that names the canister it is about."""
    is_for_users: bool = True
    is_replicated: bool = True
    """Whether it may be called by updates."""


_CONTROLLERS = Method(Access.CONTROLLERS)
_STORE = Method(Access.CONTROLLERS_AND_SELF)
_CANISTERS = Method(Access.ANYONE, is_for_users=False)

METHODS: Mapping[str, Method] = {
    "provisional_create_canister_with_cycles": Method(Access.ANYONE, target=None),
    "provisional_top_up_canister": Method(Access.ANYONE),
    "create_canister": Method(Access.ANYONE, target=None, is_for_users=False),
    "deposit_cycles": _CANISTERS,
    "update_settings": _CONTROLLERS,
    "install_code": _CONTROLLERS,
    "install_chunked_code": Method(Access.CONTROLLERS, target="target_canister"),
    "upload_chunk": _STORE,
    "clear_chunk_store": _STORE,
    "stored_chunks": _STORE,
    "uninstall_code": _CONTROLLERS,
    "start_canister": _CONTROLLERS,
    "stop_canister": _CONTROLLERS,
    "delete_canister": _CONTROLLERS,
    "canister_status": Method(Access.STATUS_VIEWERS),
    "canister_metrics": _CONTROLLERS,
    "fetch_canister_logs": Method(Access.ANYONE, is_replicated=False),
    "canister_info": _CANISTERS,
    "canister_metadata": _CANISTERS,
    "raw_rand": Method(Access.ANYONE, target=None, is_for_users=False),
}

QUERIES = frozenset({"canister_status", "canister_metrics", "fetch_canister_logs"})
"""What may be called by queries."""

_UNSERVED_FOR_CANISTERS = frozenset(
    {
        *("http_request", "flexible_http_request", "node_metrics_history", "subnet_info"),
        *("subnet_metrics", "ecdsa_public_key", "sign_with_ecdsa", "schnorr_public_key"),
        *("sign_with_schnorr", "vetkd_public_key", "vetkd_derive_key", "bitcoin_get_balance"),
        *("bitcoin_get_utxos", "bitcoin_send_transaction", "bitcoin_get_block_headers"),
        *("bitcoin_get_current_fee_percentiles",),
    }
)
_UNSERVED = _UNSERVED_FOR_CANISTERS | frozenset(
    {
        *("take_canister_snapshot", "load_canister_snapshot", "list_canister_snapshots"),
        *("delete_canister_snapshot", "read_canister_snapshot_metadata"),
        *("read_canister_snapshot_data", "upload_canister_snapshot_metadata"),
        *("upload_canister_snapshot_data", "list_canisters"),
    }
)
"""Methods of the mainnet that this network refuses by name."""


def refuse_method(method: str, *, is_user: bool) -> Reject | None:
    """Why nobody, or no user, may call a method by an update."""
    served = METHODS.get(method)
    if served is not None and served.is_replicated and (served.is_for_users or not is_user):
        return None
    if is_user and (method in _UNSERVED_FOR_CANISTERS or (served and not served.is_for_users)):
        return only_canisters(method)
    if served is not None:
        return not_replicated(method)
    return not_served(method) if method in _UNSERVED else no_such_management_method(method)


def read_fields(method: str, arg: bytes) -> Mapping[str, Any] | Reject:
    """Read the argument of a method that is served; one without argument has no fields."""
    try:
        values = MANAGEMENT_INTERFACE.decode_args(method, arg)
    except CandidError as error:
        return invalid_payload(method, str(error))
    return cast("Mapping[str, Any]", values[0]) if values else {}


def effective_canister(method: str, arg: bytes) -> Principal | Reject | None:
    """Which canister a management call is about, whoever makes it.

    Returns:
        Its id; ``None`` when the call is about none that exists; a reject when nobody could tell.
    """
    served = METHODS.get(method)
    if served is None:
        return not_served(method) if method in _UNSERVED else no_such_management_method(method)
    if served.target is None:
        return None
    fields = read_fields(method, arg)
    return fields if isinstance(fields, Reject) else cast("Principal", fields[served.target])


def check_access(method: str, caller: Principal, canister: Canister) -> Reject | None:
    """Why a caller may not do this to a canister, if so."""
    access = METHODS[method].access
    if access is Access.ANYONE or canister.is_controlled_by(caller):
        return None
    if access is Access.CONTROLLERS:
        return not_controller(canister.id, method)
    if caller == canister.id:
        return None
    if access is Access.STATUS_VIEWERS:
        visibility = canister.settings.status_visibility
        if visibility.includes(caller):
            return None
        # The mainnet's older answer, which clients know, while nothing else was set.
        is_default = visibility.kind == "controllers"
        return not_controller(canister.id, method) if is_default else status_hidden(caller)
    return not_controller(canister.id, method)
