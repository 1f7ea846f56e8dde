"""Reading settings: what a caller asks for, checked against the limits of the mainnet.

Source: IC interface specification, "IC method create_canister"; dfinity/ic
``canister_settings.rs`` and ``canister_manager`` for limits and error codes.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, cast

from icfleet_localnet.canister_log import LOG_MEMORY_LIMIT_MAX, LOG_MEMORY_LIMIT_MIN
from icfleet_localnet.canister_settings import Settings, Visibility
from icfleet_localnet.rejects import (
    CANISTER_ERROR,
    CANISTER_REJECT,
    SYS_FATAL,
    Reject,
    invalid_payload,
)
from icfleet_protocol.principal import Principal

__all__ = ["CYCLES_MAX", "SettingsFields", "read_settings", "show_settings"]

SettingsFields = Mapping[str, Any]
"""A ``canister_settings`` record as Candid reads it."""

CYCLES_MAX = (1 << 128) - 1
"""Cycles are numbers of 128 bits."""

_PRINCIPALS_MAX = 10
"""Controllers, and viewers of each visibility."""

_SUBNET_MEMORY_MAX = 2 * 1024**4
"""Bytes that a subnet can give to all its canisters. Source: resource-limits.md."""

_VARIABLES_MAX = 20
_VARIABLE_SIZE_MAX = 128
"""Bytes of a name, and of a value. Source: resource-limits.md."""

_NUMBERS = {
    "compute_allocation": ("ComputeAllocation", 100),
    "memory_allocation": ("MemoryAllocation", (1 << 64) - 1),
    "freezing_threshold": ("Freezing threshold", (1 << 64) - 1),
    "reserved_cycles_limit": ("Reserved cycles limit", CYCLES_MAX),
    "minimum_incoming_canister_call_cycles": ("Minimum incoming call cycles", CYCLES_MAX),
    "wasm_memory_limit": ("Wasm memory limit", 1 << 48),
    "wasm_memory_threshold": ("Wasm memory threshold", 1 << 48),
}
"""What messages call a setting, and the largest value."""

_VISIBILITIES = ("log_visibility", "snapshot_visibility", "status_visibility")


class _InvalidError(Exception):
    """A setting that cannot be."""

    def __init__(self, reject: Reject) -> None:
        self.reject = reject


def read_settings(
    method: str, fields: SettingsFields | None, current: Settings
) -> Settings | Reject:
    """Return ``current`` with what ``fields`` change, or why that cannot be.

    Args:
        method: The method called, for messages.
        fields: ``None`` in a field keeps what is set; ``None`` altogether changes nothing.
        current: The settings until now, or the defaults.
    """
    given = {name: value for name, value in (fields or {}).items() if value is not None}
    try:
        changes = {name: _read(method, name, value) for name, value in given.items()}
    except _InvalidError as error:
        return error.reject
    return replace(current, **changes)


def show_settings(settings: Settings) -> dict[str, object]:
    """Return the ``definite_settings`` record."""
    return {
        "controllers": list(settings.controllers),
        **{name: getattr(settings, name) for name in (*_NUMBERS, "log_memory_limit")},
        **{name: _show_visibility(getattr(settings, name)) for name in _VISIBILITIES},
        "environment_variables": [
            {"name": name, "value": value} for name, value in settings.environment_variables
        ],
    }


def _read(method: str, name: str, value: Any) -> Any:
    if name in _NUMBERS:
        return _read_number(name, cast("int", value))
    if name in _VISIBILITIES:
        return _read_visibility(method, cast("Mapping[str, Any]", value))
    match name:
        case "controllers":
            return _read_principals(method, name, value)
        case "log_memory_limit":
            return _read_log_limit(cast("int", value))
        case _:
            assert name == "environment_variables", name
            return _read_variables(value)


def _read_number(name: str, value: int) -> int:
    label, value_max = _NUMBERS[name]
    if value > value_max:
        reason = f"{label} expected to be in the range [0..{value_max}], got {value}"
        raise _InvalidError(Reject(CANISTER_ERROR, reason, "IC0504"))
    if name == "memory_allocation" and value > _SUBNET_MEMORY_MAX:
        reason = (
            f"Canister requested {value} bytes of memory but only {_SUBNET_MEMORY_MAX} are "
            "available in the subnet."
        )
        raise _InvalidError(Reject(SYS_FATAL, reason, "IC0101"))
    return value


def _read_principals(method: str, name: str, value: Sequence[Principal]) -> tuple[Principal, ...]:
    if len(value) > _PRINCIPALS_MAX:
        detail = f"{len(value)} {name}, at most {_PRINCIPALS_MAX} allowed"
        raise _InvalidError(invalid_payload(method, detail))
    return tuple(dict.fromkeys(value))


def _read_visibility(method: str, value: Mapping[str, Any]) -> Visibility:
    ((kind, content),) = value.items()
    match kind:
        case "controllers" | "public":
            return Visibility(kind)
        case _:
            viewers = _read_principals(method, "allowed viewers", content)
            return Visibility("allowed_viewers", viewers)


def _show_visibility(visibility: Visibility) -> dict[str, object]:
    is_list = visibility.kind == "allowed_viewers"
    return {visibility.kind: list(visibility.viewers) if is_list else None}


def _read_log_limit(value: int) -> int:
    if value != 0 and not LOG_MEMORY_LIMIT_MIN <= value <= LOG_MEMORY_LIMIT_MAX:
        reason = (
            f"A log memory limit of {value} bytes: set 0 for no log, or "
            f"{LOG_MEMORY_LIMIT_MIN} to {LOG_MEMORY_LIMIT_MAX}"
        )
        raise _InvalidError(Reject(CANISTER_REJECT, reason, "IC0406"))
    return value


def _read_variables(value: Sequence[Mapping[str, str]]) -> tuple[tuple[str, str], ...]:
    variables = {one["name"]: one["value"] for one in value}
    reason = ""
    if len(variables) < len(value):
        reason = "Duplicate environment variables are not allowed"
    elif len(variables) > _VARIABLES_MAX:
        reason = f"Too many environment variables: {len(variables)} (max: {_VARIABLES_MAX})"
    for name, text in variables.items():
        for what, part in (("name", name), ("value", text)):
            if len(part.encode()) > _VARIABLE_SIZE_MAX:
                reason = (
                    f'Environment variable {what} "{part[:_VARIABLE_SIZE_MAX]}" exceeds the '
                    f"maximum allowed length of {_VARIABLE_SIZE_MAX}."
                )
    if reason:
        raise _InvalidError(Reject(CANISTER_REJECT, reason, "IC0408"))
    return tuple(sorted(variables.items()))
