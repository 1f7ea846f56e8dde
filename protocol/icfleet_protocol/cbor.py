"""CBOR at the border: tagged out, size-bounded and tag-tolerant in.

Source: IC interface specification, "CBOR"; RFC 8949 section 3.4.6 for the self-describe tag.
"""

from collections.abc import Mapping
from typing import Any, cast

import cbor2

from icfleet_protocol.errors import DecodeError

__all__ = ["SELF_DESCRIBE_TAG", "decode_map", "encode_tagged"]

SELF_DESCRIBE_TAG = b"\xd9\xd9\xf7"

_DEPTH_MAX = 128
"""A hash tree of 2^100 leaves needs no more; deeper is an attack on the recursion limit."""

_HEAD_INLINE_MAX = 24
_HEAD_SIZED_MAX = 27
_ITEMS_PER_ENTRY = {4: 1, 5: 2}
"""Arrays and maps."""

_TAG_MAJOR_TYPE = 6


def encode_tagged(value: object) -> bytes:
    """Encode with the self-describe tag in front, as replicas do."""
    return SELF_DESCRIBE_TAG + cbor2.dumps(value)


def decode_map(data: bytes, *, size_max: int) -> Mapping[str, Any]:
    """Decode one CBOR map, with or without the self-describe tag.

    The tag is cut off before decoding: below it, cbor2 6 would make other types than cbor2 5.

    Args:
        data: The whole message.
        size_max: Bytes accepted.

    Raises:
        DecodeError: If it is too long, too deep, not CBOR, not a map, or has bytes left over.
    """
    if len(data) > size_max:
        reason = f"CBOR of {len(data)} bytes, at most {size_max} allowed"
        raise DecodeError(reason, offset_bytes=size_max)
    body = data.removeprefix(SELF_DESCRIBE_TAG)
    end = _measure(body)
    if end != len(body):
        reason = f"{len(body) - end} bytes after the end of the CBOR value"
        raise DecodeError(reason, offset_bytes=end)
    try:
        value: object = cbor2.loads(body)
    except (cbor2.CBORError, ValueError, TypeError, OverflowError, RecursionError) as error:
        reason = f"malformed CBOR: {error}"
        raise DecodeError(reason) from error
    if not isinstance(value, Mapping):
        reason = f"expected a CBOR map, got {type(value).__name__}"
        raise DecodeError(reason)
    fields = cast("Mapping[object, Any]", value)
    if not all(isinstance(key, str) for key in fields):
        reason = "expected a CBOR map with text keys"
        raise DecodeError(reason)
    return cast("Mapping[str, Any]", fields)


def _measure(data: bytes) -> int:
    """Return where the first value ends, in one pass without recursion or allocation.

    Checks what a decoder would pay for before it is paid: depth, and lengths against the input.
    """
    remaining: list[int] = [1]
    offset = 0
    while remaining:
        if remaining[-1] == 0:
            remaining.pop()
            continue
        remaining[-1] -= 1
        major, argument, offset = _read_head(data, offset)
        if major in (2, 3):
            offset += argument
            if offset > len(data):
                reason = "CBOR string longer than the message"
                raise DecodeError(reason, offset_bytes=len(data))
        elif major == _TAG_MAJOR_TYPE:
            # No request or reply has one below the first. A decoder would run code for them: make
            # cyclic values out of shared references, compile expressions, compute huge decimals.
            reason = f"CBOR tag {argument} inside a message"
            raise DecodeError(reason, offset_bytes=offset)
        elif major in _ITEMS_PER_ENTRY:
            items = _ITEMS_PER_ENTRY[major] * argument
            if items > len(data) - offset:
                reason = "CBOR container longer than the message"
                raise DecodeError(reason, offset_bytes=offset)
            if len(remaining) > _DEPTH_MAX:
                reason = f"CBOR nested deeper than {_DEPTH_MAX}"
                raise DecodeError(reason, offset_bytes=offset)
            remaining.append(items)
    return offset


def _read_head(data: bytes, offset: int) -> tuple[int, int, int]:
    """Return major type, argument and the offset after the head of the item at ``offset``."""
    if offset >= len(data):
        reason = "CBOR value ends too early"
        raise DecodeError(reason, offset_bytes=offset)
    major, low = data[offset] >> 5, data[offset] & 0x1F
    if low < _HEAD_INLINE_MAX:
        return major, low, offset + 1
    if low > _HEAD_SIZED_MAX:
        # Indefinite lengths and reserved heads: no client of the IC sends them.
        reason = f"CBOR head 0x{data[offset]:02x} is not supported"
        raise DecodeError(reason, offset_bytes=offset)
    size = 1 << (low - _HEAD_INLINE_MAX)
    end = offset + 1 + size
    if end > len(data):
        reason = "CBOR value ends too early"
        raise DecodeError(reason, offset_bytes=offset)
    return major, int.from_bytes(data[offset + 1 : end], "big"), end
