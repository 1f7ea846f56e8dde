"""A subnet's certified state: the tree that clients read, signed once a round.

Source: IC interface specification, "The system state tree", "Certification" and "Certificate".
"""

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Self

from icfleet_localnet.state_tree import EMPTY_FOREST, Forest, Value, forest_of, witness_cbor
from icfleet_localnet.topology import SubnetKind, SubnetPlan
from icfleet_protocol.bls import BlsSecretKey
from icfleet_protocol.cbor import SELF_DESCRIBE_TAG, encode_bytes, encode_map, encode_tagged
from icfleet_protocol.domain import STATE_ROOT
from icfleet_protocol.identity import Ed25519Identity
from icfleet_protocol.leb128 import encode_uleb128
from icfleet_protocol.principal import Principal

__all__ = ["Path", "RangeLayout", "StateCertifier", "SubnetKeys", "SubnetMetrics", "SubnetRecord"]

Path = Sequence[bytes]


_RANGES_PER_SHARD = 5
"""Source: dfinity/ic, ``MAX_RANGES_PER_ROUTING_TABLE_LEAF``."""


class RangeLayout(Enum):
    """Where a certificate says which canisters a subnet hosts."""

    FLAT = "flat"
    """One leaf, ``/subnet/<id>/canister_ranges``: call v2 and v3, query and read_state v2."""
    SHARDED = "sharded"
    """Leaves under ``/canister_ranges/<id>``: call v4, query and read_state v3."""


