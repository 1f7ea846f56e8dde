"""Hash trees: what certificates reveal of the state, and how it hashes together.

Source: IC interface specification, "Certificate", "Lookup".
"""

import hashlib
import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast

from icfleet_protocol.domain import (
    HASH_TREE_EMPTY,
    HASH_TREE_FORK,
    HASH_TREE_LABELED,
    HASH_TREE_LEAF,
)
from icfleet_protocol.errors import HashTreeError

__all__ = [
    "EMPTY",
    "Absent",
    "Empty",
    "Fork",
    "Found",
    "HashTree",
    "Labeled",
    "Leaf",
    "Lookup",
    "Pruned",
    "Unknown",
    "find_subtree",
    "flatten",
    "fork_digest",
    "labeled_digest",
    "leaf_digest",
    "lookup",
    "parse_hash_tree",
    "to_cbor",
]

_DIGEST_SIZE = 32


@dataclass(frozen=True, slots=True)
class Empty:
    """A subtree with nothing in it."""

    digest: bytes


@dataclass(frozen=True, slots=True)
class Fork:
    """Two subtrees side by side; every label on the left is below every one on the right."""

    left: "HashTree"
    right: "HashTree"
    digest: bytes


@dataclass(frozen=True, slots=True)
class Labeled:
    """A subtree under a name."""

    label: bytes
    tree: "HashTree"
    digest: bytes


@dataclass(frozen=True, slots=True)
class Leaf:
    """A value."""

    value: bytes
    digest: bytes


@dataclass(frozen=True, slots=True)
class Pruned:
    """A subtree that is not shown: its digest only."""

    digest: bytes


HashTree = Empty | Fork | Labeled | Leaf | Pruned
EMPTY = Empty(hashlib.sha256(HASH_TREE_EMPTY).digest())


@dataclass(frozen=True, slots=True)
class Found:
    """The path leads to this value."""

    value: bytes


@dataclass(frozen=True, slots=True)
class Absent:
    """The tree proves that the path does not exist."""


@dataclass(frozen=True, slots=True)
class Unknown:
    """A pruned subtree might hide the path, or the path ends above the leaves."""


Lookup = Found | Absent | Unknown


def leaf_digest(value: bytes) -> bytes:
    """Hash a value as a leaf."""
    return hashlib.sha256(HASH_TREE_LEAF + value).digest()


def labeled_digest(label: bytes, digest: bytes) -> bytes:
    """Hash a label above a subtree's digest."""
    return hashlib.sha256(HASH_TREE_LABELED + label + digest).digest()


def fork_digest(left: bytes, right: bytes) -> bytes:
    """Hash two digests side by side."""
    return hashlib.sha256(HASH_TREE_FORK + left + right).digest()


def parse_hash_tree(node: object) -> HashTree:
    """Read a tree from decoded CBOR, hashing it on the way.

    Recursion is bounded by the depth that ``cbor.decode_map`` accepts.

    Raises:
        HashTreeError: If the structure is not a hash tree, or its labels are out of order.
    """
    tree = _parse(node)
    _check_order(tree)
    return tree


def to_cbor(tree: HashTree) -> list[object]:
    """Write a tree as the nested arrays that CBOR wants."""
    match tree:
        case Empty():
            return [0]
        case Fork(left, right):
            return [1, to_cbor(left), to_cbor(right)]
        case Labeled(label, inner):
            return [2, label, to_cbor(inner)]
        case Leaf(value):
            return [3, value]
        case Pruned(digest):
            return [4, digest]


def flatten(tree: HashTree) -> list[Labeled | Leaf | Pruned]:
    """List what stands side by side at the top of a tree, from left to right."""
    flat: list[Labeled | Leaf | Pruned] = []
    stack: list[HashTree] = [tree]
    while stack:
        node = stack.pop()
        match node:
            case Fork(left, right):
                stack += (right, left)
            case Empty():
                pass
            case _:
                flat.append(node)
    return flat


def find_subtree(tree: HashTree, path: Sequence[bytes]) -> HashTree | Absent | Unknown:
    """Follow labels down; an empty path is the tree itself."""
    node = tree
    for label in path:
        step = _find_label(node, label)
        if not isinstance(step, Labeled):
            return step
        node = step.tree
    return node


def lookup(tree: HashTree, path: Sequence[bytes]) -> Lookup:
    """Find the value at a path, or learn whether its absence is proven."""
    node = find_subtree(tree, path)
    match node:
        case Leaf(value):
            return Found(value)
        case Absent() | Empty():
            return Absent()
        case _:
            return Unknown()


def _find_label(tree: HashTree, label: bytes) -> Labeled | Absent | Unknown:
    is_hidden = False
    for node in flatten(tree):
        match node:
            case Labeled(name) if name == label:
                return node
            case Labeled(name) if name > label:
                return Unknown() if is_hidden else Absent()
            case Labeled():
                is_hidden = False
            case Pruned():
                is_hidden = True
            case Leaf():
                return Absent()
    return Unknown() if is_hidden else Absent()


def _parse(node: object) -> HashTree:
    if not isinstance(node, Sequence) or isinstance(node, (str, bytes)):
        reason = "a hash tree node is not an array"
        raise HashTreeError(reason)
    match tuple(cast("Sequence[object]", node)):
        case (0,):
            return EMPTY
        case (1, left_node, right_node):
            left, right = _parse(left_node), _parse(right_node)
            return Fork(left, right, fork_digest(left.digest, right.digest))
        case (2, bytes() as label, inner_node):
            inner = _parse(inner_node)
            return Labeled(label, inner, labeled_digest(label, inner.digest))
        case (3, bytes() as value):
            return Leaf(value, leaf_digest(value))
        case (4, bytes() as digest) if len(digest) == _DIGEST_SIZE:
            return Pruned(digest)
        case _:
            reason = "not a hash tree node"
            raise HashTreeError(reason)


def _check_order(tree: HashTree) -> None:
    """Refuse trees in which a label could be found in two places, or beside a leaf."""
    stack = [tree]
    while stack:
        flat = flatten(stack.pop())
        labels = [node.label for node in flat if isinstance(node, Labeled)]
        if any(first >= second for first, second in itertools.pairwise(labels)):
            reason = "the labels of a hash tree are not in order"
            raise HashTreeError(reason)
        if len(flat) > 1 and any(isinstance(node, Leaf) for node in flat):
            reason = "a hash tree mixes a leaf with other nodes"
            raise HashTreeError(reason)
        stack += [node.tree for node in flat if isinstance(node, Labeled)]
