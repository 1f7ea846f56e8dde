"""One record of the log, its canonical bytes, and the chain hash over them.

Canonical bytes of a record, in the terms of ``wire_codec`` (``u64`` is a number of eight bytes,
``blob`` a byte string with its length)::

    u64  seq              1 for the first record of an epoch's log
    text subject          principal, as text
    blob id               operation id
    blob digest           what the subject asked for
    u64  created_at       nanoseconds since 1970
    blob result           00: applied; 01, text code, text reason: refused
    u16  number of rows, then for each row
        u64  slot
        u8   01 and blob value: the row's new value; 00: the row is gone

The chain: ``h(0) = sha256("icfleet-log" || u64 epoch)`` and
``h(n) = sha256(h(n-1) || sha256(bytes of record n))``. Whoever has the records of ``log_since``
can recompute both.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import NamedTuple

from icfleet_canister.fleet_errors import EncodingError
from icfleet_canister.wire_codec import ByteReader, ByteWriter

__all__ = [
    "APPLIED",
    "HASH_SIZE",
    "ChangeRecord",
    "LogHead",
    "RowChange",
    "chain",
    "decode_record",
    "decode_refusal",
    "encode_record",
    "encode_refusal",
    "first_hash",
    "operation_digest",
]

#: Bytes of a SHA-256.
HASH_SIZE = 32

#: ``ChangeRecord.result`` of an operation that the rules applied.
APPLIED = b"\x00"


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


class LogHead(NamedTuple):
    """Where a log ends: two logs with equal heads have equal records."""

    epoch: int
    seq: int
    chain_hash: bytes

    @classmethod
    def empty(cls, epoch: int) -> LogHead:
        """Return the head of an epoch's log without records."""
        return cls(epoch, 0, first_hash(epoch))


def first_hash(epoch: int) -> bytes:
    """Return ``h(0)`` of an epoch."""
    return hashlib.sha256(b"icfleet-log" + epoch.to_bytes(8, "big")).digest()


def chain(previous: bytes, record: bytes) -> bytes:
    """Return the chain hash after a record, given by its canonical bytes."""
    return hashlib.sha256(previous + hashlib.sha256(record).digest()).digest()


def operation_digest(created_at_ns: int, content: bytes) -> bytes:
    """Return the digest by which an operation sent again is told from another under its id."""
    return hashlib.sha256(created_at_ns.to_bytes(8, "big") + content).digest()


def encode_refusal(code: str, reason: str) -> bytes:
    """Return ``ChangeRecord.result`` of an operation that the rules refused."""
    return ByteWriter().number(1, 1).text(code).text(reason).finish()


def decode_refusal(result: bytes) -> tuple[str, str] | None:
    """Return code and reason of a refusal, or ``None`` for an applied operation.

    Raises:
        EncodingError: If ``result`` is neither.
    """
    if result == APPLIED:
        return None
    reader = ByteReader(result)
    if reader.number(1) != 1:
        reason = f"result of kind {result[0]}"
        raise EncodingError(reason)
    refusal = (reader.text(), reader.text())
    reader.finish()
    return refusal


def encode_record(record: ChangeRecord) -> bytes:
    """Return the canonical bytes.

    Raises:
        EncodingError: If a field is longer than its encoding allows.
    """
    writer = ByteWriter().number(record.seq, 8).text(record.subject)
    writer.blob(record.operation_id).blob(record.digest).number(record.created_at_ns, 8)
    writer.blob(record.result).number(len(record.rows), 2)
    for row in record.rows:
        writer.number(row.slot, 8)
        if row.value is None:
            writer.number(0, 1)
        else:
            writer.number(1, 1).blob(row.value)
    return writer.finish()


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
    rows = tuple(_read_row(reader) for _ in range(reader.number(2)))
    reader.finish()
    return ChangeRecord(seq, subject, operation_id, digest, created_at_ns, result, rows)


def _read_row(reader: ByteReader) -> RowChange:
    slot = reader.number(8)
    presence = reader.number(1)
    if presence > 1:
        reason = f"presence byte {presence} of row {slot}"
        raise EncodingError(reason)
    return RowChange(slot, reader.blob() if presence else None)
