"""Records of the log and the chain over them."""

import hashlib
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from icfleet_canister import ChangeRecord, EncodingError, LogHead, RowChange
from icfleet_canister.batch_applier import ID_SIZE_MAX, ID_SIZE_MIN
from icfleet_canister.log_record import (
    APPLIED,
    Position,
    chain,
    decode_epoch,
    decode_record,
    decode_refusal,
    encode_epoch,
    encode_record,
    encode_refusal,
    first_hash,
    is_library_id,
    library_id,
    log_fields,
    operation_digest,
    record_epoch,
    record_id,
    result_kind,
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
    start = hashlib.sha256(b"icfleet-log").digest()
    inner = hashlib.sha256(audited(RECORD)).digest()

    assert LogHead.empty() == LogHead(0, 0, start)
    assert chain(first_hash(), encode_record(RECORD)) == hashlib.sha256(start + inner).digest()


def test_a_refusal_survives_and_applied_is_none() -> None:
    """The result tells the two ends of an operation apart."""
    assert decode_refusal(APPLIED) is None
    assert decode_refusal(RECORD.result) == ("NoMoney", "too poor")


@pytest.mark.parametrize(
    "result", [b"", b"\x02", b"\x03", b"\x01\x00", APPLIED + b"x", encode_epoch(1) + b"x"]
)
def test_any_other_result_is_an_error(result: bytes) -> None:
    """A result is one of three things."""
    with pytest.raises(EncodingError):
        result_kind(result)


def test_the_beginning_of_an_epoch_is_no_refusal() -> None:
    """Nor is anything else the beginning of an epoch."""
    assert encode_epoch(7) == b"\x02" + struct.pack(">Q", 7)
    assert decode_epoch(encode_epoch(7)) == 7
    assert [decode_epoch(result) for result in (APPLIED, RECORD.result, b"")] == [None] * 3
    with pytest.raises(EncodingError, match="kind 2"):
        decode_refusal(encode_epoch(7))
    kinds = [result_kind(result) for result in (APPLIED, RECORD.result, encode_epoch(7))]
    assert kinds == ["Applied", "Refused", "Epoch"]


@given(records, st.integers(0, 2**64 - 1))
def test_time_and_epoch_are_found_in_the_bytes(record: ChangeRecord, epoch: int) -> None:
    """The log looks at nothing else of a record."""
    plain = record._replace(result=b"\x01" + record.result)
    begun = record._replace(result=encode_epoch(epoch))

    assert log_fields(encode_record(plain)) == (record.seq, record.created_at_ns, None)
    assert log_fields(encode_record(begun)) == (record.seq, record.created_at_ns, epoch)
    assert record_id(encode_record(plain)) == (
        record.seq,
        record.subject.encode(),
        record.operation_id,
    )
    assert record_epoch(encode_record(plain)) is None
    assert record_epoch(encode_record(begun)) == epoch


def test_no_client_can_send_an_id_of_the_library() -> None:
    """Else a client's operation and a setting could meet under one id."""
    ids = [library_id(0), library_id(2**64 - 1)]

    assert all(is_library_id(each) for each in ids)
    assert not any(is_library_id(bytes(size)) for size in range(ID_SIZE_MIN, ID_SIZE_MAX + 1))


def test_positions_are_ordered_by_epoch_and_then_by_seq() -> None:
    """A later epoch is later, however short."""
    assert Position(1, 900) < Position(2, 3) < Position(2, 4)
    assert str(LogHead(3, 120, b"").position) == "3/120"


def test_the_digest_depends_on_content_and_time() -> None:
    """Sent again with another ``created_at``, it is another operation."""
    digests = {operation_digest(1, b"a"), operation_digest(2, b"a"), operation_digest(1, b"b")}

    assert len(digests) == 3
