"""LEB128, unsigned and signed, as Candid and the certified state use it.

Source: https://github.com/dfinity/candid/blob/master/spec/Candid.md#notation
"""

from icfleet_protocol.errors import DecodeError

__all__ = [
    "LEB128_SIZE_MAX",
    "decode_sleb128",
    "decode_uleb128",
    "encode_sleb128",
    "encode_uleb128",
]

LEB128_SIZE_MAX = 1024
"""Bytes. Candid's ``nat`` has no bound, so we set one: work grows with the square of the length."""

_CONTINUE = 0x80
_SIGN = 0x40
_LOW_BITS = 0x7F


def encode_uleb128(value: int) -> bytes:
    """Encode a natural number in the fewest bytes."""
    assert value >= 0, value
    out = bytearray()
    while value >= _CONTINUE:
        out.append((value & _LOW_BITS) | _CONTINUE)
        value >>= 7
    out.append(value)
    return bytes(out)


def encode_sleb128(value: int) -> bytes:
    """Encode an integer in the fewest bytes."""
    out = bytearray()
    while not -_SIGN <= value < _SIGN:
        out.append((value & _LOW_BITS) | _CONTINUE)
        value >>= 7
    out.append(value & _LOW_BITS)
    return bytes(out)


def decode_uleb128(data: bytes, offset: int = 0) -> tuple[int, int]:
    """Decode a natural number that starts at ``offset``.

    Over-long encodings (``80 00`` for zero) are accepted, because the specification accepts them.

    Returns:
        The number, and the index of the first byte after it.

    Raises:
        DecodeError: If the number has no end, or is longer than ``LEB128_SIZE_MAX`` bytes.
    """
    value, end = _decode(data, offset)
    return value, end


def decode_sleb128(data: bytes, offset: int = 0) -> tuple[int, int]:
    """Decode an integer that starts at ``offset``; see ``decode_uleb128``."""
    value, end = _decode(data, offset)
    if data[end - 1] & _SIGN:
        value -= 1 << (7 * (end - offset))
    return value, end


def _decode(data: bytes, offset: int) -> tuple[int, int]:
    value = 0
    shift = 0
    stop = min(len(data), offset + LEB128_SIZE_MAX)
    for index in range(offset, stop):
        byte = data[index]
        value |= (byte & _LOW_BITS) << shift
        if byte < _CONTINUE:
            return value, index + 1
        shift += 7
    reason = "LEB128 number without an end" if stop == len(data) else "LEB128 number too long"
    raise DecodeError(reason, offset_bytes=offset)
