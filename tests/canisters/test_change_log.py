"""The log in pages of stable memory."""

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from icfleet_canister import (
    ChangeLog,
    ChangeRecord,
    EncodingError,
    EpochStart,
    LogExtent,
    LogHead,
    MemoryMap,
    RowChange,
    UnknownPositionError,
)
from icfleet_canister.change_log import (
    EPOCHS_MAX,
    PAGE_SIZE_MAX,
    RECORD_SIZE_MAX,
    epoch_in,
    may_hold,
)
from icfleet_canister.log_record import (
    APPLIED,
    CREATED_AHEAD_MAX_NS,
    CREATED_BEHIND_MAX_NS,
    ID_MEMORY_NS,
    chain,
    encode_epoch,
    encode_record,
    first_hash,
)

SECOND_NS = 1_000_000_000
DAY_NS = 86_400 * SECOND_NS


def record(
    seq: int, size: int = 100, *, epoch: int = 0, created_ns: int = 0, subject: str = "aaaaa-aa"
) -> bytes:
    """A record of about ``size`` bytes; it begins an epoch if one is named."""
    return encode_record(
        ChangeRecord(
            seq,
            subject,
            b"i" * 16,
            b"d" * 32,
            created_ns,
            encode_epoch(epoch) if epoch else APPLIED,
            [RowChange(0, b"x" * size)],
        )
    )


def new_log(epoch: int = 1) -> tuple[ChangeLog, MemoryMap[int, bytes]]:
    """A log in which an epoch has begun, with a record of 0 bytes."""
    pages: MemoryMap[int, bytes] = MemoryMap(PAGE_SIZE_MAX)
    log = ChangeLog(pages)
    log.append([record(1, 0, epoch=epoch)], now_ns=0)
    return log, pages


def add(log: ChangeLog, sizes: Sequence[int], now_ns: int = 0) -> None:
    """Append a batch of records of these sizes."""
    start = log.head.seq + 1
    log.append([record(start + index, size) for index, size in enumerate(sizes)], now_ns)


def filled_log(batches: list[list[int]]) -> ChangeLog:
    """A log of batches, each a list of record sizes."""
    log, _ = new_log()
    for sizes in batches:
        add(log, sizes)
    return log


def paged_log(count: int, step_ns: int = SECOND_NS) -> tuple[ChangeLog, MemoryMap[int, bytes]]:
    """A log of pages with one large record each, one written every ``step_ns``."""
    log, pages = new_log()
    for number in range(count):
        add(log, [7_000], now_ns=number * step_ns)
    return log, pages


batches = st.lists(st.lists(st.integers(0, 3_000), min_size=1, max_size=8), min_size=1, max_size=12)


@given(batches)
def test_every_record_is_found_again(sizes: list[list[int]]) -> None:
    """However they fall into pages, and wherever one looks from."""
    log = filled_log(sizes)
    expected = [0, *(size for batch in sizes for size in batch)]

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
    running = first_hash()
    assert log.hash_at(0) == running

    for seq in range(1, log.head.seq + 1):
        running = chain(running, encode_record(log.record(seq)))
        assert log.hash_at(seq) == running
    assert log.head.chain_hash == running


@given(batches, batches)
def test_batches_make_no_difference(one: list[list[int]], other: list[list[int]]) -> None:
    """The same records in other batches, and after an upgrade, are the same pages."""
    pages: list[MemoryMap[int, bytes]] = []
    heads: list[LogExtent] = []
    sizes = [size for batch in one + other for size in batch]
    for is_single in (True, False):
        log, stored = new_log()
        if is_single:
            for size in sizes:
                add(log, [size])
                log = ChangeLog(stored, log.extent)
        else:
            add(log, sizes)
        pages.append(stored)
        heads.append(log.extent)

    assert heads[0] == heads[1]
    for number in range(heads[0].page_count):
        assert pages[0].get(number) == pages[1].get(number)


def test_single_operations_share_a_page() -> None:
    """A page of 8 kB for each of them would cost a hundred times the memory."""
    log, _ = new_log()

    for _ in range(30):
        add(log, [100])

    assert log.page_count == 1


