"""What Kybra's compiler reads off a canister's sources: methods, hooks, stable maps, services.

Source: ``kybra`` 0.7.1's compiler front end, observed case by case.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from icfleet_protocol.candid import CandidType, ServiceInterface

__all__ = [
    "HostHook",
    "HostInterface",
    "HostMethod",
    "HostService",
    "MethodKind",
    "ServiceMethod",
    "StableMapDeclaration",
]

MethodKind = Literal["query", "composite_query", "update"]


@dataclass(frozen=True, slots=True, kw_only=True)
class HostMethod:
    """A method the canister exports."""

    name: str
    kind: MethodKind
    args: tuple[CandidType, ...]
    results: tuple[CandidType, ...]
    """Empty for ``void``, else exactly one type."""
    is_manual: bool = False
    guard: str | None = None
    """Name of the guard function, looked up in the entry module."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HostHook:
    """``init``, ``post_upgrade``, ``pre_upgrade``, ``inspect_message`` or ``heartbeat``."""

    name: str
    args: tuple[CandidType, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class StableMapDeclaration:
    """A ``StableBTreeMap`` at module level."""

    memory_id: int
    key: CandidType
    value: CandidType
    key_size_max: int
    """Bytes of the key's Candid encoding."""
    value_size_max: int
    """Bytes of the value's Candid encoding."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceMethod:
    """A method of a ``Service`` class, as its caller declares it."""

    name: str
    kind: Literal["query", "update"]
    args: tuple[CandidType, ...]
    results: tuple[CandidType, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class HostService:
    """A ``Service`` class: how to call another canister."""

    name: str
    methods: Mapping[str, ServiceMethod]


@dataclass(frozen=True, slots=True, kw_only=True)
class HostInterface:
    """Everything the host must know before it runs the canister's first line."""

    service: ServiceInterface
    """The Candid interface, with the environment that named types are looked up in."""
    methods: Mapping[str, HostMethod]
    init: HostHook | None = None
    post_upgrade: HostHook | None = None
    pre_upgrade: HostHook | None = None
    inspect_message: HostHook | None = None
    heartbeat: HostHook | None = None
    stable_maps: Mapping[int, StableMapDeclaration] = field(
        default_factory=dict[int, StableMapDeclaration]
    )
    services: Mapping[str, HostService] = field(default_factory=dict[str, HostService])
