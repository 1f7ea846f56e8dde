"""All rows, where each is found, and what is derived from them."""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import pytest
from counting_map import CountingMap, LazyRows
from hypothesis import given
from hypothesis import strategies as st

from icfleet_canister import ByteReader, ByteWriter, EncodingError, MemoryMap, RowChange
from icfleet_canister.row_kinds import FLEET_SLOT, FleetRow, GrantRow, Row, RowKind, RowKinds
from icfleet_canister.row_table import DERIVED_SIZE_MAX, REBUILD_ROWS_MAX, Derived, RowTable


class Box(NamedTuple):
    """A row found by its name, and counted by its weight."""

    name: str
    weight: int


def write_box(writer: ByteWriter, row: Box) -> None:
    writer.text(row.name).number(row.weight, 8)


def read_box(reader: ByteReader) -> Box:
    return Box(reader.text(), reader.number(8))


def key_of_box(row: Box) -> str:
    return row.name


KINDS = RowKinds([RowKind(16, Box, write_box, {1: read_box}, key=key_of_box)])


class Weights:
    """The weight of each slot's box; the sum of them is what an application would keep."""

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        self.by_slot: dict[int, int] = {}

    def fold(self, slot: int, before: Row | None, after: Row | None) -> Iterable[str]:
        known = self.by_slot.pop(slot, None)
        assert known == (before.weight if isinstance(before, Box) else None)
        if isinstance(after, Box):
            self.by_slot[slot] = after.weight
        return ["weights"]

    def dump(self) -> bytes:
        return ByteWriter().numbers(sorted(self.by_slot)).finish()

    def load(self, data: bytes, table: RowTable) -> None:
        if len(data) % 8:
            reason = "not numbers"
            raise EncodingError(reason)
        for slot in ByteReader(data).numbers(len(data) // 8):
            self.fold(slot, None, table.row(slot))


class World:
    """A table over maps that stay when the heap is lost."""

    def __init__(self) -> None:
        self.rows: MemoryMap[int, bytes] = MemoryMap()
        self.slots: MemoryMap[str, int] = MemoryMap()
        self.end_slot = 0
        self.reopen()

    def reopen(self) -> None:
        """What an upgrade does; the member keeps where the slots end."""
        self.weights = Weights()
        self.table = RowTable(self.rows, self.slots, KINDS, self.weights)
        self.table.end_slot = self.end_slot

    def apply(self, *changes: RowChange) -> None:
        self.table.apply(changes)
        self.table.flush()
        self.end_slot = self.table.end_slot

    def check(self, expected: dict[int, Box]) -> None:
        """Rows, index and derived values are these, and nothing else."""
        assert dict(self.table.rows(0, 10**9)) == expected
        assert all(self.table.slot_of(box.name) == slot for slot, box in expected.items())
        assert len(self.slots) == len(expected)
        assert len(self.rows) == len(expected)
        if self.table.is_ready:
            assert self.weights.by_slot == {slot: box.weight for slot, box in expected.items()}


def change(slot: int, box: Box | None) -> RowChange:
    return RowChange(slot, None if box is None else KINDS.encode(box))


def boxes(count: int) -> dict[int, Box]:
    return {slot: Box(f"box {slot}", slot) for slot in range(count)}


def filled(count: int) -> World:
    world = World()
    world.apply(*(change(slot, box) for slot, box in boxes(count).items()))
    return world


updates = st.lists(st.tuples(st.integers(0, 12), st.none() | st.integers(0, 9)), max_size=40)


@given(updates, st.integers(1, 5), st.integers(0, 40))
def test_rows_index_and_derived_values_agree(
    updates: list[tuple[int, int | None]], slice_max: int, upgrade_at: int
) -> None:
    """Whatever is added, changed and removed, also while an upgrade's fold is on its way."""
    world = World()
    expected: dict[int, Box] = {}
    for index, (slot, weight) in enumerate(updates):
        if index == upgrade_at:
            world.reopen()
            world.table.begin_rebuild()
        box = None if weight is None else Box(f"box {slot}", weight)
        world.apply(change(slot, box))
        expected.pop(slot, None)
        if box is not None:
            expected[slot] = box
        world.table.rebuild_step(slice_max)
        world.check(expected)
    while not world.table.rebuild_step(slice_max):
        pass
    world.check(expected)


def test_a_slice_of_the_fold_is_bounded() -> None:
    """At a million rows as at a thousand: so many gets, and nothing else."""
    count = 1_000_000
    rows = CountingMap(LazyRows(count, lambda slot: KINDS.encode(Box(f"box {slot}", 1))))
    slots: CountingMap[str, int] = CountingMap()
    table = RowTable(rows, slots, KINDS, Weights())
    table.end_slot = count

    table.begin_rebuild()
    assert rows.take() == {}
    assert not table.rebuild_step()

    assert rows.take() == {"get": REBUILD_ROWS_MAX}
    assert slots.take() == {}


def test_a_batch_touches_each_row_and_key_once() -> None:
    """However often its operations look at them."""
    rows: CountingMap[int, bytes] = CountingMap()
    slots: CountingMap[str, int] = CountingMap()
    table = RowTable(rows, slots, KINDS, Weights())
    table.apply([change(slot, box) for slot, box in boxes(3).items()])
    table.flush()
    rows.take()
    slots.take()

    for weight in range(20):
        for slot in range(2):
            assert table.row_by_key(f"box {slot}") is not None
            assert table.slot_of("nobody") is None
            table.apply([change(slot, Box(f"box {slot}", weight))])
    table.flush()

    assert rows.take() == {"get": 2, "insert": 2}
    assert slots.take() == {"get": 3}


def test_tags_are_given_once() -> None:
    """To whoever invalidates views."""
    world = filled(2)

    assert list(world.table.take_tags()) == ["weights"]
    assert list(world.table.take_tags()) == []


def test_the_fleets_rows_are_known_without_an_application() -> None:
    """In slot 0, and by the holder's name."""
    world = World()
    fleet, grant = FleetRow("main", 1, (1,)), GrantRow("ada", ("admin",), (), all_players=False)
    assert (world.table.fleet, world.table.grant("ada")) == (None, None)

    world.apply(RowChange(FLEET_SLOT, KINDS.encode(fleet)), RowChange(1, KINDS.encode(grant)))

    assert (world.table.fleet, world.table.grant("ada")) == (fleet, grant)


def test_a_dump_brings_the_derived_values_back_at_once() -> None:
    """Without a fold."""
    world = filled(5)
    dump = world.table.dump_derived()
    assert dump is not None

    world.reopen()
    world.table.begin_rebuild()
    assert world.table.dump_derived() is None
    assert world.table.load_derived(dump)

    assert world.table.is_ready
    world.check(boxes(5))


def test_a_dump_that_cannot_be_read_leaves_the_fold_to_do() -> None:
    """Nothing of it is kept."""
    world = filled(5)
    world.reopen()
    world.table.begin_rebuild()

    assert not world.table.load_derived(b"\x01")

    assert not world.table.is_ready
    assert world.table.rebuild_step()
    world.check(boxes(5))


class Faulty(Weights):
    """A studio's mistake."""

    def dump(self) -> bytes:
        return bytes(DERIVED_SIZE_MAX + 1) if self.by_slot else self.by_slot[7].to_bytes(1, "big")


def test_a_dump_that_fails_or_is_too_large_is_no_dump() -> None:
    """An upgrade must not fail for it."""
    world = World()
    table = RowTable(world.rows, world.slots, KINDS, Faulty())

    assert table.dump_derived() is None
    table.apply([change(0, Box("a", 1))])
    assert table.dump_derived() is None


def test_a_table_without_derived_values_has_nothing_to_fold() -> None:
    """It is ready after one step, and has nothing to dump."""
    world = filled(3)
    table = RowTable(world.rows, world.slots, KINDS)
    table.end_slot = 3

    table.begin_rebuild()
    assert not table.is_ready
    assert table.rebuild_step()
    assert table.dump_derived() is None
    table.begin_rebuild()
    assert table.load_derived(b"")
    assert table.is_ready


def copy_pages(source: RowTable, size_max: int) -> Iterable[tuple[int, int, Sequence[RowChange]]]:
    first = 0
    while first < source.end_slot:
        page, end = source.page(first, size_max, 4)
        yield first, end, page
        first = end


@given(
    st.sets(st.integers(0, 20)),
    st.sets(st.integers(1, 30)),
    st.integers(1, 200),
    st.sampled_from([-1, 1]),
)
def test_seeding_makes_any_table_like_another(
    theirs: set[int], ours: set[int], size_max: int, shift: int
) -> None:
    """Absent rows go, rows beyond the end go, keys lead where they should."""
    source, target = World(), World()
    source.apply(*(change(slot, Box(f"box {slot}", slot)) for slot in range(23)))
    # The last rows of the table may be gone too, and the table is as long as before.
    source.apply(*(change(slot, None) for slot in range(23) if slot not in theirs))
    # The same names in other places, before and behind: keys must move.
    target.apply(*(change(slot, Box(f"box {slot + shift}", 1)) for slot in sorted(ours)))

    for first, end, page in copy_pages(source.table, size_max):
        target.table.seed(first, end, page)
        assert not target.table.rebuild_step()
    while not target.table.clear_from(source.table.end_slot, 3):
        pass
    target.table.begin_rebuild()
    while not target.table.rebuild_step(4):
        pass

    assert target.table.end_slot == source.table.end_slot
    target.check({slot: Box(f"box {slot}", slot) for slot in theirs})


def test_records_replayed_over_a_page_end_where_the_page_was() -> None:
    """The page shows slot 2; the records from before it make it again, step by step."""
    world = World()
    world.table.seed(0, 3, [change(2, Box("moved", 2))])

    for step in (
        change(1, Box("moved", 1)),  # where it was when the seeding began
        change(1, None),
        change(2, Box("moved", 2)),
    ):
        world.table.apply([step])
        world.table.flush()
    world.table.begin_rebuild()
    assert world.table.rebuild_step()

    world.check({2: Box("moved", 2)})


def test_a_page_is_cut_by_size_and_by_slots() -> None:
    """And never empty for want of room, so that seeding always goes on."""
    world = filled(5)
    world.apply(change(1, None))
    table = world.table

    assert [row.slot for row in table.page(0, 10**6, 10**6)[0]] == [0, 2, 3, 4]
    assert table.page(0, 1, 100) == ([change(0, Box("box 0", 0))], 2)
    assert table.page(1, 1, 1) == ([], 2)
    assert table.page(0, 10**6, 0)[1] == 1
    assert table.page(5, 10, 10) == ([], 5)
    assert table.page(99, 10, 10) == ([], 99)


@pytest.mark.parametrize(
    "bad",
    [
        RowChange(3, KINDS.encode(Box("b", 1))),
        RowChange(0, None),
        RowChange(0, b"\x09\x10"),
        RowChange(0, KINDS.encode(Box("x" * 91, 1))),
    ],
    ids=["other-range", "absent", "newer", "long-key"],
)
def test_a_page_that_is_not_right_changes_nothing(bad: RowChange) -> None:
    """Rows of another range, absent ones, and rows that newer code has written."""
    world = filled(4)

    with pytest.raises(EncodingError):
        world.table.seed(0, 3, [change(1, Box("new", 1)), bad])

    assert world.table.is_ready
    world.check(boxes(4))


@pytest.mark.parametrize(
    ("value", "problem"),
    [
        (KINDS.encode(Box("b", 1)), None),
        (None, None),
        (b"\x09\x10", "row 1: row of version 9 and kind 16"),
        (KINDS.encode(Box("b", 1)) + b"x", "row 1: 1 bytes left over"),
        (KINDS.encode(Box("x" * 91, 1)), "row 1: key of 91 bytes, at most 90 allowed"),
    ],
    ids=["right", "gone", "newer", "too-long", "long-key"],
)
def test_rows_of_another_canister_are_looked_at_first(
    value: bytes | None, problem: str | None
) -> None:
    """So that a record is applied whole or not at all."""
    table = filled(1).table

    assert table.problem([change(0, Box("a", 1)), RowChange(1, value)]) == problem


def test_clearing_is_done_in_slices_from_the_end() -> None:
    """Each leaves a table that is whole up to its end."""
    world = filled(10)
    table = world.table

    assert not table.clear_from(4, 4)
    assert table.end_slot == 6
    assert table.clear_from(4, 4)
    assert table.clear_from(4, 4)
    table.begin_rebuild()
    assert table.rebuild_step()

    assert table.end_slot == 4
    world.check(boxes(4))


def test_weights_are_what_the_protocol_asks_for() -> None:
    """So the tests above speak for every application."""
    derived: Derived = Weights()

    assert derived.dump() == b""