def test_a_page_says_when_it_was_written_last() -> None:
    """Its newest record decides how long it is needed."""
    log, _ = new_log()

    add(log, [1], now_ns=5)
    add(log, [1], now_ns=9)

    assert log.page(0).written_at_ns == 9
    assert log.page(0).kept_until_ns == 9 + ID_MEMORY_NS


def test_the_largest_record_fills_a_page() -> None:
    """The limit on records is the limit on pages."""
    log, pages = new_log()
    large = record(2, RECORD_SIZE_MAX - len(record(2, 0)))

    log.append([large], now_ns=1)

    assert len(large) == RECORD_SIZE_MAX
    page = pages.get(1)
    assert page is not None
    assert len(page) == PAGE_SIZE_MAX


@pytest.mark.parametrize(
    "bad",
    [
        record(2, RECORD_SIZE_MAX),
        record(3),
        record(1),
        record(2, epoch=1),
    ],
    ids=["too large", "gap", "again", "same epoch"],
)
def test_what_does_not_continue_the_log_is_a_programmers_error(bad: bytes) -> None:
    """The caller checks before it changes the first row."""
    log, _ = new_log()

    with pytest.raises(AssertionError):
        log.append([bad], now_ns=0)


def test_no_record_comes_before_the_first_epoch() -> None:
    """A position always says whose decision it is."""
    with pytest.raises(AssertionError):
        ChangeLog(MemoryMap[int, bytes]()).append([record(1)], now_ns=0)


@pytest.mark.parametrize("seq", [0, 5])
def test_a_record_that_is_not_there_is_an_error(seq: int) -> None:
    """Positions start at 1 and end at the head."""
    log = filled_log([[1, 1, 1]])

    with pytest.raises(UnknownPositionError) as caught:
        log.record(seq)

    assert (caught.value.seq, caught.value.head_seq) == (seq, 4)


def test_positions_beyond_the_head_have_no_hash() -> None:
    """A replica that is ahead of its upstream is not answered by guess."""
    log = ChangeLog(MemoryMap[int, bytes]())

    assert log.hash_at(0) == first_hash()
    with pytest.raises(UnknownPositionError):
        log.hash_at(1)
    with pytest.raises(UnknownPositionError):
        log.page(0)


def test_a_page_of_another_version_is_an_error() -> None:
    """Older code does not guess at newer bytes."""
    log, pages = new_log()
    page = pages.get(0)
    assert page is not None
    pages.insert(0, b"\x03" + page[1:])

    with pytest.raises(EncodingError, match="version 3"):
        log.record(1)


def test_epochs_are_followed() -> None:
    """Each begins with a record that says so."""
    log, pages = new_log(epoch=4)
    add(log, [1, 1])
    log.append([record(4, epoch=9), record(5)], now_ns=0)

    resumed = ChangeLog(pages, log.extent)

    assert [resumed.epoch_at(seq) for seq in range(-1, 7)] == [None, 0, 4, 4, 4, 9, 9, None]
    assert resumed.head.position == (9, 5)
    assert resumed.epochs == (EpochStart(4, 1), EpochStart(9, 4))


def test_after_many_promotions_the_oldest_epochs_are_forgotten() -> None:
    """Of a position before them only the order is known."""
    log, _ = new_log()
    for epoch in range(2, 3 + EPOCHS_MAX):
        log.append([record(epoch, 0, epoch=epoch)], now_ns=0)

    assert len(log.epochs) == EPOCHS_MAX
    assert log.epochs[0] == (3, 3)
    assert [log.epoch_at(seq) for seq in (0, 1, 2, 3, 4)] == [0, None, None, 3, 4]
    assert log.may_hold(1, 1)
    assert not log.may_hold(3, 2)
    assert not log.may_hold(0, 2)


