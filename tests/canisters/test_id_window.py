"""The window of used operation ids."""

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from icfleet_canister import ChangeLog, ChangeRecord, IdWindow, MemoryMap, RowChange
from icfleet_canister.change_log import PAGE_SIZE_MAX
from icfleet_canister.id_window import CREATED_AHEAD_MAX_NS, CREATED_BEHIND_MAX_NS, ID_MEMORY_NS
from icfleet_canister.log_record import APPLIED, encode_epoch, encode_record, library_id

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
    log = ChangeLog(MemoryMap[int, bytes](PAGE_SIZE_MAX))
    for seq, now_ns in enumerate(times_ns, start=1):
        result = APPLIED if seq > 1 else encode_epoch(1)
        rows = (RowChange(0, bytes(7_000)),)
        record = ChangeRecord(seq, "ada", an_id(seq), b"d" * 32, now_ns, result, rows)
        log.append([encode_record(record)], now_ns)
    assert log.page_count == len(times_ns)
    return log


def test_after_an_upgrade_the_window_is_read_back_from_the_log() -> None:
    """Newest first, a few pages at a time, and not beyond what can come again."""
    log = logged([0, SECOND_NS, ID_MEMORY_NS, ID_MEMORY_NS + SECOND_NS])
    now_ns = ID_MEMORY_NS + SECOND_NS
    window = IdWindow()
    window.begin_restore(log)

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
    window = IdWindow()
    window.begin_restore(log)
    window.restore(log, SECOND_NS, pages_max=10)
    window.remember("ada", an_id(3), 3, now_ns=2 * SECOND_NS)

    window.sweep(ID_MEMORY_NS + SECOND_NS, 10)

    assert [window.seq_of("ada", an_id(seq)) for seq in (1, 2, 3)] == [None, 2, 3]


def test_an_empty_log_needs_no_restoration() -> None:
    """A fresh main can decide at once."""
    log = ChangeLog(MemoryMap[int, bytes]())
    window = IdWindow()
    window.begin_restore(log)

    assert window.is_complete
    assert window.restore(log, 0, pages_max=1) == 0


def test_pages_that_are_trimmed_meanwhile_are_not_missed() -> None:
    """They are of the past, or they would still be there."""
    late_ns = 2 * ID_MEMORY_NS
    log = logged([0, 0, 0, late_ns])
    window = IdWindow()
    window.begin_restore(log)
    window.restore(log, late_ns, pages_max=1)
    log.trim(late_ns, 1, 100)

    window.restore(log, late_ns, pages_max=10)

    assert window.is_complete
    assert len(window) == 1


def test_the_librarys_own_records_take_no_room() -> None:
    """No client can send their ids."""
    log = logged([0])
    record = ChangeRecord(2, "ada", library_id(2), b"d" * 32, 0, APPLIED, ())
    log.append([encode_record(record)], 0)
    window = IdWindow()
    window.begin_restore(log)

    window.restore(log, 0, pages_max=9)

    assert (window.is_complete, len(window)) == (True, 1)


def test_a_record_from_a_clock_ahead_is_remembered_while_it_can_come_again() -> None:
    """A replica whose clock is a minute behind its main's becomes main itself."""
    log = logged([0])
    behind_ns = 60 * SECOND_NS
    created_ns = behind_ns + CREATED_AHEAD_MAX_NS
    record = ChangeRecord(2, "ada", an_id(2), b"d" * 32, created_ns, APPLIED, ())
    log.append([encode_record(record)], 0)
    now_ns = created_ns + CREATED_BEHIND_MAX_NS
    window = IdWindow()
    window.begin_restore(log)

    window.restore(log, now_ns, pages_max=9)
    window.sweep(now_ns, 99)

    assert window.seq_of("ada", an_id(2)) == 2


@given(
    st.lists(
        st.tuples(
            st.integers(-60, 3_000), st.integers(-CREATED_BEHIND_MAX_NS, CREATED_AHEAD_MAX_NS)
        ),
        min_size=1,
        max_size=12,
    ),
    st.integers(0, 4_000),
    st.integers(1, 3),
)
def test_restored_means_that_no_id_that_can_come_again_is_missing(
    written: list[tuple[int, int]], later_s: int, pages_max: int
) -> None:
    """Whatever the clock did while the log was written."""
    log = logged([0])
    now_ns = 10**18
    created: dict[int, int] = {}
    for seq, (step_s, offset_ns) in enumerate(written, start=2):
        now_ns += step_s * SECOND_NS
        created[seq] = now_ns + offset_ns
        rows = (RowChange(0, bytes(3_000)),)
        record = ChangeRecord(seq, "ada", an_id(seq), b"d" * 32, created[seq], APPLIED, rows)
        log.append([encode_record(record)], now_ns)
    now_ns += later_s * SECOND_NS
    window = IdWindow()
    window.begin_restore(log)
    log.trim(now_ns, 1, 2)

    while not window.is_complete:
        assert 0 <= window.restore(log, now_ns, pages_max) <= pages_max
    window.sweep(now_ns, 10**6)

    for seq, created_ns in created.items():
        if created_ns >= now_ns - CREATED_BEHIND_MAX_NS:
            assert window.seq_of("ada", an_id(seq)) == seq


def test_ids_from_before_the_horizon_are_never_fresh() -> None:
    """What was decided before the rows were taken over is in no log here."""
    window = IdWindow()
    assert window.knows(1)
    window.horizon_ns = 100

    assert [window.knows(created_ns) for created_ns in (0, 100, 101)] == [False, False, True]
    window.begin_restore(logged([0]))
    assert not window.knows(101)
    window.clear()
    assert (window.is_complete, window.horizon_ns) == (True, 100)


def test_a_cleared_window_is_empty() -> None:
    """A replica decides nothing."""
    window = IdWindow()
    window.remember("ada", an_id(1), 1, now_ns=0)

    window.clear()

    assert (len(window), window.next_sweep_ns()) == (0, None)


def test_remembering_beyond_the_capacity_is_a_programmers_error() -> None:
    """The caller asks for room first."""
    window = IdWindow(capacity=1)
    window.remember("ada", an_id(1), 1, now_ns=0)

    with pytest.raises(AssertionError):
        window.remember("ada", an_id(2), 2, now_ns=0)
