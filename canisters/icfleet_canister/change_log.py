"""The log: every operation in one order, in pages of stable memory, under a chain hash.

A page holds the records of one batch, or a part of a large one, and is never touched again. The
same page serves replicas (``after``), duplicates (``record``) and the restoration of the window of
operation ids (``page``). Pages are numbered 0, 1, 2, ... so that the one with a given record is
found by a search over their numbers: stable maps have no range query.

Page: ``u8 version (1), u64 first seq, u64 written at, h(first seq - 1) as 32 bytes``, then each
record's canonical bytes as a ``blob``.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from icfleet_canister.fleet_errors import EncodingError, UnknownPositionError
from icfleet_canister.log_record import (
    HASH_SIZE,
    ChangeRecord,
    LogHead,
    chain,
    decode_record,
    first_hash,
)
from icfleet_canister.stable_map import StableMap
from icfleet_canister.wire_codec import ByteReader, ByteWriter

__all__ = ["PAGE_SIZE_MAX", "RECORD_SIZE_MAX", "ChangeLog", "LogPage"]

#: A stable map sets aside its longest value for every entry, so pages are small: a batch of 20
#: operations fills one, and 10 bytes of Candid around it keep below the map's 8,000.
PAGE_SIZE_MAX = 7_900

_PAGE_VERSION = 1
_PAGE_HEAD_SIZE = 1 + 8 + 8 + HASH_SIZE

#: A record and its two bytes of length must fit an empty page.
RECORD_SIZE_MAX = PAGE_SIZE_MAX - _PAGE_HEAD_SIZE - 2


class LogPage(NamedTuple):
    """One stable row of the log."""

    first_seq: int
    written_at_ns: int
    base_hash: bytes
    """Chain hash before the first record."""
    records: Sequence[bytes]
    """Canonical bytes, in order."""


class ChangeLog:
    """Append records, find them again, and know where the log ends.

    Args:
        pages: Stable rows by page number.
        head: Where the log ends, as ``head`` said when the caller last stored it.
        page_count: Number of pages, likewise.
    """

    def __init__(self, pages: StableMap[int, bytes], head: LogHead, page_count: int = 0) -> None:
        self._pages = pages
        self.head = head
        self.page_count = page_count

    def append(self, records: Sequence[bytes], now_ns: int) -> None:
        """Add records, given by their canonical bytes, and move the head.

        They must continue the log and each be at most ``RECORD_SIZE_MAX`` long: the caller checks
        both before it changes the first row.
        """
        pending: list[bytes] = []
        room = PAGE_SIZE_MAX - _PAGE_HEAD_SIZE
        for record in records:
            size = len(record) + 2
            assert size <= PAGE_SIZE_MAX - _PAGE_HEAD_SIZE, size
            if size > room:
                self._write_page(pending, now_ns)
                pending = []
                room = PAGE_SIZE_MAX - _PAGE_HEAD_SIZE
            pending.append(record)
            room -= size
        if pending:
            self._write_page(pending, now_ns)

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
        first_seq, written_at_ns = reader.number(8), reader.number(8)
        base_hash = reader.raw(HASH_SIZE)
        records: list[bytes] = []
        while not reader.is_at_end:
            records.append(reader.blob())
        return LogPage(first_seq, written_at_ns, base_hash, records)

    def record(self, seq: int) -> ChangeRecord:
        """Return record ``seq``.

        Raises:
            UnknownPositionError: If the log does not hold it.
        """
        self._require(1, seq)
        page = self.page(self._page_number(seq))
        return decode_record(page.records[seq - page.first_seq])

    def hash_at(self, seq: int) -> bytes:
        """Return the chain hash after record ``seq``; 0 is the start of the epoch.

        Raises:
            UnknownPositionError: If the log does not reach so far.
        """
        self._require(0, seq)
        if seq == self.head.seq:
            return self.head.chain_hash
        if seq == 0:
            return first_hash(self.head.epoch)
        page = self.page(self._page_number(seq))
        running = page.base_hash
        for record in page.records[: seq - page.first_seq + 1]:
            running = chain(running, record)
        return running

    def after(self, seq: int, size_max: int, count_max: int) -> list[ChangeRecord]:
        """Return the records that follow ``seq``, in order.

        Args:
            seq: The last record the reader has.
            size_max: Bound on their canonical bytes together; the first one is always given.
            count_max: Bound on their number.

        Raises:
            UnknownPositionError: If the log does not reach to ``seq``.
        """
        self._require(0, seq)
        taken: list[ChangeRecord] = []
        size = 0
        for data in self._from(seq + 1):
            size += len(data)
            if taken and (size > size_max or len(taken) == count_max):
                break
            taken.append(decode_record(data))
        return taken

    def _from(self, seq: int) -> Iterator[bytes]:
        if seq > self.head.seq:
            return
        for number in range(self._page_number(seq), self.page_count):
            page = self.page(number)
            yield from page.records[max(0, seq - page.first_seq) :]

    def _page_number(self, seq: int) -> int:
        """Search backwards in growing steps, since readers are mostly near the end."""
        low = high = self.page_count - 1
        step = 1
        while low > 0 and self._first_seq(low) > seq:
            high = low - 1
            low = max(0, low - step)
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

    def _write_page(self, records: Sequence[bytes], now_ns: int) -> None:
        first_seq = self.head.seq + 1
        writer = ByteWriter().number(_PAGE_VERSION, 1).number(first_seq, 8)
        writer.number(now_ns, 8).raw(self.head.chain_hash)
        running = self.head.chain_hash
        for offset, record in enumerate(records):
            assert int.from_bytes(record[:8], "big") == first_seq + offset, first_seq
            writer.blob(record)
            running = chain(running, record)
        self._pages.insert(self.page_count, writer.finish())
        self.page_count += 1
        self.head = LogHead(self.head.epoch, self.head.seq + len(records), running)
