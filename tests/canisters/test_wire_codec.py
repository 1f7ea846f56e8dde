"""The encoding of rows, records and pages."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from icfleet_canister import ByteReader, ByteWriter, EncodingError
from icfleet_canister.wire_codec import BLOB_SIZE_MAX

VECTORS = [
    pytest.param(ByteWriter().number(0, 1), "00", id="u8"),
    pytest.param(ByteWriter().number(258, 8), "0000000000000102", id="u64-is-big-endian"),
    pytest.param(ByteWriter().numbers([1, 2]), "00000000000000010000000000000002", id="u64s"),
    pytest.param(
        ByteWriter().packed(">QB", [(1, 2), (3, 4)]),
        "000000000000000102000000000000000304",
        id="rows",
    ),
    pytest.param(ByteWriter().blob(b"\xff"), "0001ff", id="blob-has-two-bytes-of-length"),
    pytest.param(ByteWriter().text("å"), "0002c3a5", id="text-is-utf-8"),
    pytest.param(ByteWriter().raw(b"ab").number(1, 2), "61620001", id="raw-has-no-length"),
]


@pytest.mark.parametrize(("writer", "expected"), VECTORS)
def test_fields_are_written_as_documented(writer: ByteWriter, expected: str) -> None:
    """The bytes are part of the product: auditors recompute hashes over them."""
    assert writer.finish().hex() == expected


@given(st.integers(0, 2**64 - 1), st.text(max_size=50), st.binary(max_size=50))
def test_reading_gives_back_what_was_written(number: int, text: str, blob: bytes) -> None:
    """Every value survives."""
    data = ByteWriter().number(number, 8).text(text).blob(blob).finish()

    reader = ByteReader(data)

    assert (reader.number(8), reader.text(), reader.blob()) == (number, text, blob)
    assert reader.is_at_end
    reader.finish()


@pytest.mark.parametrize(("value", "size"), [(256, 1), (-1, 8), (2**64, 8)])
def test_a_number_without_room_is_refused(value: int, size: int) -> None:
    """Nothing is cut off in silence."""
    with pytest.raises(EncodingError, match="does not fit"):
        ByteWriter().number(value, size)


@given(st.lists(st.text(max_size=400), max_size=4))
def test_texts_are_written_and_read_as_one_after_the_other(texts: list[str]) -> None:
    """Short and long ones; the two ways are one encoding."""
    singly = ByteWriter()
    for text in texts:
        singly.text(text)

    data = ByteWriter().texts(texts).finish()

    assert data == singly.finish()
    assert ByteReader(data).texts(len(texts)) == texts
    with pytest.raises(EncodingError):
        ByteReader(data).texts(len(texts) + 1)


@pytest.mark.parametrize("text", ["a\ud800", "x" * (BLOB_SIZE_MAX + 1)])
def test_texts_refuse_what_one_text_does(text: str) -> None:
    """Whichever of them it is."""
    with pytest.raises(EncodingError):
        ByteWriter().texts(["fine", text])


def test_numbers_of_several_sizes_are_written_together() -> None:
    """And read in the same way, or refused."""
    data = ByteWriter().fields(">QBH", 1, 2, 3).finish()

    assert data.hex() == "0000000000000001" + "02" + "0003"
    assert ByteReader(data).fields(">QBH") == (1, 2, 3)
    with pytest.raises(EncodingError):
        ByteReader(data).fields(">QQ")
    with pytest.raises(EncodingError, match="does not fit"):
        ByteWriter().fields(">BB", 1, 256)


@given(st.lists(st.tuples(st.integers(0, 2**64 - 1), st.integers(0, 255)), max_size=9))
def test_counted_rows_end_where_their_number_says(rows: list[tuple[int, int]]) -> None:
    """A number without its rows is an error."""
    data = ByteWriter().number(len(rows), 1).packed(">QB", rows).number(7, 1).finish()
    reader = ByteReader(data)

    assert list(reader.counted(">QB")) == rows
    assert reader.number(1) == 7
    for short in (b"", bytes((len(rows) + 2,)) + data[1:]):
        with pytest.raises(EncodingError):
            ByteReader(short).counted(">QB")


@pytest.mark.parametrize("value", [-1, 2**64])
def test_a_row_of_numbers_is_refused_for_each_of_them(value: int) -> None:
    """As one number is."""
    with pytest.raises(EncodingError, match="does not fit"):
        ByteWriter().numbers([1, value])


@pytest.mark.parametrize("row", [(-1, 0), (2**64, 0), (0, 256)])
def test_a_packed_row_is_refused_for_each_of_its_numbers(row: tuple[int, int]) -> None:
    """As one number is."""
    with pytest.raises(EncodingError, match="does not fit"):
        ByteWriter().packed(">QB", [(1, 1), row])


@given(st.lists(st.tuples(st.integers(0, 2**64 - 1), st.integers(0, 255)), max_size=9))
def test_packed_rows_come_back_and_end_where_they_should(rows: list[tuple[int, int]]) -> None:
    """And if they end too early, that is an error of the encoding."""
    data = ByteWriter().packed(">QB", rows).number(7, 1).finish()

    reader = ByteReader(data)

    assert list(reader.packed(">QB", len(rows))) == rows
    assert reader.number(1) == 7
    with pytest.raises(EncodingError):
        ByteReader(data).packed(">QB", len(rows) + 1)


def test_a_blob_longer_than_its_length_field_is_refused() -> None:
    """Two bytes of length say 65,535 at most."""
    assert len(ByteWriter().blob(bytes(BLOB_SIZE_MAX)).finish()) == BLOB_SIZE_MAX + 2
    with pytest.raises(EncodingError):
        ByteWriter().blob(bytes(BLOB_SIZE_MAX + 1))


def test_a_text_that_is_none_is_refused() -> None:
    """Half of a surrogate pair has no UTF-8."""
    with pytest.raises(EncodingError, match="not a text"):
        ByteWriter().text("a\ud800")


@given(st.binary(max_size=40))
def test_bad_bytes_raise_only_our_error(data: bytes) -> None:
    """Whatever the bytes, reading answers or raises the documented error."""
    reader = ByteReader(data)
    try:
        reader.text()
        reader.number(4)
        reader.numbers(2)
        reader.blob()
        reader.finish()
    except EncodingError:
        return
    assert reader.is_at_end


def test_a_text_that_is_not_utf_8_is_refused() -> None:
    """It was not written by this encoding."""
    with pytest.raises(EncodingError, match="not UTF-8"):
        ByteReader(b"\x00\x01\xff").text()


def test_bytes_left_over_are_refused() -> None:
    """One value has one encoding, so nothing may follow it."""
    reader = ByteReader(b"\x00\x01")
    reader.number(1)

    with pytest.raises(EncodingError, match="1 bytes left over"):
        reader.finish()
