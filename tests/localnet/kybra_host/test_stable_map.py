"""Stable maps hold copies, in Rust's order, within the declared sizes, and can be undone."""

from typing import Any

import kybra
import pytest
from hypothesis import given
from hypothesis import strategies as st

from icfleet_localnet.kybra_host.conversion import PythonSide
from icfleet_localnet.kybra_host.interface import StableMapDeclaration
from icfleet_localnet.kybra_host.stable_map import StableMap
from icfleet_localnet.kybra_host.stable_memory import PAGE_SIZE, StableMemory
from icfleet_localnet.kybra_host.traps import Panic
from icfleet_protocol.candid import (
    CandidType,
    FieldType,
    OptType,
    RecordType,
    VecType,
    record,
    variant,
)
from icfleet_protocol.candid.types import (
    blob,
    bool_,
    float64,
    int32,
    nat8,
    nat64,
    null,
    principal,
    text,
)


class Classes:
    principal = kybra.Principal

    def service(self, name: str) -> Any:
        raise NameError(name)


def declare(key: CandidType, value: CandidType, sizes: tuple[int, int] = (100, 100)) -> Any:
    return StableMapDeclaration(
        memory_id=0, key=key, value=value, key_size_max=sizes[0], value_size_max=sizes[1]
    )


def open_map(
    key: CandidType,
    value: CandidType,
    memory: StableMemory | None = None,
    sizes: tuple[int, int] = (100, 100),
) -> StableMap:
    """Open a map over a memory in which a message has begun."""
    if memory is None:
        memory = StableMemory()
        memory.begin()
    return StableMap(declare(key, value, sizes), memory, {}, PythonSide({}, Classes()))


ROW = record(tags=VecType(text), n=nat64)


def test_values_are_copied_in_and_out() -> None:
    """Changing what was inserted, or what was got, changes nothing that is stored."""
    rows = open_map(nat64, ROW)
    row: Any = {"tags": ["a"], "n": 1}
    rows.insert(1, row)
    row["tags"].append("b")
    rows.get(1)["n"] = 5

    assert rows.get(1) == {"tags": ["a"], "n": 1}
    assert rows.get(1) is not rows.get(1)


def test_insert_and_remove_return_the_old_value() -> None:
    rows = open_map(text, nat64)

    answers = [rows.insert("a", 1), rows.insert("a", 2), rows.remove("a"), rows.remove("a")]

    assert answers == [None, 1, 2, None]
    assert (len(rows), rows.contains_key("a"), rows.get("a")) == (0, False, None)


ORDERS = [
    # Source: Rust's derived Ord, and candid::Principal's (length first).
    pytest.param(int32, [-5, -1, 0, 7, 100], id="ints-by-value"),
    pytest.param(text, ["", "B", "a", "aa", "b", "é", "\U0001f600"], id="text-by-utf8"),
    pytest.param(bool_, [False, True], id="false-first"),
    pytest.param(OptType(nat64), [None, 0, 5], id="none-first"),
    pytest.param(blob, [b"", b"\x00", b"\x00\x01", b"\x01"], id="bytes"),
    pytest.param(VecType(nat64), [[], [1], [1, 2], [2]], id="vec-lexicographic"),
    pytest.param(float64, [-1.5, 0.0, 2.5], id="floats"),
    pytest.param(
        RecordType((FieldType(0, text), FieldType(1, nat64))),
        [("a", 2), ("b", 1), ("b", 3)],
        id="tuple-by-field",
    ),
    # By hash the fields would sort the other way round.
    pytest.param(
        record(zebra=nat64, ant=nat64),
        [{"zebra": 1, "ant": 9}, {"zebra": 2, "ant": 0}],
        id="record-as-declared",
    ),
    pytest.param(
        variant(Zoo=nat64, Ant=null),
        [{"Zoo": 1}, {"Zoo": 2}, {"Ant": None}],
        id="variant-as-declared",
    ),
]


@pytest.mark.parametrize(("key", "ordered"), ORDERS)
def test_listings_come_in_rust_s_order(key: CandidType, ordered: list[Any]) -> None:
    """A canister that relies on the order finds the same one here."""
    rows = open_map(key, nat64)
    for index, item in reversed(list(enumerate(ordered))):
        rows.insert(item, index)

    assert rows.keys() == ordered
    assert rows.values() == list(range(len(ordered)))
    assert rows.items() == list(zip(ordered, range(len(ordered)), strict=True))


def test_principals_sort_by_length_first() -> None:
    rows = open_map(principal, nat64)
    for index, raw in enumerate([b"\x01\x00", b"\x04", b"\x00\x00\x00", b""]):
        rows.insert(kybra.Principal(raw), index)

    ordered = rows.keys()
    assert [key.bytes for key in ordered] == [b"", b"\x04", b"\x01\x00", b"\x00\x00\x00"]


SIZES = [
    # Source: kybra.md 1.9: sizes are those of the Candid message, 7 bytes and the payload.
    pytest.param(nat8, 1, 8, id="nat8"),
    pytest.param(nat64, 1, 15, id="nat64"),
    pytest.param(text, "abc", 11, id="text"),
]


@pytest.mark.parametrize(("key", "value", "size"), SIZES)
def test_sizes_are_those_of_the_candid_message(key: CandidType, value: Any, size: int) -> None:
    """An item of exactly the declared size fits; a byte more panics in Rust's words."""
    open_map(key, nat64, sizes=(size, 100)).insert(value, 1)

    with pytest.raises(Panic) as caught:
        open_map(key, nat64, sizes=(size - 1, 100)).insert(value, 1)

    assert str(caught.value) == (
        f"Panicked at 'Key is too large. Expected <= {size - 1} bytes, found {size} bytes'"
    )


