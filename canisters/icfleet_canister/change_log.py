"""The log: every operation in one order, in pages of stable memory, under a chain hash.

A page holds the records of one batch, of several small ones, or a part of a large one: the last
page is extended while it has room, and never touched again once there is another. The same page
serves replicas (``after``), duplicates (``record``) and the restoration of the window of operation
ids (``page``). Pages are numbered without gaps so that the one with a given record is found by a
search over their numbers, since stable maps have no range query; a number is never used twice.

The log holds the records after ``base``. Old pages are given back by ``trim``, page by page; after
``reset`` all pages are garbage, which ``trim`` gives back in the same way.

Page: ``u8 version (2), u64 first seq, u64 written at, u64 kept until, h(first seq - 1) as 32
bytes``, then each record's canonical bytes as a ``blob``. *Kept until* is the time at which the
last of its operations can come again, and never earlier than that of the page before: so whoever
reads back pages, newest first, may stop at the first one of the past, whatever clocks did.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from icfleet_canister.fleet_errors import EncodingError, UnknownPositionError
from icfleet_canister.log_record import (
    CREATED_BEHIND_MAX_NS,
    HASH_SIZE,
    ID_MEMORY_NS,
    ChangeRecord,
    LogHead,
    chain,
    decode_record,
    log_fields,
    record_epoch,
)
from icfleet_canister.stable_map import StableMap
from icfleet_canister.wire_codec import ByteReader

__all__ = [
    "EPOCHS_MAX",
    "PAGE_SIZE_MAX",
    "RECORD_SIZE_MAX",
    "SKEW_MAX_NS",
    "ChangeLog",
    "EpochStart",
    "LogExtent",
    "LogPage",
    "epoch_in",
    "may_hold",
]

#: A stable map sets aside its longest value for every entry, so pages are small: a batch of 20
#: operations fills one, and 10 bytes of Candid around it keep below the map's 8,000.
PAGE_SIZE_MAX = 7_900

#: Clocks of two subnets are seconds apart. What says more is no reason to keep a page longer.
SKEW_MAX_NS = 3_600 * 1_000_000_000
_KEPT_MAX_NS = ID_MEMORY_NS + SKEW_MAX_NS

#: Promotions remembered: a switch-over a week for a year.
EPOCHS_MAX = 64

_PAGE_VERSION = 2
_PAGE_HEAD_SIZE = 1 + 8 + 8 + 8 + HASH_SIZE

#: A record and its two bytes of length must fit an empty page.
RECORD_SIZE_MAX = PAGE_SIZE_MAX - _PAGE_HEAD_SIZE - 2


class EpochStart(NamedTuple):
    """An epoch and the seq of its first record."""

    epoch: int
    first_seq: int


def epoch_in(epochs: Sequence[EpochStart], seq: int) -> int | None:
    """Return the epoch of record ``seq``, or ``None`` if it began before the first one known."""
    if seq == 0:
        return 0
    for start in reversed(epochs):
        if start.first_seq <= seq:
            return start.epoch
    return None


def may_hold(epochs: Sequence[EpochStart], epoch: int, seq: int) -> bool:
    """Return whether record ``seq`` may be of ``epoch``, as far as a history is known."""
    known = epoch_in(epochs, seq)
    if known is not None:
        return known == epoch
    return bool(epochs) and 0 < epoch < epochs[0].epoch


class LogExtent(NamedTuple):
    """What the pages do not tell about themselves: kept by the caller over upgrades."""

    head: LogHead
    base: LogHead
    """The position before the first record held."""
    garbage_page: int = 0
    """The lowest page there is; those below ``first_page`` are garbage."""
    first_page: int = 0
    page_count: int = 0
    """Pages from ``first_page`` on."""
    epochs: Sequence[EpochStart] = ()
    """The newest ``EPOCHS_MAX``, oldest first."""

    @classmethod
    def empty(cls) -> LogExtent:
        """Return the extent of a log that was never written."""
        return cls(LogHead.empty(), LogHead.empty())


class LogPage(NamedTuple):
    """One stable row of the log."""

    first_seq: int
    written_at_ns: int
    """Time of the last record's addition."""
    kept_until_ns: int
    base_hash: bytes
    """Chain hash before the first record."""
    records: Sequence[bytes]
    """Canonical bytes, in order."""


