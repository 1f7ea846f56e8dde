"""Hash trees: the specification's example, and lookups that never lie about absence."""

from typing import Any, cast

import cbor2
import pytest
from certified_state import State, build_tree, hide, join, label_tree
from hypothesis import given
from hypothesis import strategies as st

from icfleet_protocol.errors import HashTreeError
from icfleet_protocol.hash_tree import (
    Absent,
    Fork,
    Found,
    HashTree,
    Labeled,
    Leaf,
    Pruned,
    Unknown,
    fork_digest,
    labeled_digest,
    lookup,
    parse_hash_tree,
    to_cbor,
)

# Source: IC interface specification, "Certificate", the example tree and its pruned form.
SPEC_TREE = bytes.fromhex(
    "8301830183024161830183018302417882034568656c6c6f810083024179820345776f726c6483024162820344676f"
    "6f648301830241638100830241648203476d6f726e696e67"
)
SPEC_PRUNED = bytes.fromhex(
    "83018301830241618301820458201b4feff9bef8131788b0c9dc6dbad6e81e524249c879e9f10f71ce3749f5a63883"
    "024179820345776f726c6483024162820458207b32ac0c6ba8ce35ac82c255fc7906f7fc130dab2a090f80fe12f9c2"
    "cae83ba6830182045820ec8324b8a1f1ac16bd2e806edba78006479c9877fed4eb464a25485465af601d8302416482"
    "03476d6f726e696e67"
)
SPEC_ROOT = "eb5c5b2195e62d996b84c9bcc8259d19a83786a2f59e0878cec84c811f669aa0"


def parse(encoded: bytes) -> HashTree:
    return parse_hash_tree(cbor2.loads(encoded))


@pytest.mark.parametrize("encoded", [SPEC_TREE, SPEC_PRUNED], ids=["full", "pruned"])
def test_the_specifications_trees_have_their_root(encoded: bytes) -> None:
    """Pruning does not change what was signed."""
    assert parse(encoded).digest.hex() == SPEC_ROOT


@pytest.mark.parametrize(
    ("path", "full", "pruned"),
    [
        # Source: IC interface specification, "Lookup", the examples.
        pytest.param("ax", Found(b"hello"), Unknown(), id="hidden-value"),
        pytest.param("ay", Found(b"world"), Found(b"world"), id="shown-value"),
        pytest.param("aa", Absent(), Unknown(), id="before-the-hidden"),
        pytest.param("az", Absent(), Absent(), id="after-the-shown"),
        pytest.param("b", Found(b"good"), Unknown(), id="hidden-below-its-label"),
        pytest.param("c", Absent(), Unknown(), id="empty-or-hidden"),
        pytest.param("d", Found(b"morning"), Found(b"morning"), id="last"),
        pytest.param("e", Absent(), Absent(), id="after-the-last"),
        pytest.param("a", Unknown(), Unknown(), id="no-leaf-at-the-end"),
        pytest.param("dd", Absent(), Absent(), id="below-a-leaf"),
    ],
)
def test_lookups_in_the_specifications_trees(path: str, full: object, pruned: object) -> None:
    labels = [letter.encode() for letter in path]

    assert lookup(parse(SPEC_TREE), labels) == full
    assert lookup(parse(SPEC_PRUNED), labels) == pruned


LABELS = st.binary(max_size=2)
STATES: st.SearchStrategy[State] = st.recursive(
    st.binary(max_size=5), lambda inner: st.dictionaries(LABELS, inner, max_size=5), max_leaves=12
)


@given(STATES)
def test_a_tree_comes_back_from_its_arrays(state: State) -> None:
    tree = build_tree(state)

    assert parse_hash_tree(cbor2.loads(cbor2.dumps(to_cbor(tree)))) == tree


@given(st.dictionaries(LABELS, STATES, max_size=6), LABELS)
def test_a_whole_tree_knows_everything(state: dict[bytes, State], label: bytes) -> None:
    """Nothing hidden, so what is not found is proven absent."""
    result = lookup(build_tree(state), [label])

    match state.get(label):
        case None:
            assert result == Absent()
        case bytes() as value:
            assert result == Found(value)
        case inner:
            assert result == (Unknown() if inner else Absent())


