"""LEB128: the specification's numbers, round trips, and bounded failure."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from icfleet_protocol.errors import DecodeError
from icfleet_protocol.leb128 import (
    LEB128_SIZE_MAX,
    decode_sleb128,
    decode_uleb128,
    encode_sleb128,
    encode_uleb128,
)

# Source: DWARF Debugging Information Format 4, figures 22 and 23.
UNSIGNED_VECTORS = [
    pytest.param(0, "00", id="zero"),
    pytest.param(2, "02", id="one-byte"),
    pytest.param(127, "7f", id="largest-of-one-byte"),
    pytest.param(128, "8001", id="smallest-of-two-bytes"),
    pytest.param(129, "8101", id="129"),
    pytest.param(12857, "b964", id="12857"),
]
SIGNED_VECTORS = [
    pytest.param(2, "02", id="two"),
    pytest.param(-2, "7e", id="minus-two"),
    pytest.param(127, "ff00", id="127-needs-a-sign-bit"),
    pytest.param(-127, "817f", id="minus-127"),
    pytest.param(128, "8001", id="128"),
    pytest.param(-128, "807f", id="minus-128"),
    pytest.param(-129, "ff7e", id="minus-129"),
]


@pytest.mark.parametrize(("value", "encoded"), UNSIGNED_VECTORS)
def test_natural_numbers_are_as_specified(value: int, encoded: str) -> None:
    assert encode_uleb128(value).hex() == encoded
    assert decode_uleb128(bytes.fromhex(encoded)) == (value, len(encoded) // 2)


@pytest.mark.parametrize(("value", "encoded"), SIGNED_VECTORS)
def test_integers_are_as_specified(value: int, encoded: str) -> None:
    assert encode_sleb128(value).hex() == encoded
    assert decode_sleb128(bytes.fromhex(encoded)) == (value, len(encoded) // 2)


@given(st.integers(min_value=0, max_value=1 << 200), st.binary(max_size=4), st.binary(max_size=4))
def test_natural_numbers_come_back_from_any_place(value: int, before: bytes, after: bytes) -> None:
    """The number is read where it starts, and what follows is not touched."""
    encoded = encode_uleb128(value)

    decoded, end = decode_uleb128(before + encoded + after, len(before))

    assert (decoded, end) == (value, len(before) + len(encoded))


@given(st.integers(min_value=-(1 << 200), max_value=1 << 200))
def test_integers_come_back(value: int) -> None:
    assert decode_sleb128(encode_sleb128(value))[0] == value


@pytest.mark.parametrize("encoded", ["8000", "808000"])
def test_over_long_zero_is_accepted(encoded: str) -> None:
    """The specification allows encodings longer than need be."""
    assert decode_uleb128(bytes.fromhex(encoded)) == (0, len(encoded) // 2)


@given(st.binary(max_size=20), st.integers(min_value=0, max_value=25))
def test_bad_bytes_raise_only_decode_error(data: bytes, offset: int) -> None:
    for decode in (decode_uleb128, decode_sleb128):
        try:
            _, end = decode(data, offset)
        except DecodeError:
            continue
        assert offset < end <= len(data)


@pytest.mark.parametrize("decode", [decode_uleb128, decode_sleb128])
def test_number_without_end_is_refused_after_a_bounded_length(
    decode: object,
) -> None:
    """An endless number costs no more than the limit."""
    assert callable(decode)
    with pytest.raises(DecodeError, match="too long"):
        decode(b"\x80" * (LEB128_SIZE_MAX + 10))
    with pytest.raises(DecodeError, match="without an end"):
        decode(b"\x80" * 3)
