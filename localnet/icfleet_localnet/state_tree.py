"""The certified state as an immutable tree: a snapshot is a reference, a change is a path.

Each level is a crit-bit tree over its labels, so its shape depends on the labels alone, an update
costs the logarithm of their number in hashes, and an old version stays whole for as long as
somebody holds it. The specification leaves the shape of forks free.

Every update and every certificate walks such trees, so the walks are loops, and what they show is
written as CBOR at once.

Source: IC interface specification, "The system state tree" and "Certificate"; D. J. Bernstein,
"Crit-bit trees".
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from icfleet_protocol.cbor import encode_bytes
from icfleet_protocol.hash_tree import EMPTY, fork_digest, labeled_digest, leaf_digest

__all__ = ["EMPTY_FOREST", "Forest", "Value", "forest_of", "witness_cbor"]

_BITS_PER_BYTE = 9
"""One bit that says "there is a byte here", then its eight: so a label sorts before its longer
neighbours, as byte strings do."""

_CBOR_EMPTY = b"\x81\x00"
_CBOR_FORK = b"\x83\x01"
_CBOR_LABELED = b"\x83\x02"
_CBOR_LEAF = b"\x82\x03"
_CBOR_PRUNED = b"\x82\x04\x58\x20"
"""Heads of nodes: the array, its first item, and for a pruned one that of its 32 bytes. Source: IC
interface specification, "Certificate"."""

# Nodes are never changed, but not frozen: that would make them four times as dear to create, and
# each update creates some fifty.


@dataclass(slots=True)
class Value:
    """A leaf of the state tree."""

    raw: bytes
    digest: bytes

    @classmethod
    def of(cls, raw: bytes) -> "Value":
        """Hash a value."""
        return cls(raw, leaf_digest(raw))


@dataclass(slots=True)
class _Entry:
    label: bytes
    child: "Forest | Value"
    digest: bytes


@dataclass(slots=True)
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
        return Forest(entry if self.root is None else _insert(self.root, entry))

    def drop(self, label: bytes) -> "Forest":
        """A forest without ``label``."""
        return self if self.root is None else Forest(_remove(self.root, label))

    def neighbours(self, label: bytes) -> tuple[bytes | None, bytes | None]:
        """The labels just below and just above one that is not here."""
        if self.root is None:
            return None, None
        bit = _first_difference(label, _nearest(self.root, label).label)
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


def witness_cbor(forest: Forest, paths: Iterable[Sequence[bytes]]) -> bytes:
    """Show the subtrees at some paths, and for a path that is absent the labels around it.

    The result is a hash tree in CBOR that hashes to ``forest.digest``.
    """
    out: list[bytes] = []
    _write_witness(forest, paths, out)
    return b"".join(out)


def _write_witness(forest: Forest, paths: Iterable[Sequence[bytes]], out: list[bytes]) -> None:
    wanted: dict[bytes, list[Sequence[bytes]]] = {}
    shown: set[bytes] = set()
    for path in paths:
        if not path:
            _write_all(forest, out)
            return
        label, rest = path[0], path[1:]
        if label in wanted or forest.get(label) is not None:
            wanted.setdefault(label, []).append(rest)
        else:
            shown.update(found for found in forest.neighbours(label) if found is not None)
    if forest.root is None:
        out.append(_CBOR_EMPTY)
    else:
        _write_shown(forest.root, wanted, [*(shown | wanted.keys())], out)


def _write_shown(
    node: _Node,
    wanted: Mapping[bytes, list[Sequence[bytes]]],
    shown: Sequence[bytes],
    out: list[bytes],
) -> None:
    """Write a node with the labels that are shown of it, the rest pruned."""
    right_of_way: list[bytes] = []
    while isinstance(node, _Fork):
        if not shown:
            break
        bit, left, right = node.bit, node.left, node.right
        to_right = [label for label in shown if _bit(label, bit)]
        if not to_right:
            out.append(_CBOR_FORK)
            right_of_way.append(_CBOR_PRUNED + right.digest)
            node = left
        elif len(to_right) == len(shown):
            out.append(_CBOR_FORK + _CBOR_PRUNED + left.digest)
            node = right
        else:
            out.append(_CBOR_FORK)
            _write_shown(left, wanted, [label for label in shown if not _bit(label, bit)], out)
            node, shown = right, to_right
    if not shown or isinstance(node, _Fork):
        out.append(_CBOR_PRUNED + node.digest)
    else:
        _write_entry(node, wanted.get(node.label), out)
    out.extend(reversed(right_of_way))


def _write_entry(entry: _Entry, paths: Iterable[Sequence[bytes]] | None, out: list[bytes]) -> None:
    out.append(_CBOR_LABELED + encode_bytes(entry.label))
    child = entry.child
    if paths is None:
        out.append(_CBOR_PRUNED + child.digest)
    elif isinstance(child, Value):
        out.append(_CBOR_LEAF + encode_bytes(child.raw))
    else:
        _write_witness(child, paths, out)


def _write_all(child: Forest | Value, out: list[bytes]) -> None:
    if isinstance(child, Value):
        out.append(_CBOR_LEAF + encode_bytes(child.raw))
    elif child.root is None:
        out.append(_CBOR_EMPTY)
    else:
        _write_whole(child.root, out)


def _write_whole(node: _Node, out: list[bytes]) -> None:
    if isinstance(node, _Fork):
        out.append(_CBOR_FORK)
        _write_whole(node.left, out)
        _write_whole(node.right, out)
    else:
        out.append(_CBOR_LABELED + encode_bytes(node.label))
        _write_all(node.child, out)


def _bit(label: bytes, bit: int) -> int:
    index = bit // _BITS_PER_BYTE
    if index >= len(label):
        return 0
    inner = bit % _BITS_PER_BYTE
    return 1 if inner == 0 else label[index] >> (_BITS_PER_BYTE - 1 - inner) & 1


def _nearest(node: _Node, label: bytes) -> _Entry:
    while isinstance(node, _Fork):
        node = node.right if _bit(label, node.bit) else node.left
    return node


def _first_difference(label: bytes, other: bytes) -> int | None:
    """The first bit in which two labels differ; ``None`` if they are the same."""
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


def _insert(root: _Node, entry: _Entry) -> _Node:
    """Put an entry in the place of its equal, or beside its nearest."""
    label = entry.label
    way: list[tuple[_Fork, int]] = []
    node = root
    while isinstance(node, _Fork):
        side = _bit(label, node.bit)
        way.append((node, side))
        node = node.right if side else node.left
    bit = _first_difference(label, node.label)
    new: _Node = entry
    if bit is not None:
        # Bits grow on the way down: the new fork stands where they pass its own.
        while way and way[-1][0].bit > bit:
            node, _ = way.pop()
        new = _fork(bit, node, entry) if _bit(label, bit) else _fork(bit, entry, node)
    while way:
        fork, side = way.pop()
        new = _fork(fork.bit, fork.left, new) if side else _fork(fork.bit, new, fork.right)
    return new


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
