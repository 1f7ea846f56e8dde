"""One record of the log, its canonical bytes, and the chain hash over them.

Canonical bytes of a record, in the terms of ``wire_codec`` (``u64`` is a number of eight bytes,
``blob`` a byte string with its length)::

    u64  seq              1 for the first record; it goes on through all epochs
    text subject          principal, as text
    blob id               operation id
    blob digest           what the subject asked for
    u64  created_at       nanoseconds since 1970
    blob result           00: applied; 01, text code, text reason: refused;
                          02, u64 epoch: applied, and an epoch begins with this record
    u16  number of rows, then for each row
        u64  slot
        u8   01 and blob value: the row's new value; 00: the row is gone

The chain: ``h(0) = sha256("icfleet-log")`` and
``h(n) = sha256(h(n-1) || sha256(bytes of record n))``. Whoever has the records of ``log_since``
can recompute both. An epoch's number is in its first record, so equal hashes are equal histories,
epochs and all.
"""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Sequence
from typing import Literal, NamedTuple

from icfleet_canister.fleet_errors import EncodingError
from icfleet_canister.wire_codec import ByteReader, ByteWriter, utf8

__all__ = [
    "APPLIED",
    "CREATED_AHEAD_MAX_NS",
    "CREATED_BEHIND_MAX_NS",
    "HASH_SIZE",
    "ID_MEMORY_NS",
    "ChangeRecord",
    "LogHead",
    "Position",
    "RowChange",
    "chain",
    "decode_epoch",
    "decode_record",
    "decode_refusal",
    "encode_epoch",
    "encode_record",
    "encode_refusal",
    "first_hash",
    "is_library_id",
    "library_id",
    "library_record",
    "log_fields",
    "operation_digest",
    "record_epoch",
    "record_id",
    "result_kind",
]

#: An agent may retry one signed message for 5 minutes and a router a batch for longer.
CREATED_BEHIND_MAX_NS = 20 * 60 * 1_000_000_000

#: The IC accepts messages that expire up to 5 minutes ahead; clocks may be as wrong as that.
CREATED_AHEAD_MAX_NS = 5 * 60 * 1_000_000_000

#: Longest time between an operation's application and its last possible repetition.
ID_MEMORY_NS = CREATED_BEHIND_MAX_NS + CREATED_AHEAD_MAX_NS

#: Bytes of a SHA-256.
HASH_SIZE = 32

#: ``ChangeRecord.result`` of an operation that the rules applied.
APPLIED = b"\x00"

_REFUSED = 1
_EPOCH = 2

#: One byte shorter than the shortest id of an operation, so that the two never meet.
_LIBRARY_ID_PREFIX = b"icfleet"
_LIBRARY_ID_SIZE = len(_LIBRARY_ID_PREFIX) + 8


class RowChange(NamedTuple):
    """The new value of one row; ``None`` when the row is gone."""

    slot: int
    value: bytes | None


class ChangeRecord(NamedTuple):
    """What one operation did, complete enough to repeat it elsewhere without the rules."""

    seq: int
    subject: str
    operation_id: bytes
    digest: bytes
    created_at_ns: int
    result: bytes
    rows: Sequence[RowChange]


class Position(NamedTuple):
    """Where a log ends, without proof: later epochs are later, then higher seqs."""

    epoch: int
    seq: int

    def __str__(self) -> str:
        return f"{self.epoch}/{self.seq}"


class LogHead(NamedTuple):
    """Where a log ends: two logs with equal heads have equal records."""

    epoch: int
    seq: int
    chain_hash: bytes

    @classmethod
    def empty(cls) -> LogHead:
        """Return the head of a log without records; no epoch has begun in it."""
        return cls(0, 0, first_hash())

    @property
    def position(self) -> Position:
        """Epoch and seq."""
        return Position(self.epoch, self.seq)


def first_hash() -> bytes:
    """Return ``h(0)``."""
    return hashlib.sha256(b"icfleet-log").digest()


def library_id(seq: int) -> bytes:
    """Return the id of a record that is no client's operation: a setting, a role, an epoch."""
    return _LIBRARY_ID_PREFIX + seq.to_bytes(8, "big")


def is_library_id(operation_id: bytes) -> bool:
    """Return whether an id is one of ``library_id``: no client can send one of this length."""
    return len(operation_id) == _LIBRARY_ID_SIZE


def chain(previous: bytes, record: bytes) -> bytes:
    """Return the chain hash after a record, given by its canonical bytes."""
    return hashlib.sha256(previous + hashlib.sha256(record).digest()).digest()


def operation_digest(created_at_ns: int, content: bytes) -> bytes:
    """Return the digest by which an operation sent again is told from another under its id."""
    return hashlib.sha256(created_at_ns.to_bytes(8, "big") + content).digest()


def encode_refusal(code: str, reason: str) -> bytes:
    """Return ``ChangeRecord.result`` of an operation that the rules refused."""
    return ByteWriter().number(_REFUSED, 1).text(code).text(reason).finish()


