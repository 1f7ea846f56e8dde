"""The certified state as an immutable tree: a snapshot is a reference, a change is a path.

Each level is a crit-bit tree over its labels, so its shape depends on the labels alone, an update
costs the logarithm of their number in hashes, and an old version stays whole for as long as
somebody holds it. The specification leaves the shape of forks free.

Source: IC interface specification, "The system state tree" and "Certificate"; D. J. Bernstein,
"Crit-bit trees".
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

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
)

__all__ = ["EMPTY_FOREST", "Forest", "Value", "forest_of", "witness"]

_BITS_PER_BYTE = 9
"""One bit that says "there is a byte here", then its eight: so a label sorts before its longer
neighbours, as byte strings do."""


@dataclass(frozen=True, slots=True)
class Value:
    """A leaf of the state tree."""

    raw: bytes
    digest: bytes

    @classmethod
    def of(cls, raw: bytes) -> "Value":
        """Hash a value."""
        return cls(raw, leaf_digest(raw))


@dataclass(frozen=True, slots=True)
class _Entry:
    label: bytes
    child: "Forest | Value"
    digest: bytes


@dataclass(frozen=True, slots=True)
class _Fork:
    bit: int
    left: "_Node"
    right: "_Node"
    digest: bytes


_Node = _Entry | _Fork


@dataclass(frozen=True, slots=True)
class Forest:
    """Labeled subtrees side by side."""

    root: _Node | None = None

    @property
    def digest(self) -> bytes:
        """The hash of everything below."""
        return EMPTY.digest if self.root is None else self.root.digest

    def get(self, label: bytes) -> "Forest | Value | None":
        """The subtree under a label."""
        entry = None if self.root is None else _nearest(self.root, label)
        return entry.child if entry is not None and entry.label == label else None

    def put(self, label: bytes, child: "Forest | Value") -> "Forest":
        """A forest with ``child`` under ``label``, whatever stood there before."""
        entry = _Entry(label, child, labeled_digest(label, child.digest))
        if self.root is None:
            return Forest(entry)
        return Forest(_insert(self.root, entry, _first_difference(self.root, label)))

    def drop(self, label: bytes) -> "Forest":
        """A forest without ``label``."""
        return self if self.root is None else Forest(_remove(self.root, label))

    def neighbours(self, label: bytes) -> tuple[bytes | None, bytes | None]:
        """The labels just below and just above one that is not here."""
        if self.root is None:
            return None, None
        bit = _first_difference(self.root, label)
        assert bit is not None, "the label is here"
        below: _Node | None = None
        above: _Node | None = None
        node = self.root
        while isinstance(node, _Fork) and node.bit < bit:
            if _bit(label, node.bit):
                below, node = node.left, node.right
            else:
                above, node = node.right, node.left
        if _bit(label, bit):
            below = node
        else:
            above = node
        return (
            None if below is None else _outermost(below, is_right=True),
            None if above is None else _outermost(above, is_right=False),
        )


EMPTY_FOREST = Forest()


def forest_of(children: Mapping[bytes, "Forest | Value | bytes"]) -> Forest:
    """Build a forest from labels and subtrees; plain bytes become leaves."""
    forest = EMPTY_FOREST
    for label, child in children.items():
        forest = forest.put(label, Value.of(child) if isinstance(child, bytes) else child)
    return forest


def witness(forest: Forest, paths: Iterable[Sequence[bytes]]) -> HashTree:
    """Show the subtrees at some paths, and for a path that is absent the labels around it.

    The result hashes to ``forest.digest``.
    """
    wanted: dict[bytes, list[Sequence[bytes]]] = {}
    shown: set[bytes] = set()
    for path in paths:
        if not path:
            return _reveal(forest)
        label, rest = path[0], path[1:]
        if forest.get(label) is not None:
            wanted.setdefault(label, []).append(rest)
        else:
            shown.update(found for found in forest.neighbours(label) if found is not None)
    if forest.root is None:
        return EMPTY
    return _prune(forest.root, wanted, sorted(shown | wanted.keys()))


def _prune(
    node: _Node, wanted: Mapping[bytes, list[Sequence[bytes]]], shown: Sequence[bytes]
) -> HashTree:
    if not shown:
        return Pruned(node.digest)
    if isinstance(node, _Fork):
        left = [label for label in shown if not _bit(label, node.bit)]
        right = [label for label in shown if _bit(label, node.bit)]
        return Fork(_prune(node.left, wanted, left), _prune(node.right, wanted, right), node.digest)
    rest = wanted.get(node.label)
    if rest is None:
        return Labeled(node.label, Pruned(node.child.digest), node.digest)
    if isinstance(node.child, Value):
        return Labeled(node.label, Leaf(node.child.raw, node.child.digest), node.digest)
    return Labeled(node.label, witness(node.child, rest), node.digest)


def _reveal(child: Forest | Value) -> HashTree:
    if isinstance(child, Value):
        return Leaf(child.raw, child.digest)
    return EMPTY if child.root is None else _reveal_node(child.root)


def _reveal_node(node: _Node) -> HashTree:
    if isinstance(node, _Fork):
        return Fork(_reveal_node(node.left), _reveal_node(node.right), node.digest)
    return Labeled(node.label, _reveal(node.child), node.digest)


def _bit(label: bytes, bit: int) -> int:
    index, inner = divmod(bit, _BITS_PER_BYTE)
    if index >= len(label):
        return 0
    return 1 if inner == 0 else label[index] >> (_BITS_PER_BYTE - 1 - inner) & 1


def _nearest(node: _Node, label: bytes) -> _Entry:
    while isinstance(node, _Fork):
        node = node.right if _bit(label, node.bit) else node.left
    return node


def _first_difference(root: _Node, label: bytes) -> int | None:
    """The first bit in which a label differs from its nearest entry; ``None`` if it is there."""
    other = _nearest(root, label).label
    if other == label:
        return None
    common = 0
    for mine, theirs in zip(label, other, strict=False):
        if mine != theirs:
            return common * _BITS_PER_BYTE + _BITS_PER_BYTE - (mine ^ theirs).bit_length()
        common += 1
    return common * _BITS_PER_BYTE


def _fork(bit: int, left: _Node, right: _Node) -> _Fork:
    return _Fork(bit, left, right, fork_digest(left.digest, right.digest))


def _insert(node: _Node, entry: _Entry, bit: int | None) -> _Node:
    if isinstance(node, _Fork) and (bit is None or node.bit < bit):
        if _bit(entry.label, node.bit):
            return _fork(node.bit, node.left, _insert(node.right, entry, bit))
        return _fork(node.bit, _insert(node.left, entry, bit), node.right)
    if bit is None:
        return entry
    return _fork(bit, node, entry) if _bit(entry.label, bit) else _fork(bit, entry, node)


def _remove(node: _Node, label: bytes) -> _Node | None:
    if isinstance(node, _Entry):
        return None if node.label == label else node
    if _bit(label, node.bit):
        right = _remove(node.right, label)
        return node.left if right is None else _fork(node.bit, node.left, right)
    left = _remove(node.left, label)
    return node.right if left is None else _fork(node.bit, left, node.right)


def _outermost(node: _Node, *, is_right: bool) -> bytes:
    while isinstance(node, _Fork):
        node = node.right if is_right else node.left
    return node.label