@dataclass(frozen=True, slots=True)
class SubnetKeys:
    """The secret keys of a subnet and of its nodes."""

    subnet: BlsSecretKey
    nodes: tuple[Ed25519Identity, ...]

    @classmethod
    def derive(cls, seed: bytes, *, nodes: int) -> Self:
        """Make all keys from one secret."""
        return cls(
            BlsSecretKey(hashlib.sha256(b"subnet key" + seed).digest()),
            tuple(
                Ed25519Identity.from_seed(hashlib.sha256(b"node key %d" % node + seed).digest())
                for node in range(nodes)
            ),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class SubnetRecord:
    """What everybody may know of a subnet."""

    id: Principal
    kind: SubnetKind
    public_key_der: bytes
    plan: SubnetPlan
    node_keys: Mapping[Principal, bytes]
    """DER public keys by node id."""

    @classmethod
    def of(cls, plan: SubnetPlan, keys: SubnetKeys) -> Self:
        """Describe a subnet."""
        return cls(
            id=Principal.self_authenticating(keys.subnet.public_key_der),
            kind=plan.kind,
            public_key_der=keys.subnet.public_key_der,
            plan=plan,
            node_keys={node.sender: node.public_key_der for node in keys.nodes},
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class SubnetMetrics:
    """Figures of a subnet that are part of its certified state."""

    canisters: int = 0
    state_bytes: int = 0
    cycles_consumed: int = 0
    updates: int = 0

    def as_cbor(self) -> bytes:
        """Encode as clients read it."""
        low, high = self.cycles_consumed & (1 << 64) - 1, self.cycles_consumed >> 64
        return encode_tagged(
            {
                "num_canisters": self.canisters,
                "canister_state_bytes": self.state_bytes,
                # A low part, and a high one when it is needed, by their numbers.
                "consumed_cycles_total": {0: low, 1: high} if high else {0: low},
                "update_transactions_total": self.updates,
            }
        )


class StateCertifier:
    """Keeps one subnet's tree and its signature as of the last round.

    Args:
        keys: The subnet's own.
        own: The subnet's own record.
        subnets: All subnets of the network, the root first.
    """

    def __init__(
        self, keys: SubnetKeys, own: SubnetRecord, subnets: Sequence[SubnetRecord]
    ) -> None:
        self._keys = keys
        self._own = own
        self._root = subnets[0]
        self._subnets = subnets
        self._fixed = forest_of(
            {
                b"canister_ranges": forest_of(
                    {record.id.raw: _shards(record.plan) for record in subnets}
                )
            }
        )
        self._records = forest_of({record.id.raw: self._record(record) for record in subnets})
        self._tree = EMPTY_FOREST
        self._signature = b""

    @property
    def tree(self) -> Forest:
        """The whole state as of the last round; a reference stays true for good."""
        return self._tree

    def certify(
        self,
        *,
        time_ns: int,
        requests: Forest,
        canisters: Forest,
        metrics: SubnetMetrics | None = None,
    ) -> None:
        """Take over a round's state, and sign it."""
        own = self._records.get(self._own.id.raw)
        assert isinstance(own, Forest), "every subnet has its record"
        own = own.put(b"metrics", Value.of((metrics or SubnetMetrics()).as_cbor()))
        tree = self._fixed.put(b"subnet", self._records.put(self._own.id.raw, own))
        for label, child in (
            (b"time", Value.of(encode_uleb128(time_ns))),
            (b"request_status", requests),
            (b"canister", canisters),
        ):
            tree = tree.put(label, child)
        self._tree = tree
        self._signature = self._keys.subnet.sign(STATE_ROOT + tree.digest)

    def certificate(
        self,
        paths: Iterable[Path],
        *,
        layout: RangeLayout,
        delegation: Mapping[str, bytes] | None = None,
    ) -> bytes:
        """Certify the state at some paths, as of the last round."""
        shown = [part for path in paths for part in self._visible(path, layout)]
        fields = {
            "tree": witness_cbor(self._tree, [(b"time",), *shown]),
            "signature": encode_bytes(self._signature),
        }
        if delegation is not None:
            named = {name: encode_bytes(value) for name, value in delegation.items()}
            fields["delegation"] = encode_map(named)
        return SELF_DESCRIBE_TAG + encode_map(fields)

    def sign_as_node(self, message: bytes, node: int = 0) -> tuple[Principal, bytes]:
        """The node's id, and its signature."""
        identity = self._keys.nodes[node]
        return identity.sender, identity.sign(message)

    def delegation_paths(self, subnet: SubnetRecord, layout: RangeLayout) -> list[Path]:
        """What the root certifies of a subnet, for certificates of that subnet."""
        base = (b"subnet", subnet.id.raw)
        ranges: Path = (
            (*base, b"canister_ranges")
            if layout is RangeLayout.FLAT
            else (b"canister_ranges", subnet.id.raw)
        )
        return [(*base, b"public_key"), (*base, b"type"), ranges]

    def _visible(self, path: Path, layout: RangeLayout) -> list[Path]:
        """What a path shows: the newer layout has the flat leaf for the root subnet alone."""
        if layout is RangeLayout.FLAT or path[:1] != (b"subnet",):
            return [path]
        subnets = [record for record in self._subnets if path[1:] in ((), (record.id.raw,))]
        if not subnets:
            # A leaf asked for by its own name, or a subnet that does not exist.
            return [path]
        return [
            (b"subnet", record.id.raw, label)
            for record in subnets
            for label in self._labels(record)
        ]

    def _labels(self, record: SubnetRecord) -> list[bytes]:
        labels = [b"public_key", b"type"]
        if record.id == self._root.id:
            labels.append(b"canister_ranges")
        if record.id == self._own.id:
            labels += [b"metrics", b"node"]
        return labels

    def _record(self, record: SubnetRecord) -> Forest:
        shown: dict[bytes, Forest | bytes] = {
            b"public_key": record.public_key_der,
            b"type": record.kind.encode(),
            b"canister_ranges": encode_tagged(list(record.plan.ranges)),
        }
        if record.id == self._own.id:
            shown[b"node"] = forest_of(
                {
                    node.raw: forest_of({b"public_key": key})
                    for node, key in record.node_keys.items()
                }
            )
        return forest_of(shown)


def _shards(plan: SubnetPlan) -> Forest:
    """Leaves of a few ranges each, under the first canister of each."""
    parts = [
        plan.ranges[start : start + _RANGES_PER_SHARD]
        for start in range(0, len(plan.ranges), _RANGES_PER_SHARD)
    ]
    return forest_of({part[0][0]: encode_tagged(list(part)) for part in parts})
