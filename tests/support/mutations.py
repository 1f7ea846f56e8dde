"""Messages that were valid once: one byte or one CBOR item is changed, and little else.

A random message fails at its first byte; these reach the checks behind.
"""

import copy
from collections.abc import Sequence
from typing import Any, cast

import cbor2
from hypothesis import strategies as st

from icfleet_protocol.cbor import SELF_DESCRIBE_TAG

# What a parser may not expect in place of an item: other types, extremes, and CBOR's odd corners.
_ITEMS: list[Any] = [
    *(None, True, 0, 1, -1, 2**32, 2**64 - 1, 2**64, -(2**64), 1.5, float("nan")),
    *(b"", b"\x00", b"\x04", bytes(10), bytes(30), bytes(64), b"\xff" * 96),
    *("", "call", "queries", "\x00", "é" * 20),
    *([], {}, [[]], [b""], [[[[[]]]]], {"a": {}}, [0] * 200),
    *(cbor2.CBORSimpleValue(99), cbor2.undefined, cbor2.CBORTag(55799, ""), cbor2.CBORTag(2, b"x")),
]


@st.composite
def changed_bytes(draw: st.DrawFn, data: bytes) -> bytes:
    """Some bytes replaced, taken out, put in, or repeated."""
    index = draw(st.integers(0, max(0, len(data) - 1)))
    size = draw(st.integers(0, 4))
    match draw(st.sampled_from(["flip", "replace", "insert", "repeat", "cut"])):
        case "flip" if data:
            mask = draw(st.integers(1, 255))
            return data[:index] + bytes([data[index] ^ mask]) + data[index + 1 :]
        case "replace":
            return data[:index] + draw(st.binary(max_size=4)) + data[index + size :]
        case "insert":
            return data[:index] + draw(st.binary(min_size=1, max_size=9)) + data[index:]
        case "repeat":
            return data[: index + size] + data[index:]
        case _:
            return data[:index]


@st.composite
def changed_items(draw: st.DrawFn, message: bytes) -> bytes:
    """One item of a CBOR message replaced, taken out, repeated, or put in another's place."""
    value = copy.deepcopy(cbor2.loads(message.removeprefix(SELF_DESCRIBE_TAG)))
    places = list(_places(value))
    container, key = draw(st.sampled_from(places))
    match draw(st.sampled_from(["replace", "remove", "repeat", "move", "edit"])):
        case "replace":
            container[key] = draw(st.sampled_from(_ITEMS))
        case "remove":
            del container[key]
        case "repeat" if isinstance(container, list):
            times = draw(st.sampled_from([1, 2, 30]))
            container[key:key] = [container[key]] * times
        case "repeat":
            container["more"] = container[key]
        case "move":
            other, its_key = draw(st.sampled_from(places))
            container[key] = copy.deepcopy(other[its_key])
        case _:
            container[key] = draw(_edited(container[key]))
    tag = SELF_DESCRIBE_TAG if draw(st.booleans()) else b""
    return tag + cbor2.dumps(value)


def changed_messages(message: bytes) -> st.SearchStrategy[bytes]:
    """A CBOR message with a change on either level."""
    return st.one_of(changed_items(message), changed_items(message), changed_bytes(message))


def _edited(item: object) -> st.SearchStrategy[Any]:
    if isinstance(item, bytes):
        return changed_bytes(item)
    if isinstance(item, int):
        return st.integers(-2, 2).map(lambda step: item + step)
    if isinstance(item, str):
        return st.sampled_from([item.upper(), item + "s", item[:-1]])
    return st.sampled_from(_ITEMS)


def _places(value: Any) -> list[tuple[Any, Any]]:
    """Every container and key at which an item stands."""
    found: list[tuple[Any, Any]] = []
    stack: list[Any] = [value]
    keys: list[Any]
    while stack:
        container = stack.pop()
        match container:
            case dict():
                keys = list(cast("dict[str, Any]", container))
            case list():
                keys = [index for index, _ in enumerate(cast("Sequence[Any]", container))]
            case _:
                keys = []
        found += [(container, key) for key in keys]
        stack += [container[key] for key in keys]
    return found
