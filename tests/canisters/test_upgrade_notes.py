"""What is written down before an upgrade: read once, and never believed against the log."""

import pytest

from icfleet_canister import LogHead, MemoryMap
from icfleet_canister.upgrade_notes import DEBTS_MAX, Notes, UpgradeNotes

HEAD = LogHead(3, 7, b"h" * 32)
STATE_VALUE_MAX = 7_984


def debts(count: int) -> list[tuple[str, int]]:
    """So many, with the longest principals there are."""
    return [(f"{number:063d}", 10**18 + number) for number in range(count)]


@pytest.mark.parametrize("count", [0, 1, 99, 100, 101, DEBTS_MAX])
@pytest.mark.parametrize("derived", [None, b"", b"d" * 7_000])
def test_notes_are_read_once(count: int, derived: bytes | None) -> None:
    """In rows that fit the map; afterwards nothing is left of them."""
    state: MemoryMap[str, bytes] = MemoryMap(STATE_VALUE_MAX)
    UpgradeNotes(state).write(HEAD, debts(count), derived)

    assert UpgradeNotes(state).take(HEAD) == Notes(debts(count), derived)
    assert UpgradeNotes(state).take(HEAD) == Notes((), None)
    assert len(state) == 0


def test_only_so_many_debts_are_kept() -> None:
    """The first ones, which are the largest."""
    state: MemoryMap[str, bytes] = MemoryMap(STATE_VALUE_MAX)
    UpgradeNotes(state).write(HEAD, debts(DEBTS_MAX + 50), None)

    assert list(UpgradeNotes(state).take(HEAD).debts) == debts(DEBTS_MAX)


@pytest.mark.parametrize(
    "head", [HEAD._replace(epoch=4), HEAD._replace(seq=8), HEAD._replace(chain_hash=b"i" * 32)]
)
def test_derived_values_count_only_at_their_own_position(head: LogHead) -> None:
    """Debts do not depend on it."""
    state: MemoryMap[str, bytes] = MemoryMap(STATE_VALUE_MAX)
    UpgradeNotes(state).write(HEAD, debts(3), b"derived")

    assert UpgradeNotes(state).take(head) == Notes(debts(3), None)


def test_fewer_notes_leave_nothing_of_earlier_ones() -> None:
    """Though their rows were never read."""
    state: MemoryMap[str, bytes] = MemoryMap(STATE_VALUE_MAX)
    UpgradeNotes(state).write(HEAD, debts(500), b"derived")
    UpgradeNotes(state).write(HEAD, debts(2), None)

    assert UpgradeNotes(state).take(HEAD) == Notes(debts(2), None)
    assert len(state) == 0


@pytest.mark.parametrize("row", ["notes", "notes.0"])
@pytest.mark.parametrize("damage", [b"", b"\xff", b"\xff" * 60])
def test_notes_that_cannot_be_read_are_as_if_never_written(row: str, damage: bytes) -> None:
    """A later version may write others."""
    state: MemoryMap[str, bytes] = MemoryMap(STATE_VALUE_MAX)
    UpgradeNotes(state).write(HEAD, debts(2), b"derived")
    state.insert(row, damage)

    notes = UpgradeNotes(state).take(HEAD)

    assert list(notes.debts) == []


def test_notes_that_were_not_finished_do_not_count() -> None:
    """The row that makes them count comes last."""

    class Full(MemoryMap[str, bytes]):
        def insert(self, key: str, value: bytes) -> bytes | None:
            if key == "notes.2":
                raise ZeroDivisionError(key)
            return super().insert(key, value)

    state = Full()
    UpgradeNotes(state).write(HEAD, debts(1), b"old")
    with pytest.raises(ZeroDivisionError):
        UpgradeNotes(state).write(HEAD, debts(500), b"new")

    assert UpgradeNotes(state).take(HEAD) == Notes((), None)