@given(
    st.lists(st.tuples(st.integers(1, 5), st.integers(1, 5)), max_size=6),
    st.integers(0, 40),
    st.integers(0, 40),
)
def test_what_a_history_may_hold_is_what_it_holds_as_far_as_it_is_known(
    steps: list[tuple[int, int]], known: int, seq: int
) -> None:
    """By a table of every record's epoch."""
    starts: list[EpochStart] = []
    for epoch_step, seq_step in steps:
        last = starts[-1] if starts else EpochStart(0, 0)
        starts.append(EpochStart(last.epoch + epoch_step, last.first_seq + seq_step))
    truth = max((start.epoch for start in starts if start.first_seq <= seq), default=0)
    newest = starts[known % (len(starts) + 1) :]
    is_known = seq == 0 or any(start.first_seq <= seq for start in newest)

    assert epoch_in(newest, seq) == (truth if is_known and seq else 0 if seq == 0 else None)
    if is_known:
        held = [epoch for epoch in range(60) if may_hold(newest, epoch, seq)]
        assert held == ([truth] if seq else [0])
    elif newest and truth:
        assert may_hold(newest, truth, seq)


def test_old_pages_are_given_back_in_slices() -> None:
    """Records and hashes from the new base on are what they were."""
    log, pages = paged_log(20)
    whole, _ = paged_log(20)
    late_ns = DAY_NS

    assert log.next_sweep_ns(5) == ID_MEMORY_NS
    assert [log.trim(late_ns, 5, 6) for _ in range(4)] == [6, 6, 3, 0]

    # The first page holds the epoch's record too.
    assert (log.page_count, len(pages)) == (5, 5)
    assert log.base == LogHead(1, 16, whole.hash_at(16))
    assert log.next_sweep_ns(5) is None
    for seq in range(17, 22):
        assert log.record(seq) == whole.record(seq)
        assert log.hash_at(seq) == whole.hash_at(seq)
    assert log.hash_at(16) == whole.hash_at(16)
    for read in (log.record, log.hash_at):
        with pytest.raises(UnknownPositionError):
            read(15)
    with pytest.raises(UnknownPositionError):
        log.after(15, 1, 1)


def test_a_trimmed_log_goes_on_after_an_upgrade() -> None:
    """The extent is all that must be kept besides the pages."""
    log, pages = paged_log(20)
    log.trim(DAY_NS, 5, 100)

    resumed = ChangeLog(pages, log.extent)
    add(resumed, [7_000], now_ns=DAY_NS)
    resumed.trim(3 * DAY_NS, 1, 100)

    assert (len(pages), resumed.head.seq, resumed.base.seq) == (1, 22, 21)
    assert resumed.record(22).seq == 22


def test_a_page_stays_while_its_operations_can_come_again() -> None:
    """However few pages are wanted: the window of ids is read back from them."""
    log, _ = paged_log(20, step_ns=60 * SECOND_NS)
    now_ns = 19 * 60 * SECOND_NS + ID_MEMORY_NS - 5 * 60 * SECOND_NS

    log.trim(now_ns, 1, 100)

    assert log.page(log.first_page).kept_until_ns >= now_ns
    assert log.base.seq == 15


def test_the_last_page_always_stays() -> None:
    """It has the hash and time from which the log goes on."""
    log, pages = paged_log(3)

    log.trim(DAY_NS, 0, 100)

    assert (log.page_count, len(pages)) == (1, 1)


