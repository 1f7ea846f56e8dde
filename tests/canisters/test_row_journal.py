"""The working copy of one operation."""

from typing import NamedTuple

import pytest

from icfleet_canister import ByteReader, ByteWriter, EncodingError, MemoryMap
from icfleet_canister.row_journal import REASON_LENGTH_MAX, RowJournal, RuleRefusedError, refuse
from icfleet_canister.row_kinds import FLEET_SLOT, FleetRow, RowKind, RowKinds
from icfleet_canister.row_table import RowTable


class Card(NamedTuple):
    """A row found by its name."""

    name: str
    size: int


def write_card(writer: ByteWriter, row: Card) -> None:
    writer.text(row.name).number(row.size, 1)


def read_card(reader: ByteReader) -> Card:
    return Card(reader.text(), reader.number(1))


def key_of_card(row: Card) -> str:
    return row.name


KINDS = RowKinds([RowKind(16, Card, write_card, {1: read_card}, key=key_of_card)])


def journal(table: RowTable) -> RowJournal:
    return RowJournal(table, "caller", "subject", now_ns=5, seq=7)


@pytest.fixture
def table() -> RowTable:
    """Cards a and b in slots 1 and 2."""
    rows: MemoryMap[int, bytes] = MemoryMap()
    slots: MemoryMap[str, int] = MemoryMap()
    table = RowTable(rows, slots, KINDS)
    first = journal(table)
    assert (first.add(Card("a", 1)), first.add(Card("b", 2))) == (1, 2)
    table.apply(first.changes())
    return table


def test_the_first_slot_is_the_fleets(table: RowTable) -> None:
    """An application's rows come after it, on an empty table too."""
    change = journal(table)

    change.put(FLEET_SLOT, FleetRow("main", 0, ()))

    assert change.row(FLEET_SLOT) == FleetRow("main", 0, ())
    assert change.add(Card("c", 3)) == 3


def test_an_operation_sees_what_it_has_done_and_nobody_else_does(table: RowTable) -> None:
    """Until its changes are applied."""
    change = journal(table)
    change.put(1, Card("a", 9))
    added = change.add(Card("c", 3))

    assert change.row(1) == Card("a", 9)
    assert change.slot_of("c") == added
    assert (table.row(1), table.slot_of("c")) == (Card("a", 1), None)
    assert [row.slot for row in change.changes()] == [1, added]
    table.apply(change.changes())
    assert (table.row(1), table.row_by_key("c")) == (Card("a", 9), Card("c", 3))


def test_a_dropped_row_is_gone_and_its_slot_stays_empty(table: RowTable) -> None:
    """Slots are never used again."""
    change = journal(table)
    change.drop(1)

    assert (change.find(1), change.slot_of("a")) == (None, None)
    assert change.add(Card("a", 5)) == 3
    table.apply(change.changes())
    assert (table.row(1), table.slot_of("a"), table.end_slot) == (None, 3, 4)


def test_a_row_may_change_its_key(table: RowTable) -> None:
    """It is found by the new one only."""
    change = journal(table)
    change.put(1, Card("z", 1))

    assert (change.slot_of("a"), change.slot_of("z")) == (None, 1)
    table.apply(change.changes())
    assert (table.slot_of("a"), table.slot_of("z")) == (None, 1)


def test_two_rows_cannot_have_one_key(table: RowTable) -> None:
    """A rule that tries is broken, and its operation fails alone."""
    change = journal(table)
    change.add(Card("c", 1))

    for name in ("a", "c"):
        with pytest.raises(AssertionError, match="two rows with the key"):
            change.add(Card(name, 1))


def test_a_slot_beyond_the_end_cannot_be_put() -> None:
    """Slots are dense; ``add`` gives the next one."""
    rows: MemoryMap[int, bytes] = MemoryMap()
    slots: MemoryMap[str, int] = MemoryMap()

    with pytest.raises(AssertionError):
        journal(RowTable(rows, slots, KINDS)).put(1, Card("a", 1))


def test_a_value_without_room_is_an_encoding_error(table: RowTable) -> None:
    """When the rows are made, before any is written."""
    change = journal(table)
    change.put(1, Card("a", 256))

    with pytest.raises(EncodingError):
        change.changes()
    assert table.row(1) == Card("a", 1)


def test_a_reason_is_cut_where_it_would_fill_the_log() -> None:
    """It may quote what somebody sent."""
    with pytest.raises(RuleRefusedError) as caught:
        refuse("Code", "x" * 1_000_000)

    assert caught.value.code == "Code"
    assert len(caught.value.reason) == REASON_LENGTH_MAX
    assert caught.value.reason.endswith("x...")
