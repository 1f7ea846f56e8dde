"""Records of the log and the chain over them."""

import hashlib
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from icfleet_canister import ChangeRecord, EncodingError, LogHead, RowChange
from icfleet_canister.log_record import (
    APPLIED,
    chain,
    decode_record,
    decode_refusal,
    encode_record,
    encode_refusal,
    first_hash,
    operation_digest,
)

RECORD = ChangeRecord(
    seq=7,
    subject="2vxsx-fae",
    operation_id=bytes(range(16)),
    digest=b"d" * 32,
    created_at_ns=1_700_000_000_000_000_000,
    result=encode_refusal("NoMoney", "too poor"),
    rows=(RowChange(4, b"new"), RowChange(5, None)),
)

records = st.builds(
    ChangeRecord,
    seq=st.integers(0, 2**64 - 1),
    subject=st.text(max_size=63),
    operation_id=st.binary(max_size=32),
    digest=st.binary(min_size=32, max_size=32),
    created_at_ns=st.integers(0, 2**64 - 1),
    result=st.binary(max_size=40),
    rows=st.lists(
        st.builds(RowChange, st.integers(0, 2**64 - 1), st.none() | st.binary(max_size=40)),
        max_size=4,
    ).map(tuple),
)


def audited(record: ChangeRecord) -> bytes:
    """The canonical bytes once more, written from the documentation with ``struct`` alone."""

    def blob(value: bytes) -> bytes:
        return struct.pack(">H", len(value)) + value

    rows = b"".join(
        struct.pack(">QB", row.slot, row.value is not None)
        + (b"" if row.value is None else blob(row.value))
        for row in record.rows
    )
    return (
        struct.pack(">Q", record.seq)
        + blob(record.subject.encode())
        + blob(record.operation_id)
        + blob(record.digest)
        + struct.pack(">Q", record.created_at_ns)
        + blob(record.result)
        + struct.pack(">H", len(record.rows))
        + rows
    )


@given(records)
def test_an_auditor_can_recompute_the_canonical_bytes(record: ChangeRecord) -> None:
    """The documentation is enough to get the same bytes, and so the same hashes."""
    assert encode_record(record) == audited(record)


@given(records)
def test_a_record_survives_its_bytes(record: ChangeRecord) -> None:
    """Decoding is the inverse of encoding."""
    assert decode_record(encode_record(record)) == record


@given(st.binary(max_size=120))
def test_bad_bytes_raise_only_our_error(data: bytes) -> None:
    """Only the canonical bytes of a record are a record."""
    try:
        record = decode_record(data)
    except EncodingError:
        return
    assert encode_record(record) == data


def test_a_presence_byte_other_than_0_and_1_is_refused() -> None:
    """There is one encoding of each record."""
    data = bytearray(encode_record(RECORD._replace(rows=(RowChange(5, None),))))
    data[-1] = 2

    with pytest.raises(EncodingError, match="presence byte 2 of row 5"):
        decode_record(bytes(data))


def test_the_chain_is_what_the_contract_says() -> None:
    """An auditor with hashlib gets the same head."""
    start = hashlib.sha256(b"icfleet-log" + struct.pack(">Q", 3)).digest()
    inner = hashlib.sha256(audited(RECORD)).digest()

    assert LogHead.empty(3) == LogHead(3, 0, start)
    assert chain(first_hash(3), encode_record(RECORD)) == hashlib.sha256(start + inner).digest()


def test_a_refusal_survives_and_applied_is_none() -> None:
    """The result tells the two ends of an operation apart."""
    assert decode_refusal(APPLIED) is None
    assert decode_refusal(RECORD.result) == ("NoMoney", "too poor")


@pytest.mark.parametrize("result", [b"", b"\x02", b"\x01\x00", APPLIED + b"x"])
def test_any_other_result_is_an_error(result: bytes) -> None:
    """A result is one of two things."""
    with pytest.raises(EncodingError):
        decode_refusal(result)


def test_the_digest_depends_on_content_and_time() -> None:
    """Sent again with another ``created_at``, it is another operation."""
    digests = {operation_digest(1, b"a"), operation_digest(2, b"a"), operation_digest(1, b"b")}

    assert len(digests) == 3