def test_the_base_of_a_trimmed_log_knows_its_epoch_however_many_followed() -> None:
    """Epochs that are forgotten are found in the pages that go."""
    log, _ = new_log()
    for epoch in range(2, 4 + EPOCHS_MAX):
        seq = log.head.seq + 1
        log.append([record(seq, 7_000, epoch=epoch), record(seq + 1, 7_000)], now_ns=0)
    truth = {seq: 1 + seq // 2 for seq in range(1, log.head.seq + 1)}

    while log.trim(DAY_NS, 1, 1):
        assert log.base.epoch == truth[log.base.seq]
        assert log.epoch_at(log.base.seq) == truth[log.base.seq]


def test_a_clock_ahead_keeps_a_page_longer() -> None:
    """The main's clock decided ``created_at``; ours decides when we were told."""
    log, _ = new_log()
    ahead_ns = 90 * SECOND_NS
    created_ns = ahead_ns + CREATED_AHEAD_MAX_NS
    log.append([record(2, created_ns=created_ns)], now_ns=0)

    assert log.kept_until_ns == created_ns + CREATED_BEHIND_MAX_NS


def test_a_page_is_never_kept_less_long_than_the_one_before() -> None:
    """So that reading back may stop at the first page of the past, whatever clocks did."""
    log, pages = new_log()
    times = [100 * SECOND_NS, 3 * SECOND_NS, 50 * SECOND_NS]
    for now_ns in times:
        add(log, [7_000], now_ns=now_ns)
        log = ChangeLog(pages, log.extent)

    kept = [log.page(number).kept_until_ns for number in range(log.page_count)]
    assert kept == sorted(kept)
    assert kept[-1] == times[0] + ID_MEMORY_NS


@pytest.mark.parametrize("created_ns", [2**63, 2**64 - 1])
def test_a_time_that_no_clock_shows_keeps_nothing_for_ever(created_ns: int) -> None:
    """Nor does it break the page: an upstream may say anything."""
    log, _ = new_log()

    log.append([record(2, created_ns=created_ns)], now_ns=0)

    assert log.kept_until_ns < ID_MEMORY_NS + DAY_NS
    assert log.record(2).created_at_ns == created_ns


def test_a_log_that_is_reset_leaves_garbage_that_goes_in_slices() -> None:
    """Pages of the new log are written meanwhile, under numbers never used before."""
    log, pages = paged_log(9)
    base = LogHead(7, 500, b"h" * 32)

    log.reset(base, [EpochStart(3, 1), EpochStart(7, 400)])

    assert (log.head, log.base, log.page_count, log.garbage_count) == (base, base, 0, 9)
    assert log.hash_at(500) == b"h" * 32
    assert (log.epoch_at(500), log.epoch_at(399), log.epoch_at(0)) == (7, 3, 0)
    add(log, [7_000, 7_000], now_ns=5)
    log = ChangeLog(pages, log.extent)
    assert log.next_sweep_ns(5) == 0
    assert [log.trim(0, 5, 4) for _ in range(4)] == [4, 4, 1, 0]
    assert (len(pages), log.garbage_count, log.next_sweep_ns(5)) == (2, 0, None)
    assert [each.seq for each in log.after(500, 99_999, 9)] == [501, 502]
    assert pages.get(8) is None


def test_a_log_may_be_reset_again_before_its_garbage_is_gone() -> None:
    """The heap of garbage grows, and goes all the same."""
    log, pages = paged_log(5)
    for seq in (100, 200):
        log.reset(LogHead(7, seq, b"h" * 32), [EpochStart(7, 50)])
        log.trim(0, 5, 2)
        add(log, [7_000], now_ns=5)

    while log.trim(0, 5, 2):
        pass

    assert len(pages) == log.page_count == 1
    assert log.record(201).seq == 201


@given(st.data())
def test_numbers_of_pages_are_dense_and_never_used_twice(data: st.DataObject) -> None:
    """Whatever is appended, reset and trimmed: every page is known, and each is found by number."""
    log, pages = new_log()
    seen: set[int] = {0}
    now_ns = 0
    for _ in range(data.draw(st.integers(1, 15))):
        step = data.draw(st.sampled_from(["append", "append", "trim", "reset", "upgrade"]))
        now_ns += data.draw(st.sampled_from([SECOND_NS, DAY_NS]))
        before = set(range(log.end_page))
        if step == "append":
            add(log, data.draw(st.lists(st.integers(0, 7_000), max_size=4)), now_ns)
        elif step == "trim":
            log.trim(now_ns, data.draw(st.integers(1, 4)), data.draw(st.integers(1, 3)))
        elif step == "reset":
            log.reset(log.head, log.epochs)
        else:
            log = ChangeLog(pages, log.extent)
        extent = log.extent
        fresh = set(range(log.end_page)) - before
        assert not fresh & seen
        seen |= fresh
        held = [number for number in range(log.end_page) if pages.get(number) is not None]
        assert held == list(range(extent.garbage_page, log.end_page))
        assert len(log.after(log.base.seq, 10**9, 10**9)) == log.head.seq - log.base.seq