class _OpenPage:
    """The last page, which may still have room."""

    def __init__(self, first_seq: int, base_hash: bytes, body: bytes = b"") -> None:
        self.first_seq = first_seq
        self.base_hash = base_hash
        self.parts = [body]
        self.size = _PAGE_HEAD_SIZE + len(body)
        self.is_changed = False

    def add(self, record: bytes) -> bool:
        """Take in a record, if there is room for it."""
        size = len(record)
        end = self.size + 2 + size
        if end > PAGE_SIZE_MAX:
            return False
        self.parts.append(size.to_bytes(2, "big"))
        self.parts.append(record)
        self.size = end
        self.is_changed = True
        return True

    def encode(self, written_at_ns: int, kept_until_ns: int) -> bytes:
        head = struct.pack(">BQQQ", _PAGE_VERSION, self.first_seq, written_at_ns, kept_until_ns)
        return b"".join((head, self.base_hash, *self.parts))


class ChangeLog:
    """Append records, find them again, and know where the log begins and ends.

    Args:
        pages: Stable rows by page number.
        extent: As ``extent`` said when the caller last stored it.
    """

    def __init__(self, pages: StableMap[int, bytes], extent: LogExtent | None = None) -> None:
        self._pages = pages
        extent = extent or LogExtent.empty()
        self.head = extent.head
        self.base = extent.base
        self.epochs = tuple(extent.epochs)
        self.page_count = extent.page_count
        """Pages that hold the log."""
        self._garbage_page = extent.garbage_page
        self._first_page = extent.first_page
        # Caches of the heap; both are read again after an upgrade.
        self._tail: _OpenPage | None = None
        self._kept_until_ns = 0
        self._oldest: tuple[int, int] | None = None

    @property
    def extent(self) -> LogExtent:
        """What to keep over upgrades; it changes with ``append``, ``reset`` and ``trim``."""
        return LogExtent(
            self.head,
            self.base,
            self._garbage_page,
            self._first_page,
            self.page_count,
            self.epochs,
        )

    @property
    def first_page(self) -> int:
        """The number of the oldest page that holds records."""
        return self._first_page

    @property
    def end_page(self) -> int:
        """The number that the next page gets."""
        return self._first_page + self.page_count

    @property
    def garbage_count(self) -> int:
        """Pages of a log that was reset, not given back yet."""
        return self._first_page - self._garbage_page

    @property
    def kept_until_ns(self) -> int:
        """Time until which the newest operations can come again; 0 for a log without pages."""
        self._open_tail()
        return self._kept_until_ns

    def append(self, records: Sequence[bytes], now_ns: int) -> None:
        """Add records, given by their canonical bytes, and move the head.

        They must continue the log, each at most ``RECORD_SIZE_MAX`` long, epochs growing: the
        caller checks that before it changes the first row.
        """
        if not records:
            return
        tail = self._open_tail()
        for record in records:
            if tail is None or not tail.add(record):
                assert len(record) <= RECORD_SIZE_MAX, len(record)
                self._write_tail(now_ns)
                tail = self._tail = _OpenPage(self.head.seq + 1, self.head.chain_hash)
                self.page_count += 1
                tail.add(record)
            self._follow(record, now_ns)
        self._write_tail(now_ns)

    def page(self, number: int) -> LogPage:
        """Read a page.

        Raises:
            UnknownPositionError: If there is no such page.
            EncodingError: If its bytes are not a page.
        """
        reader = ByteReader(self._read(number))
        version = reader.number(1)
        if version != _PAGE_VERSION:
            reason = f"log page of version {version}"
            raise EncodingError(reason)
        first_seq, written_at_ns, kept_until_ns = reader.numbers(3)
        base_hash = reader.raw(HASH_SIZE)
        records: list[bytes] = []
        while not reader.is_at_end:
            records.append(reader.blob())
        return LogPage(first_seq, written_at_ns, kept_until_ns, base_hash, records)

    def record(self, seq: int) -> ChangeRecord:
        """Return record ``seq``.

        Raises:
            UnknownPositionError: If the log does not hold it.
        """
        self._require(self.base.seq + 1, seq)
        page = self.page(self._page_number(seq))
        return decode_record(page.records[seq - page.first_seq])

    def hash_at(self, seq: int) -> bytes:
        """Return the chain hash after record ``seq``, from ``base.seq`` on.

        Raises:
            UnknownPositionError: If the log does not reach so far, or no longer.
        """
        self._require(self.base.seq, seq)
        if seq == self.head.seq:
            return self.head.chain_hash
        if seq == self.base.seq:
            return self.base.chain_hash
        page = self.page(self._page_number(seq))
        running = page.base_hash
        for record in page.records[: seq - page.first_seq + 1]:
            running = chain(running, record)
        return running

    def epoch_at(self, seq: int) -> int | None:
        """Return the epoch of position ``seq``; ``None`` if the log ends before, or if unknown.

        Unknown are positions from before the oldest epoch in ``epochs``.
        """
        if not 0 <= seq <= self.head.seq:
            return None
        return self.base.epoch if seq == self.base.seq else epoch_in(self.epochs, seq)

    def may_hold(self, epoch: int, seq: int) -> bool:
        """Return whether position ``(epoch, seq)`` is one of this history, as far as is known."""
        if not 0 <= seq <= self.head.seq:
            return False
        if seq == self.base.seq:
            return epoch == self.base.epoch
        return may_hold(self.epochs, epoch, seq)

    def after(self, seq: int, size_max: int, count_max: int) -> list[ChangeRecord]:
        """Return the records that follow ``seq``, in order.

        Args:
            seq: The last record the reader has.
            size_max: Bound on their canonical bytes together; the first one is always given.
            count_max: Bound on their number.

        Raises:
            UnknownPositionError: If the log does not reach to ``seq``, or no longer.
        """
        self._require(self.base.seq, seq)
        taken: list[ChangeRecord] = []
        size = 0
        for data in self._from(seq + 1):
            size += len(data)
            if taken and (size > size_max or len(taken) >= count_max):
                break
            taken.append(decode_record(data))
        return taken

    def reset(self, base: LogHead, epochs: Sequence[EpochStart]) -> None:
        """Begin again after ``base``; every page there is becomes garbage."""
        self._first_page = self.end_page
        self.page_count = 0
        self.head = self.base = base
        self.epochs = tuple(epochs[-EPOCHS_MAX:])
        self._tail = None
        self._kept_until_ns = 0

    def trim(self, now_ns: int, pages_max: int, work_max: int) -> int:
        """Give back garbage, and old pages beyond ``pages_max``; return how many pages were.

        A page stays while one of its operations can come again, and so does the last one.

        Args:
            now_ns: Time of this message.
            pages_max: Pages of the log to keep.
            work_max: Bound on the number of pages looked at.
        """
        done = 0
        while done < work_max and self._garbage_page < self._first_page:
            self._pages.remove(self._garbage_page)
            self._garbage_page += 1
            done += 1
        while done < work_max and self.page_count > max(pages_max, 1):
            if self._oldest_kept_until_ns() >= now_ns:
                break
            self._drop_oldest()
            done += 1
        return done

    def next_sweep_ns(self, pages_max: int) -> int | None:
        """Return when ``trim`` may have work, or ``None`` if the log is short enough."""
        if self.garbage_count:
            return 0
        return self._oldest_kept_until_ns() if self.page_count > max(pages_max, 1) else None

    def _follow(self, record: bytes, now_ns: int) -> None:
        """Move the head, and note an epoch that begins, and how long the record is needed."""
        head = self.head
        seq, created_at_ns, epoch = log_fields(record)
        assert seq == head.seq + 1, head.seq
        if epoch is None:
            epoch = head.epoch
            assert epoch > 0, "no record before the first epoch"
        else:
            assert epoch > head.epoch, epoch
            self.epochs = (*self.epochs, EpochStart(epoch, seq))[-EPOCHS_MAX:]
        kept_until_ns = min(created_at_ns + CREATED_BEHIND_MAX_NS, now_ns + _KEPT_MAX_NS)
        self._kept_until_ns = max(self._kept_until_ns, kept_until_ns)
        self.head = LogHead(epoch, seq, chain(head.chain_hash, record))

    def _open_tail(self) -> _OpenPage | None:
        if self._tail is None and self.page_count:
            data = self._read(self.end_page - 1)
            page = self.page(self.end_page - 1)
            self._tail = _OpenPage(page.first_seq, page.base_hash, data[_PAGE_HEAD_SIZE:])
            self._kept_until_ns = page.kept_until_ns
        return self._tail

    def _write_tail(self, now_ns: int) -> None:
        if self._tail is None or not self._tail.is_changed:
            return
        self._kept_until_ns = max(self._kept_until_ns, now_ns + ID_MEMORY_NS)
        self._pages.insert(self.end_page - 1, self._tail.encode(now_ns, self._kept_until_ns))
        self._tail.is_changed = False

    def _oldest_kept_until_ns(self) -> int:
        """Return it from a cache: only the last page ever changes, and it is never trimmed."""
        if self._oldest is None or self._oldest[0] != self._first_page:
            kept_until_ns = int.from_bytes(self._read(self._first_page)[17:25], "big")
            self._oldest = (self._first_page, kept_until_ns)
        return self._oldest[1]

    def _drop_oldest(self) -> None:
        following = self._read(self._first_page + 1)
        seq = int.from_bytes(following[1:9], "big") - 1
        epoch = epoch_in(self.epochs, seq)
        if epoch is None:
            epoch = self.base.epoch
            for record in self.page(self._first_page).records:
                epoch = record_epoch(record) or epoch
        base_hash = following[_PAGE_HEAD_SIZE - HASH_SIZE : _PAGE_HEAD_SIZE]
        self._pages.remove(self._first_page)
        self.base = LogHead(epoch, seq, base_hash)
        self._first_page += 1
        self._garbage_page = self._first_page
        self.page_count -= 1

    def _from(self, seq: int) -> Iterator[bytes]:
        if seq > self.head.seq:
            return
        for number in range(self._page_number(seq), self.end_page):
            page = self.page(number)
            yield from page.records[max(0, seq - page.first_seq) :]

    def _page_number(self, seq: int) -> int:
        """Search backwards in growing steps, since readers are mostly near the end."""
        low = high = self.end_page - 1
        step = 1
        while low > self._first_page and self._first_seq(low) > seq:
            high = low - 1
            low = max(self._first_page, low - step)
            step *= 2
        while low < high:
            middle = (low + high + 1) // 2
            if self._first_seq(middle) <= seq:
                low = middle
            else:
                high = middle - 1
        return low

    def _first_seq(self, number: int) -> int:
        return int.from_bytes(self._read(number)[1:9], "big")

    def _read(self, number: int) -> bytes:
        data = self._pages.get(number)
        if data is None:
            raise UnknownPositionError(number, self.head.seq)
        return data

    def _require(self, lowest: int, seq: int) -> None:
        if not lowest <= seq <= self.head.seq:
            raise UnknownPositionError(seq, self.head.seq)