def decode_refusal(result: bytes) -> tuple[str, str] | None:
    """Return code and reason of a refusal, or ``None`` for an applied operation.

    Raises:
        EncodingError: If ``result`` is neither.
    """
    if result == APPLIED:
        return None
    reader = ByteReader(result)
    if reader.number(1) != _REFUSED:
        reason = f"result of kind {result[0]}"
        raise EncodingError(reason)
    refusal = (reader.text(), reader.text())
    reader.finish()
    return refusal


def encode_epoch(epoch: int) -> bytes:
    """Return ``ChangeRecord.result`` of the record with which an epoch begins."""
    return ByteWriter().number(_EPOCH, 1).number(epoch, 8).finish()


def decode_epoch(result: bytes) -> int | None:
    """Return the epoch that begins with this record, or ``None`` for any other record.

    Raises:
        EncodingError: If ``result`` begins like an epoch's and is none.
    """
    if result[:1] != _EPOCH.to_bytes(1, "big"):
        return None
    reader = ByteReader(result)
    reader.number(1)
    epoch = reader.number(8)
    reader.finish()
    return epoch


def result_kind(result: bytes) -> Literal["Applied", "Refused", "Epoch"]:
    """Return what a result says.

    Raises:
        EncodingError: If it is none of the three.
    """
    if decode_epoch(result) is not None:
        return "Epoch"
    return "Applied" if decode_refusal(result) is None else "Refused"


def log_fields(data: bytes) -> tuple[int, int, int | None]:
    """Return seq, ``created_at_ns`` and ``record_epoch`` of a record's canonical bytes."""
    unpack = struct.unpack_from
    seq, size = unpack(">QH", data)
    end = 10 + size
    end += 2 + unpack(">H", data, end)[0]
    end += 2 + unpack(">H", data, end)[0]
    created_at_ns, _, kind = unpack(">QHB", data, end)
    return seq, created_at_ns, record_epoch(data) if kind == _EPOCH else None


def record_id(data: bytes) -> tuple[int, bytes, bytes]:
    """Return seq, subject (as UTF-8) and operation id of a record's canonical bytes."""
    unpack = struct.unpack_from
    seq, size = unpack(">QH", data)
    subject_end = 10 + size
    start = subject_end + 2
    return seq, data[10:subject_end], data[start : start + unpack(">H", data, subject_end)[0]]


def record_epoch(data: bytes) -> int | None:
    """Return ``decode_epoch`` of a record's canonical bytes, without reading its rows."""
    offset = _digest_end(data) + 10
    if data[offset] != _EPOCH:
        return None
    return int.from_bytes(data[offset + 1 : offset + 9], "big")


def _digest_end(data: bytes) -> int:
    """Step over seq, subject, id and digest."""
    end = 8
    for _ in range(3):
        start = end + 2
        end = start + int.from_bytes(data[end:start], "big")
    return end


def encode_record(record: ChangeRecord) -> bytes:
    """Return the canonical bytes.

    Every operation comes by here, so runs of numbers are packed together.

    Raises:
        EncodingError: If a field is longer than its encoding allows.
    """
    seq, subject, operation_id, digest, created_at_ns, result, rows = record
    name = utf8(subject)
    pack = struct.pack
    try:
        parts = [
            pack(">QH", seq, len(name)),
            name,
            pack(">H", len(operation_id)),
            operation_id,
            pack(">H", len(digest)),
            digest,
            pack(">QH", created_at_ns, len(result)),
            result,
            pack(">H", len(rows)),
        ]
        for slot, value in rows:
            if value is None:
                parts.append(pack(">QB", slot, 0))
            else:
                parts.append(pack(">QBH", slot, 1, len(value)))
                parts.append(value)
    except struct.error as error:
        reason = f"a number or length of record {seq} does not fit: {error}"
        raise EncodingError(reason) from error
    return b"".join(parts)


def decode_record(data: bytes) -> ChangeRecord:
    """Read canonical bytes back; only the bytes that ``encode_record`` writes are accepted.

    Raises:
        EncodingError: If they are anything else.
    """
    reader = ByteReader(data)
    seq = reader.number(8)
    subject = reader.text()
    operation_id = reader.blob()
    digest = reader.blob()
    created_at_ns = reader.number(8)
    result = reader.blob()
    count = reader.number(2)
    rows: list[RowChange] = []
    for _ in range(count):
        slot, presence = reader.fields(">QB")
        if presence > 1:
            reason = f"presence byte {presence} of row {slot}"
            raise EncodingError(reason)
        rows.append(RowChange(slot, reader.blob() if presence else None))
    reader.finish()
    return ChangeRecord(seq, subject, operation_id, digest, created_at_ns, result, tuple(rows))


def library_record(
    seq: int, subject: str, result: bytes, rows: Sequence[RowChange], now_ns: int
) -> bytes:
    """Return the canonical bytes of a change that is no client's operation.

    Its digest is that of nothing.
    """
    digest = operation_digest(now_ns, b"")
    return encode_record(ChangeRecord(seq, subject, library_id(seq), digest, now_ns, result, rows))
