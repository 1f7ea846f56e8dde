"""Which subnets a local network has, and which canister ids live on which.

Source: IC interface specification, "Certification", for ranges; dfinity/ic for the first id that
local networks have always given out, and for dfx's habit to ask for id 0.
"""

from dataclasses import dataclass
from typing import Literal

from icfleet_localnet.errors import TopologyError
from icfleet_protocol.principal import Principal

__all__ = [
    "NODES_MAX",
    "SUBNETS_MAX",
    "CanisterRange",
    "SubnetKind",
    "SubnetPlan",
    "Topology",
    "canister_id",
]

SubnetKind = Literal["application", "system"]
CanisterRange = tuple[bytes, bytes]
"""First and last canister id, both included."""

SUBNETS_MAX = 64
"""As many as the largest fleet we test has canisters; the mainnet has about 40."""

NODES_MAX = 40
"""The largest subnet of the mainnet."""

_CANISTER_SUFFIX = b"\x01\x01"
_CANISTER_SIZE = 10
_NUMBER_MAX = (1 << 64) - 1
_APPLICATION_START = 0x8000000000100000
_APPLICATION_SIZE = 1 << 20
"""Canister ids of an application subnet. Source: dfinity/ic, registry of the mainnet."""


def canister_id(number: int) -> Principal:
    """The opaque canister id of a number."""
    return Principal(number.to_bytes(8, "big") + _CANISTER_SUFFIX)


@dataclass(frozen=True, slots=True, kw_only=True)
class SubnetPlan:
    """What one subnet is for."""

    kind: SubnetKind
    ranges: tuple[CanisterRange, ...]
    first_number: int
    """New canisters get numbers from here on."""

    def hosts(self, canister: Principal) -> bool:
        """Whether a canister of this id would live here."""
        raw = canister.raw
        is_opaque = len(raw) == _CANISTER_SIZE and raw.endswith(_CANISTER_SUFFIX)
        return is_opaque and any(low <= raw <= high for low, high in self.ranges)

    @property
    def first_canister(self) -> Principal:
        """A canister id that lives here whatever is installed: the target of ``create`` calls."""
        return canister_id(self.first_number)


@dataclass(frozen=True, slots=True, kw_only=True)
class Topology:
    """How many subnets for canisters, and how many nodes each.

    A single subnet is the root of the network and hosts every id. From two on there is a root
    subnet besides, as the mainnet has its NNS: it certifies the others' keys and ranges.

    Raises:
        TopologyError: If a number is out of bounds.
    """

    subnets: int = 1
    nodes: int = 1
    """Per subnet. Each has its own key and signs the queries it answers."""

    def __post_init__(self) -> None:
        for name, value, value_max in (
            ("subnets", self.subnets, SUBNETS_MAX),
            ("nodes", self.nodes, NODES_MAX),
        ):
            if not 1 <= value <= value_max:
                raise TopologyError(name, value, value_max)

    @property
    def plans(self) -> tuple[SubnetPlan, ...]:
        """The subnets, the root first."""
        first = _APPLICATION_START + 1
        if self.subnets == 1:
            everything = _range(0, _NUMBER_MAX)
            return (SubnetPlan(kind="application", ranges=(everything,), first_number=first),)
        root = SubnetPlan(kind="system", ranges=(_range(1, (1 << 63) - 1),), first_number=1)
        return root, *(_application(index) for index in range(self.subnets))


def _application(index: int) -> SubnetPlan:
    start = _APPLICATION_START + index * _APPLICATION_SIZE
    block = _range(start, start + _APPLICATION_SIZE - 1)
    # dfx creates canisters "near" id 0, which on the mainnet would mean the root subnet.
    ranges = (_range(0, 0), block) if index == 0 else (block,)
    return SubnetPlan(kind="application", ranges=ranges, first_number=start + 1)


def _range(first: int, last: int) -> CanisterRange:
    return canister_id(first).raw, canister_id(last).raw
