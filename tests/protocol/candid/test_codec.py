"""Messages: bytes known from elsewhere, round trips, and agreement of the two ways."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.protocol.candid.strategies import ENVIRONMENT, messages, relatives, types

from icfleet_protocol.candid import (
    CandidType,
    NamedType,
    OptType,
    Some,
    VecType,
    encode,
    record,
    variant,
)
from icfleet_protocol.candid.codec import Codec
from icfleet_protocol.candid.types import (
    blob,
    bool_,
    int_,
    nat,
    nat16,
    principal,
    text,
)
from icfleet_protocol.errors import CandidError
from icfleet_protocol.principal import Principal

LEDGER = Principal.from_text("ryjl3-tyaaa-aaaaa-aaaba-cai")

VECTORS = [
    # Source: Candid.md, "Binary Format", by hand; and the official suite, where it says so.
    pytest.param((), (), "4449444c0000", id="no-arguments"),
    pytest.param((nat,), (128,), "4449444c00017d8001", id="nat-suite"),
    pytest.param((int_,), (-60_000_000_000_000_000,), "4449444c00017c8080e88b96cab5957f", id="int"),
    pytest.param((text, bool_), ("Motoko", True), "4449444c0002717e064d6f746f6b6f01", id="two"),
    pytest.param((blob,), (b"\x01\x02",), "4449444c016d7b01000201 02", id="blob-suite"),
    pytest.param((VecType(nat16),), ([1, 256],), "4449444c016d7a010002 0100 0001", id="vec"),
    pytest.param((OptType(int_),), (42,), "4449444c016e7c0100012a", id="opt-suite"),
    pytest.param((OptType(int_),), (None,), "4449444c016e7c010000", id="none-suite"),
    pytest.param(
        (record(foo=int_, bar=bool_),),
        ({"foo": 42, "bar": True},),
        "4449444c016c02d3e3aa027e868eb7027c0100012a",
        id="record-suite",
    ),
    pytest.param(
        (variant(Ok=text, Err=text),),
        ({"Ok": "good"},),
        "4449444c016b02bc8a0171c5fed20171010000 04676f6f64",
        id="variant-suite",
    ),
    pytest.param((principal,), (LEDGER,), "4449444c000168010a00000000000000020101", id="principal"),
    pytest.param(
        (NamedType("Opt"),), (Some(None),), "4449444c016e0001000100", id="recursive-suite"
    ),
]


@pytest.mark.parametrize(("content", "values", "expected"), VECTORS)
def test_known_messages_are_written_and_read(
    content: tuple[CandidType, ...], values: tuple[object, ...], expected: str
) -> None:
    codec = Codec(content, {"Opt": OptType(NamedType("Opt"))})
    message = bytes.fromhex(expected)

    assert codec.encode(values) == message
    assert codec.encode_plainly(values) == message
    assert codec.decode(message) == values
    assert codec.decode_plainly(message) == values


@given(messages())
def test_every_value_comes_back(message: tuple[tuple[CandidType, ...], tuple[Any, ...]]) -> None:
    content, values = message
    codec = Codec(content, ENVIRONMENT)

    written = codec.encode(values)

    assert codec.encode_plainly(values) == written
    assert codec.decode(written) == values
    assert codec.decode_plainly(written) == values


@given(st.lists(types, max_size=2), st.binary(max_size=40))
def test_any_bytes_raise_only_candid_error(content: list[CandidType], tail: bytes) -> None:
    """Whatever the bytes, both ways give the same values, or the same documented error."""
    _compare(Codec(content, ENVIRONMENT), b"DIDL" + tail)


@given(messages(), st.integers(0, 10**6), st.integers(0, 255))
def test_a_damaged_message_raises_only_candid_error(
    message: tuple[tuple[CandidType, ...], tuple[Any, ...]], place: int, byte: int
) -> None:
    content, values = message
    codec = Codec(content, ENVIRONMENT)
    damaged = bytearray(codec.encode(values))
    damaged[place % len(damaged)] = byte

    _compare(codec, bytes(damaged))
    _compare(codec, bytes(damaged[:-1]))


@given(messages(), st.lists(types, max_size=3))
def test_a_message_of_other_types_is_read_alike_or_refused(
    message: tuple[tuple[CandidType, ...], tuple[Any, ...]], expected: list[CandidType]
) -> None:
    content, values = message

    _compare(Codec(expected, ENVIRONMENT), encode(content, values, environment=ENVIRONMENT))


@st.composite
def evolved_messages(
    draw: st.DrawFn,
) -> tuple[tuple[CandidType, ...], tuple[Any, ...], list[CandidType]]:
    """A message, and what an older or newer program expects in its place."""
    content, values = draw(messages())
    return content, values, [draw(relatives(one)) for one in content]


@given(evolved_messages())
def test_a_message_of_related_types_is_read_alike_or_refused(
    evolved: tuple[tuple[CandidType, ...], tuple[Any, ...], list[CandidType]],
) -> None:
    """As after upgrades: fields and cases come and go, content becomes optional, types change."""
    content, values, expected = evolved

    _compare(Codec(expected, ENVIRONMENT), encode(content, values, environment=ENVIRONMENT))


def _compare(codec: Codec, message: bytes) -> None:
    plain = _outcome(lambda: codec.decode_plainly(message))

    # The second time, the header is known.
    assert _outcome(lambda: codec.decode(message)) == plain
    assert _outcome(lambda: codec.decode(message)) == plain


def _outcome(read: Any) -> str:
    try:
        return repr(read())
    except CandidError as error:
        return f"refused: {error}"