def test_a_value_too_large_panics_and_stores_nothing() -> None:
    rows = open_map(nat64, text, sizes=(15, 20))

    with pytest.raises(Panic, match=r"Value is too large\. Expected <= 20 bytes"):
        rows.insert(1, "x" * 100)

    assert len(rows) == 0


def test_wrong_types_raise_as_at_any_border() -> None:
    rows = open_map(nat64, ROW)

    with pytest.raises(TypeError, match="Expected type 'int' but 'str' found"):
        rows.get("1")
    with pytest.raises(KeyError, match="tags"):
        rows.insert(1, {"n": 1})


def test_a_rollback_takes_everything_back() -> None:
    """Inserted, overwritten and removed items are as before, and so is the order."""
    memory = StableMemory()
    memory.begin()
    rows = open_map(nat64, text, memory)
    for number in (5, 1, 3):
        rows.insert(number, str(number))
    memory.commit()

    memory.begin()
    rows.insert(2, "two")
    rows.insert(5, "five")
    rows.remove(1)
    assert rows.keys() == [2, 3, 5]
    memory.rollback()

    memory.begin()
    assert rows.items() == [(1, "1"), (3, "3"), (5, "5")]


def test_a_rollback_forgets_a_map_used_for_the_first_time() -> None:
    memory = StableMemory()
    memory.begin()
    open_map(nat64, text, memory).insert(1, "x")
    memory.rollback()

    assert memory.maps == {}


def test_what_was_taken_back_can_be_done_again() -> None:
    """A query that waits for another sees its own changes when it goes on."""
    memory = StableMemory()
    memory.begin()
    rows = open_map(nat64, text, memory)
    rows.insert(1, "kept")
    memory.commit()
    memory.begin()
    rows.insert(1, "first")
    rows.insert(1, "second")
    rows.insert(2, "new")
    undone = memory.rollback()

    memory.begin()
    assert rows.items() == [(1, "kept")]
    memory.redo(undone)
    assert rows.items() == [(1, "second"), (2, "new")]
    memory.rollback()

    memory.begin()
    assert rows.items() == [(1, "kept")]


def test_new_code_reads_what_old_code_stored() -> None:
    """Types may change as far as Candid decodes; keys are sorted by the new type."""
    memory = StableMemory()
    memory.begin()
    old = open_map(record(a=nat64, b=nat64), record(n=nat64), memory)
    old.insert({"a": 1, "b": 9}, {"n": 1})
    old.insert({"a": 2, "b": 0}, {"n": 2})

    new = open_map(record(b=nat64, a=nat64), record(n=nat64, note=OptType(text)), memory)

    assert new.items() == [
        ({"b": 0, "a": 2}, {"n": 2, "note": None}),
        ({"b": 9, "a": 1}, {"n": 1, "note": None}),
    ]


def test_new_code_may_not_grow_the_sizes() -> None:
    """The stored header has the sizes; larger ones panic at the first use."""
    memory = StableMemory()
    memory.begin()
    open_map(nat64, text, memory, (15, 50)).insert(1, "x")

    assert open_map(nat64, text, memory, (15, 40)).get(1) == "x"
    with pytest.raises(Panic, match="max_value_size must be <= 50"):
        len(open_map(nat64, text, memory, (15, 51)))


def test_types_that_do_not_decode_panic() -> None:
    memory = StableMemory()
    memory.begin()
    open_map(nat64, text, memory).insert(1, "x")

    with pytest.raises(Panic, match="CandidError"):
        open_map(nat64, nat64, memory).get(1)


@given(
    st.lists(
        st.tuples(st.sampled_from("ir"), st.integers(0, 8), st.integers(0, 3), st.booleans()),
        max_size=30,
    )
)
def test_a_map_behaves_as_a_sorted_dict(steps: list[tuple[str, int, int, bool]]) -> None:
    """Whatever the steps, kept or undone, the map holds what a dict would."""
    memory = StableMemory()
    memory.begin()
    rows = open_map(nat64, nat64, memory)
    len(rows)
    memory.commit()
    model: dict[int, int] = {}
    for kind, key, value, is_kept in steps:
        memory.begin()
        before = dict(model)
        if kind == "i":
            assert rows.insert(key, value) == model.get(key)
            model[key] = value
        else:
            assert rows.remove(key) == model.pop(key, None)
        assert rows.items() == sorted(model.items())
        if is_kept:
            memory.commit()
        else:
            memory.rollback()
            model = before

    memory.begin()
    assert rows.items() == sorted(model.items())


def test_raw_memory_reads_back_across_pages() -> None:
    memory = StableMemory()
    memory.begin()

    assert memory.grow(2) == 0
    memory.write_raw(PAGE_SIZE - 2, b"abcd")

    assert memory.read(PAGE_SIZE - 3, 6) == b"\x00abcd\x00"
    assert memory.size_pages == 2


def test_raw_memory_is_undone_with_its_size() -> None:
    memory = StableMemory()
    memory.begin()
    memory.grow(1)
    memory.write_raw(0, b"kept")
    memory.commit()

    memory.begin()
    memory.grow(3)
    memory.write_raw(0, b"lost")
    memory.rollback()

    assert memory.read(0, 4) == b"kept"
    assert memory.size_pages == 1


def test_growing_past_the_platform_s_limit_is_refused() -> None:
    memory = StableMemory()
    memory.begin()

    assert memory.grow(2**40) is None
