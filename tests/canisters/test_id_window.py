"""The window of used operation ids."""

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from icfleet_canister import ChangeLog, ChangeRecord, IdWindow, LogHead, MemoryMap
from icfleet_canister.id_window import CREATED_AHEAD_MAX_NS, CREATED_BEHIND_MAX_NS, ID_MEMORY_NS
from icfleet_canister.log_record import APPLIED, encode_record

SECOND_NS = 1_000_000_000


def an_id(number: int) -> bytes:
    return number.to_bytes(16, "big")


def test_subject_and_id_together_name_an_operation() -> None:
    """Two subjects may choose the same id."""
    window = IdWindow()
    window.remember("ada", an_id(1), 7, now_ns=0)

    assert window.seq_of("ada", an_id(1)) == 7
    assert window.seq_of("bob", an_id(1)) is None
    assert window.seq_of("ada", an_id(2)) is None


@given(st.integers(-CREATED_BEHIND_MAX_NS, CREATED_AHEAD_MAX_NS), st.integers(0, 2 * ID_MEMORY_NS))
def test_an_id_that_can_still_come_again_is_never_forgotten(created_ns: int, now_ns: int) -> None:
    """Applied at 0: while its ``created_at`` would be accepted, the id is known."""
    window = IdWindow()
    window.remember("ada", an_id(1), 1, now_ns=0)

    window.sweep(now_ns, 100)

    would_be_accepted = now_ns - CREATED_BEHIND_MAX_NS <= created_ns
    assert window.seq_of("ada", an_id(1)) == 1 or not would_be_accepted


def test_a_sweep_does_bounded_work_and_goes_on_where_it_stopped() -> None:
    """Ten expired ids, four at a time."""
    window = IdWindow()
    for number in range(10):
        window.remember("ada", an_id(number), number, now_ns=number // 5)
    late_ns = 2 * ID_MEMORY_NS

    work = [window.sweep(late_ns, 4) for _ in range(4)]

    assert work == [4, 4, 2, 0]
    assert len(window) == 0
    assert window.next_sweep_ns() is None


def test_a_full_window_says_when_there_is_room_again() -> None:
    """No id is dropped to make room: that would apply an operation twice."""
    window = IdWindow(capacity=2)
    window.remember("ada", an_id(1), 1, now_ns=0)
    window.remember("ada", an_id(2), 2, now_ns=5)

    had_room = window.has_room
    assert window.retry_after_ns(now_ns=100) == ID_MEMORY_NS - 100
    assert window.retry_after_ns(now_ns=2 * ID_MEMORY_NS) == SECOND_NS
    window.sweep(ID_MEMORY_NS + 1, 100)
    assert (had_room, window.has_room) == (False, True)
    assert window.seq_of("ada", an_id(2)) == 2


def logged(times_ns: Sequence[int]) -> ChangeLog:
    """A log with one record for each time, each in a page of its own."""
    log = ChangeLog(MemoryMap[int, bytes](), LogHead.empty(1))
    for seq, now_ns in enumerate(times_ns, start=1):
        record = ChangeRecord(seq, "ada", an_id(seq), b"d" * 32, now_ns, APPLIED, ())
        log.append([encode_record(record)], now_ns)
    return log


def test_after_an_upgrade_the_window_is_read_back_from_the_log() -> None:
    """Newest first, a few pages at a time, and not beyond what can come again."""
    log = logged([0, SECOND_NS, ID_MEMORY_NS, ID_MEMORY_NS + SECOND_NS])
    now_ns = ID_MEMORY_NS + SECOND_NS
    window = IdWindow(restore_from_page=log.page_count - 1)

    was_complete: list[bool] = []
    for _ in range(2):
        was_complete.append(window.is_complete)
        assert window.restore(log, now_ns, pages_max=2) == 2

    assert (was_complete, window.is_complete) == ([False, False], True)
    assert [window.seq_of("ada", an_id(seq)) for seq in (1, 2, 3, 4)] == [None, 2, 3, 4]
    assert window.next_sweep_ns() == SECOND_NS + ID_MEMORY_NS


def test_a_restored_window_forgets_in_the_same_order() -> None:
    """Sweeping after a restoration is sweeping as if there had been none."""
    log = logged([0, SECOND_NS])
    window = IdWindow(restore_from_page=1)
    window.restore(log, SECOND_NS, pages_max=10)
    window.remember("ada", an_id(3), 3, now_ns=2 * SECOND_NS)

    window.sweep(ID_MEMORY_NS + SECOND_NS, 10)

    assert [window.seq_of("ada", an_id(seq)) for seq in (1, 2, 3)] == [None, 2, 3]


def test_an_empty_log_needs_no_restoration() -> None:
    """A fresh main can decide at once."""
    window = IdWindow()

    assert window.is_complete
    assert window.restore(logged([]), 0, pages_max=1) == 0


def test_remembering_beyond_the_capacity_is_a_programmers_error() -> None:
    """The caller asks for room first."""
    window = IdWindow(capacity=1)
    window.remember("ada", an_id(1), 1, now_ns=0)

    with pytest.raises(AssertionError):
        window.remember("ada", an_id(2), 2, now_ns=0)
