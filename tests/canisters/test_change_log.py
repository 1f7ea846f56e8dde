"""The log in pages of stable memory."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from icfleet_canister import (
    ChangeLog,
    ChangeRecord,
    EncodingError,
    LogHead,
    MemoryMap,
    RowChange,
    UnknownPositionError,
)
from icfleet_canister.change_log import PAGE_SIZE_MAX, RECORD_SIZE_MAX
from icfleet_canister.log_record import APPLIED, chain, encode_record, first_hash


def record(seq: int, size: int = 100) -> bytes:
    """A record of about ``size`` bytes."""
    return encode_record(
        ChangeRecord(
            seq, "aaaaa-aa", b"i" * 16, b"d" * 32, seq, APPLIED, [RowChange(0, b"x" * size)]
        )
    )


def new_log() -> tuple[ChangeLog, MemoryMap[int, bytes]]:
    pages: MemoryMap[int, bytes] = MemoryMap(PAGE_SIZE_MAX)
    return ChangeLog(pages, LogHead.empty(1)), pages


def filled_log(batches: list[list[int]]) -> ChangeLog:
    """A log of batches, each a list of record sizes."""
    log, _ = new_log()
    for sizes in batches:
        start = log.head.seq + 1
        log.append([record(start + index, size) for index, size in enumerate(sizes)], now_ns=start)
    return log


batches = st.lists(st.lists(st.integers(0, 3_000), min_size=1, max_size=8), min_size=1, max_size=12)


@given(batches)
def test_every_record_is_found_again(sizes: list[list[int]]) -> None:
    """However they fall into pages, and wherever one looks from."""
    log = filled_log(sizes)
    expected = [size for batch in sizes for size in batch]

    for seq, size in enumerate(expected, start=1):
        found = log.record(seq)
        assert found.seq == seq
        assert found.rows[0].value == b"x" * size


@given(batches, st.integers(0, 5_000), st.integers(1, 5))
def test_after_gives_a_run_of_records_within_its_bounds(
    sizes: list[list[int]], size_max: int, count_max: int
) -> None:
    """The first record always comes, so that nobody is stuck behind a large one."""
    log = filled_log(sizes)

    for seq in range(log.head.seq + 1):
        taken = log.after(seq, size_max, count_max)
        total = sum(len(encode_record(each)) for each in taken)
        assert [each.seq for each in taken] == list(range(seq + 1, seq + 1 + len(taken)))
        assert len(taken) <= count_max
        assert len(taken) <= 1 or total <= size_max
        assert bool(taken) == (seq < log.head.seq)


@given(batches)
def test_the_hash_at_each_position_is_that_of_the_chain(sizes: list[list[int]]) -> None:
    """Pages keep the hash before their first record; the rest is computed."""
    log = filled_log(sizes)
    running = first_hash(1)
    assert log.hash_at(0) == running

    for seq in range(1, log.head.seq + 1):
        running = chain(running, encode_record(log.record(seq)))
        assert log.hash_at(seq) == running
    assert log.head.chain_hash == running


def test_a_log_goes_on_after_an_upgrade() -> None:
    """Head and page count are all that must be kept besides the pages."""
    log, pages = new_log()
    log.append([record(1), record(2)], now_ns=5)

    resumed = ChangeLog(pages, log.head, log.page_count)
    resumed.append([record(3)], now_ns=6)

    assert [each.seq for each in resumed.after(0, 10_000, 10)] == [1, 2, 3]
    assert resumed.page(1).written_at_ns == 6


def test_the_largest_record_fills_a_page() -> None:
    """The limit on records is the limit on pages."""
    log, pages = new_log()
    large = record(1, RECORD_SIZE_MAX - len(record(1, 0)))

    log.append([large], now_ns=1)

    assert len(large) == RECORD_SIZE_MAX
    page = pages.get(0)
    assert page is not None
    assert len(page) == PAGE_SIZE_MAX


def test_a_small_batch_is_one_page() -> None:
    """Log, duplicates and the window of ids share one stable row."""
    log = filled_log([[60] * 20])

    assert log.page_count == 1


@pytest.mark.parametrize("seq", [0, 4])
def test_a_record_that_is_not_there_is_an_error(seq: int) -> None:
    """Positions start at 1 and end at the head."""
    log = filled_log([[1, 1, 1]])

    with pytest.raises(UnknownPositionError) as caught:
        log.record(seq)

    assert (caught.value.seq, caught.value.head_seq) == (seq, 3)


def test_positions_beyond_the_head_have_no_hash() -> None:
    """A replica that is ahead of its upstream is not answered by guess."""
    log, _ = new_log()

    assert log.hash_at(0) == first_hash(1)
    with pytest.raises(UnknownPositionError):
        log.hash_at(1)
    with pytest.raises(UnknownPositionError):
        log.page(0)


def test_a_page_of_another_version_is_an_error() -> None:
    """Older code does not guess at newer bytes."""
    log, pages = new_log()
    log.append([record(1)], now_ns=1)
    page = pages.get(0)
    assert page is not None
    pages.insert(0, b"\x02" + page[1:])

    with pytest.raises(EncodingError, match="version 2"):
        log.record(1)
