"""The certified state is a plain mapping whose hash and witnesses any client can check."""

import bisect
from collections.abc import Sequence
from random import Random

import cbor2
from hypothesis import given
from hypothesis import strategies as st

from icfleet_localnet.state_tree import EMPTY_FOREST, Forest, Value, forest_of, witness_cbor
from icfleet_protocol.hash_tree import EMPTY, Absent, Found, HashTree, lookup, parse_hash_tree

LABELS = st.binary(max_size=5)
CONTENTS = st.dictionaries(LABELS, st.binary(max_size=8), max_size=40)


def _witness(forest: Forest, paths: Sequence[Sequence[bytes]]) -> HashTree:
    return parse_hash_tree(cbor2.loads(witness_cbor(forest, paths)))


def _build(contents: dict[bytes, bytes]) -> Forest:
    return forest_of(dict(contents))


@given(contents=CONTENTS)
def test_a_forest_gives_back_what_was_put(contents: dict[bytes, bytes]) -> None:
    forest = _build(contents)

    found = {label: forest.get(label) for label in contents}

    assert found == {label: Value.of(raw) for label, raw in contents.items()}


@given(contents=CONTENTS, order=st.randoms(use_true_random=False))
def test_the_hash_depends_on_the_contents_alone(
    contents: dict[bytes, bytes], order: Random
) -> None:
    """However a state was reached, with whatever detours, it hashes the same."""
    shuffled = list(contents.items())
    order.shuffle(shuffled)
    detour = _build({label + b"!": b"x" for label in contents})
    for label, raw in shuffled:
        detour = detour.put(label, Value.of(b"old")).put(label, Value.of(raw))
    for label in contents:
        if label + b"!" not in contents:
            detour = detour.drop(label + b"!")

    assert detour.digest == _build(contents).digest


@given(contents=CONTENTS, asked=st.lists(LABELS, max_size=5))
def test_a_witness_proves_presence_and_absence(
    contents: dict[bytes, bytes], asked: list[bytes]
) -> None:
    """Each path that was asked for is found with its value, or proven not to exist."""
    forest = _build(contents)

    tree = _witness(forest, [[label] for label in asked])

    assert tree.digest == forest.digest
    for label in asked:
        expected = Found(contents[label]) if label in contents else Absent()
        assert lookup(tree, [label]) == expected


@given(contents=CONTENTS.filter(bool), label=LABELS)
def test_neighbours_are_the_labels_around(contents: dict[bytes, bytes], label: bytes) -> None:
    contents.pop(label, None)
    labels = sorted(contents)
    index = bisect.bisect(labels, label)
    below = labels[index - 1] if index else None
    above = labels[index] if index < len(labels) else None

    assert _build(contents).neighbours(label) == (below, above)


def test_an_old_version_stays_whole() -> None:
    """A snapshot is a reference: later changes do not reach it."""
    before = forest_of({b"a": b"1", b"b": b"2"})
    digest = before.digest

    after = before.put(b"a", Value.of(b"changed")).drop(b"b")

    assert before.digest == digest
    assert before.get(b"b") == Value.of(b"2")
    assert after.get(b"b") is None


def test_an_inner_path_reveals_its_whole_subtree() -> None:
    """So that a client learns what is *not* below it, such as a missing error_code."""
    state = forest_of({b"request_status": forest_of({b"id": forest_of({b"status": b"received"})})})

    tree = _witness(state, [[b"request_status", b"id"]])

    assert lookup(tree, [b"request_status", b"id", b"status"]) == Found(b"received")
    assert lookup(tree, [b"request_status", b"id", b"reply"]) == Absent()


def test_the_empty_forest_hashes_as_the_empty_tree() -> None:
    assert EMPTY_FOREST.digest == EMPTY.digest
    assert _witness(EMPTY_FOREST, [[b"x"]]) == EMPTY
