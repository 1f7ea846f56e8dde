"""CBOR at the border: tagged out, bounded and strict in.

Of CBOR, messages of the IC use: maps with text keys, arrays, byte strings, texts, numbers up to 64
bits, ``null``, and one tag in front. What else there is in the standard is refused.

Source: IC interface specification, "CBOR"; RFC 8949 section 3.4.6 for the self-describe tag.
"""

from collections.abc import Mapping
from typing import Any, cast

import cbor2

from icfleet_protocol.errors import DecodeError

__all__ = ["SELF_DESCRIBE_TAG", "decode_map", "encode_bytes", "encode_map", "encode_tagged"]

SELF_DESCRIBE_TAG = b"\xd9\xd9\xf7"

_DEPTH_MAX = 128
"""A hash tree of 2^100 leaves needs no more; deeper is an attack on the recursion limit."""

_ITEMS_MAX = 200_000
"""The largest request, of 1,000 paths of 127 labels, has 129,000. An item costs up to some hundred
bytes of memory, whatever its size on the wire."""

_HEAD_INLINE_MAX = 24
_HEAD_SIZED_MAX = 27

_BYTES, _TEXT, _MAP, _TAG = 2, 3, 5, 6
"""Major types. Source: RFC 8949 section 3.1."""

_STRINGS = frozenset({2, 3})
_ITEMS_PER_ENTRY = {4: 1, 5: 2}
"""Arrays and maps."""


def encode_tagged(value: object) -> bytes:
    """Encode with the self-describe tag in front, as replicas do."""
    return SELF_DESCRIBE_TAG + cbor2.dumps(value)


def encode_bytes(value: bytes) -> bytes:
    """Encode a byte string, without a tag: for writing what cbor2 would take long to walk."""
    size = len(value)
    if size < _HEAD_INLINE_MAX:
        return bytes((_BYTES << 5 | size,)) + value
    width = 0
    while size >> (8 << width):
        width += 1
    head = _BYTES << 5 | _HEAD_INLINE_MAX + width
    return head.to_bytes(1, "big") + size.to_bytes(1 << width, "big") + value


def encode_map(values: Mapping[str, bytes]) -> bytes:
    """Encode a map of a few values that are CBOR already, without a tag."""
    assert len(values) < _HEAD_INLINE_MAX, len(values)
    parts = [bytes((_MAP << 5 | len(values),))]
    for key, value in values.items():
        parts += (cbor2.dumps(key), value)
    return b"".join(parts)


def decode_map(data: bytes, *, size_max: int) -> Mapping[str, Any]:
    """Decode one CBOR map, with or without the self-describe tag.

    The tag is cut off before decoding: below it, cbor2 6 would make other types than cbor2 5.

    Args:
        data: The whole message.
        size_max: Bytes accepted.

    Raises:
        DecodeError: If it is too long, too deep, not CBOR, not a map, or has bytes left over; or
            if it uses what no message of the IC does: other keys than texts, a key twice in one
            map, tags, bignums, indefinite lengths.
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
    return cast("Mapping[str, Any]", value)


def _measure(data: bytes) -> int:
    """Return where the first value ends, in one pass without recursion.

    Checks what a decoder would pay for before it is paid: depth, number of items, and lengths
    against the input. Checks as well what it would pass over: keys that stand twice, of which it
    would take the last.
    """
    outer: list[tuple[int, set[bytes] | None]] = []
    remaining: int = 1
    keys: set[bytes] | None = None
    offset = 0
    items = 0
    while True:
        if remaining == 0:
            if not outer:
                return offset
            remaining, keys = outer.pop()
            continue
        items += 1
        if items > _ITEMS_MAX:
            reason = f"CBOR of more than {_ITEMS_MAX} items"
            raise DecodeError(reason, offset_bytes=offset)
        major, argument, offset = _read_head(data, offset)
        remaining -= 1
        if keys is not None and remaining & 1:
            # A map has an even number of items, so an odd number follows a key.
            offset = _read_key(data, offset, major, argument, keys)
        elif major in _STRINGS:
            offset = _skip_string(data, offset, argument)
        elif major in _ITEMS_PER_ENTRY:
            outer.append((remaining, keys))
            remaining = _count_items(data, offset, major, argument, depth=len(outer))
            keys = set() if major == _MAP else None
        elif major == _TAG:
            # No request or reply has one below the first. A decoder would run code for them: make
            # cyclic values out of shared references, compile expressions, compute huge decimals.
            reason = f"CBOR tag {argument} inside a message"
            raise DecodeError(reason, offset_bytes=offset)


def _count_items(data: bytes, offset: int, major: int, entries: int, *, depth: int) -> int:
    items = _ITEMS_PER_ENTRY[major] * entries
    if items > len(data) - offset:
        reason = "CBOR container longer than the message"
        raise DecodeError(reason, offset_bytes=offset)
    if depth > _DEPTH_MAX:
        reason = f"CBOR nested deeper than {_DEPTH_MAX}"
        raise DecodeError(reason, offset_bytes=offset)
    return items


def _read_key(data: bytes, offset: int, major: int, argument: int, keys: set[bytes]) -> int:
    if major != _TEXT:
        reason = "expected a CBOR map with text keys"
        raise DecodeError(reason, offset_bytes=offset)
    end = _skip_string(data, offset, argument)
    key = data[offset:end]
    if key in keys:
        reason = f"the key {key[:40]!r} stands twice in a CBOR map"
        raise DecodeError(reason, offset_bytes=offset)
    keys.add(key)
    return end


def _skip_string(data: bytes, offset: int, size: int) -> int:
    end = offset + size
    if end > len(data):
        reason = "CBOR string longer than the message"
        raise DecodeError(reason, offset_bytes=len(data))
    return end


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