@given(st.dictionaries(LABELS, st.binary(max_size=4), max_size=8), LABELS, st.data())
def test_a_pruned_tree_never_claims_what_the_whole_one_denies(
    state: dict[bytes, State], label: bytes, data: st.DataObject
) -> None:
    """Hiding parts can only turn an answer into "unknown", and never changes the root."""
    entries: list[HashTree] = [label_tree(name, build_tree(state[name])) for name in sorted(state)]
    shown = [hide(entry) if data.draw(st.booleans()) else entry for entry in entries]
    whole, pruned = join(entries), join(shown)

    answer = lookup(pruned, [label])

    assert pruned.digest == whole.digest
    assert answer in (lookup(whole, [label]), Unknown())


def leaf(value: bytes) -> Leaf:
    tree = build_tree(value)
    assert isinstance(tree, Leaf)
    return tree


def fork(left: HashTree, right: HashTree) -> Fork:
    return Fork(left, right, fork_digest(left.digest, right.digest))


def labeled(label: bytes, tree: HashTree) -> Labeled:
    return Labeled(label, tree, labeled_digest(label, tree.digest))


@pytest.mark.parametrize(
    ("tree", "reason"),
    [
        pytest.param(
            fork(labeled(b"b", leaf(b"")), labeled(b"a", leaf(b""))), "in order", id="unsorted"
        ),
        pytest.param(
            fork(labeled(b"a", leaf(b"1")), labeled(b"a", leaf(b"2"))), "in order", id="twice"
        ),
        pytest.param(
            fork(labeled(b"b", leaf(b"")), fork(Pruned(bytes(32)), labeled(b"a", leaf(b"")))),
            "in order",
            id="unsorted-around-the-hidden",
        ),
        pytest.param(fork(leaf(b"1"), labeled(b"a", leaf(b""))), "mixes", id="leaf-beside-label"),
        pytest.param(fork(leaf(b"1"), leaf(b"2")), "mixes", id="two-leaves"),
        pytest.param(
            labeled(b"x", fork(labeled(b"b", leaf(b"")), labeled(b"a", leaf(b"")))),
            "in order",
            id="unsorted-below",
        ),
    ],
)
def test_a_tree_in_which_a_path_is_ambiguous_is_refused(tree: HashTree, reason: str) -> None:
    """Two readers of one certificate must never find different values."""
    with pytest.raises(HashTreeError, match=reason):
        parse_hash_tree(to_cbor(tree))


@pytest.mark.parametrize(
    "node",
    [
        pytest.param(None, id="null"),
        pytest.param(b"\x00", id="bytes"),
        pytest.param([], id="nothing"),
        pytest.param([5], id="unknown-kind"),
        pytest.param([0, 0], id="empty-with-more"),
        pytest.param([1, [0]], id="half-a-fork"),
        pytest.param([2, "a", [0]], id="label-as-text"),
        pytest.param([3, "a"], id="leaf-as-text"),
        pytest.param([4, bytes(31)], id="short-digest"),
        pytest.param([4, bytes(33)], id="long-digest"),
        pytest.param([1, [0], None], id="null-inside"),
    ],
)
def test_what_is_no_tree_is_refused(node: object) -> None:
    with pytest.raises(HashTreeError):
        parse_hash_tree(node)


NODES: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.integers(0, 5) | st.binary(max_size=33) | st.text(max_size=2) | st.booleans(),
    lambda inner: st.lists(inner, max_size=3),
    max_leaves=10,
)


@given(NODES)
def test_bad_nodes_raise_only_hash_tree_error(node: object) -> None:
    try:
        tree = parse_hash_tree(node)
    except HashTreeError:
        return
    assert to_cbor(tree) == _as_list(node)


def _as_list(node: object) -> object:
    return (
        [_as_list(item) for item in cast("list[object]", node)] if isinstance(node, list) else node
    )
