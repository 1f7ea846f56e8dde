"""What a subnet certifies of its canisters: a subtree for each, and figures over all.

Kept up to date canister by canister, so that a round costs nothing for those that did not change.

Source: IC interface specification, "The system state tree".
"""

from dataclasses import dataclass

from icfleet_localnet.canister import Canister
from icfleet_localnet.certification import SubnetMetrics
from icfleet_localnet.state_tree import EMPTY_FOREST, Forest, forest_of
from icfleet_protocol.cbor import encode_tagged
from icfleet_protocol.leb128 import encode_uleb128
from icfleet_protocol.principal import Principal

__all__ = ["CertifiedCanisters"]


@dataclass(frozen=True, slots=True)
class _Share:
    """What was counted of a canister; one that is made anew under its id is another."""

    canister: Canister
    memory_bytes: int
    consumed: int


class CertifiedCanisters:
    """The canisters' part of a subnet's certified state."""

    def __init__(self) -> None:
        self.forest: Forest = EMPTY_FOREST
        self._shares: dict[Principal, _Share] = {}
        self._memory_total = 0
        self._consumed_total = 0

    def show(self, canister: Canister) -> None:
        """Renew what is certified of a canister."""
        self.forest = self.forest.put(canister.id.raw, _canister_tree(canister))
        self.count(canister)

    def count(self, canister: Canister, memory_bytes: int | None = None) -> None:
        """Renew a canister's share of the subnet's figures; its memory need not be asked twice."""
        memory = canister.memory.total if memory_bytes is None else memory_bytes
        consumed = canister.consumed_cycles
        before = self._shares.get(canister.id)
        if before is not None and before.canister is not canister:
            self._release(canister.id)
            before = None
        self._shares[canister.id] = _Share(canister, memory, consumed)
        self._memory_total += memory - (0 if before is None else before.memory_bytes)
        self._consumed_total += consumed - (0 if before is None else before.consumed)

    def drop(self, canister: Principal) -> None:
        """Forget a deleted canister; what it consumed stays consumed."""
        self.forest = self.forest.drop(canister.raw)
        self._release(canister)

    def metrics(self, updates: int) -> SubnetMetrics:
        """The subnet's figures; ``updates`` is the number of update-type messages executed."""
        return SubnetMetrics(
            canisters=len(self._shares),
            state_bytes=self._memory_total,
            cycles_consumed=self._consumed_total,
            updates=updates,
        )

    def _release(self, canister: Principal) -> None:
        share = self._shares.pop(canister, None)
        if share is not None:
            self._memory_total -= share.memory_bytes


def _canister_tree(canister: Canister) -> Forest:
    controllers = [controller.raw for controller in canister.settings.controllers]
    shown: dict[bytes, Forest | bytes] = {
        b"controllers": encode_tagged(controllers),
        b"canister_creation_timestamp": encode_uleb128(canister.created_ns),
    }
    if canister.module is not None:
        shown[b"module_hash"] = canister.module.sha256
        shown[b"certified_data"] = canister.certified_data
        shown[b"metadata"] = forest_of(
            {name.encode(): one.content for name, one in canister.module.metadata.items()}
        )
    if canister.installed_ns is not None:
        shown[b"last_install_timestamp"] = encode_uleb128(canister.installed_ns)
    return forest_of(shown)
