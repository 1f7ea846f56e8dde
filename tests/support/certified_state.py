"""Small certified states: trees written as nested dicts, signed with keys made for tests."""

from collections.abc import Iterable, Mapping, Sequence
from typing import TypeAlias

from icfleet_protocol.bls import BlsSecretKey
from icfleet_protocol.cbor import SELF_DESCRIBE_TAG, encode_tagged
from icfleet_protocol.domain import STATE_ROOT
from icfleet_protocol.hash_tree import (
    EMPTY,
    Fork,
    HashTree,
    Labeled,
    Leaf,
    Pruned,
    fork_digest,
    labeled_digest,
    leaf_digest,
    to_cbor,
)
from icfleet_protocol.leb128 import encode_uleb128
from icfleet_protocol.principal import Principal

State: TypeAlias = bytes | Mapping[bytes, "State"]

FIRST_CANISTER = bytes.fromhex("00000000000000000101")
LAST_CANISTER = bytes.fromhex("ffffffffffffffff0101")


def build_tree(state: State) -> HashTree:
    """Show a whole state."""
    if isinstance(state, bytes):
        return Leaf(state, leaf_digest(state))
    return join([label_tree(name, build_tree(state[name])) for name in sorted(state)])


def label_tree(name: bytes, tree: HashTree) -> Labeled:
    return Labeled(name, tree, labeled_digest(name, tree.digest))


def join(trees: Sequence[HashTree]) -> HashTree:
    """Put trees side by side, balanced."""
    if not trees:
        return EMPTY
    if len(trees) == 1:
        return trees[0]
    middle = (len(trees) + 1) // 2
    left, right = join(trees[:middle]), join(trees[middle:])
    return Fork(left, right, fork_digest(left.digest, right.digest))


def hide(tree: HashTree) -> Pruned:
    return Pruned(tree.digest)


def ranges_of(*pairs: tuple[bytes, bytes]) -> bytes:
    """Encode canister ranges as the state holds them: a tagged array."""
    encoded = encode_tagged({"r": [list(pair) for pair in pairs]})
    return SELF_DESCRIBE_TAG + encoded.removeprefix(SELF_DESCRIBE_TAG + b"\xa1\x61r")


def certify(
    state: State | HashTree, key: BlsSecretKey, *, delegation: Mapping[str, object] | None = None
) -> bytes:
    """Sign a state, with a delegation if the key is not the root's."""
    tree = build_tree(state) if isinstance(state, (bytes, Mapping)) else state
    fields: dict[str, object] = {
        "tree": to_cbor(tree),
        "signature": key.sign(STATE_ROOT + tree.digest),
    }
    if delegation is not None:
        fields["delegation"] = delegation
    return encode_tagged(fields)


def delegate(
    root: BlsSecretKey,
    subnet_key_der: bytes,
    *,
    time_ns: int,
    ranges: Iterable[tuple[bytes, bytes]] = ((FIRST_CANISTER, LAST_CANISTER),),
    is_sharded: bool = True,
) -> dict[str, object]:
    """Let the root key vouch for a subnet's key and canister ranges, in shards or flat."""
    subnet = Principal.self_authenticating(subnet_key_der).raw
    pairs = list(ranges)
    about: dict[bytes, State] = {b"public_key": subnet_key_der}
    state: dict[bytes, State] = {b"time": encode_uleb128(time_ns), b"subnet": {subnet: about}}
    if is_sharded:
        state[b"canister_ranges"] = {subnet: {low: ranges_of((low, high)) for low, high in pairs}}
    else:
        about[b"canister_ranges"] = ranges_of(*pairs)
    return {"subnet_id": subnet, "certificate": certify(state, root)}
