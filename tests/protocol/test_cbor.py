"""CBOR at the border: what replicas send is read, what an attacker sends is refused in time."""

import time

import cbor2
import pytest
from hypothesis import given
from hypothesis import strategies as st

from icfleet_protocol.cbor import (
    SELF_DESCRIBE_TAG,
    decode_map,
    encode_bytes,
    encode_map,
    encode_tagged,
)
from icfleet_protocol.errors import DecodeError

SIZE_MAX = 10_000

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(0, 2**64 - 1) | st.binary() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)


@given(st.dictionaries(st.text(max_size=8), VALUES, max_size=6))
def test_maps_come_back_with_or_without_the_tag(value: dict[str, object]) -> None:
    encoded = encode_tagged(value)

    assert encoded.startswith(SELF_DESCRIBE_TAG)
    assert decode_map(encoded, size_max=1 << 20) == value
    assert decode_map(encoded[3:], size_max=1 << 20) == value


@pytest.mark.parametrize("size", [0, 23, 24, 255, 256, 65_535, 65_536])
def test_what_is_put_together_is_what_the_encoder_writes(size: int) -> None:
    value = {"a": bytes(size), "a key of some length, that is": b"x"}

    put_together = encode_map({key: encode_bytes(content) for key, content in value.items()})

    assert put_together == cbor2.dumps(value)


@given(st.binary(max_size=60))
def test_bad_bytes_raise_only_decode_error(data: bytes) -> None:
    for body in (data, SELF_DESCRIBE_TAG + data, b"\xa1\x61a" + data):
        try:
            decode_map(body, size_max=SIZE_MAX)
        except DecodeError:
            continue


@given(st.dictionaries(st.text(max_size=8), VALUES, max_size=4), st.data())
def test_a_message_cut_short_is_refused(value: dict[str, object], data: st.DataObject) -> None:
    encoded = encode_tagged(value)
    end = data.draw(st.integers(3, len(encoded) - 1))

    with pytest.raises(DecodeError):
        decode_map(encoded[:end], size_max=1 << 20)


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        pytest.param(b"", "too early", id="empty"),
        pytest.param(cbor2.dumps([1]), "expected a CBOR map", id="array"),
        pytest.param(cbor2.dumps({1: 2}), "text keys", id="number-as-key"),
        pytest.param(cbor2.dumps({"a": 1}) + b"\x00", "1 bytes after", id="trailing-byte"),
        pytest.param(b"\xbf\x61a\x01\xff", "not supported", id="indefinite-length"),
        pytest.param(b"\xa1\x61a\x5b" + b"\xff" * 8, "longer than", id="string-bomb"),
        pytest.param(b"\xa1\x61a\x9b" + b"\xff" * 8, "longer than", id="array-bomb"),
        pytest.param(b"\xa1\x61a\xbb" + b"\x7f" * 8, "longer than", id="map-bomb"),
        pytest.param(b"\xa1\x61a" + b"\x81" * 5000 + b"\x00", "deeper", id="too-deep"),
        pytest.param(b"\xa1\x61a\xd8\x1c\x81\xd8\x1d\x00", "tag 28", id="value-inside-itself"),
        pytest.param(b"\xa1\x61a\xc4\x82\x1b" + b"\x7f" * 8 + b"\x01", "tag 4", id="huge-decimal"),
        pytest.param(b"\xa1\x61a\xd8\x23\x62((", "tag 35", id="regular-expression"),
        pytest.param(SELF_DESCRIBE_TAG * 2 + b"\xa0", "tag 55799", id="tag-twice"),
        pytest.param(b"\xa1\x61a\x62\xff\xff", "malformed", id="text-not-utf-8"),
        pytest.param(cbor2.dumps({"a": bytes(SIZE_MAX)}), "at most 10000", id="too-long"),
    ],
)
def test_what_no_replica_sends_is_refused(body: bytes, reason: str) -> None:
    with pytest.raises(DecodeError, match=reason):
        decode_map(body, size_max=SIZE_MAX)


def test_refusal_of_a_large_message_is_quick() -> None:
    """One pass over the message, whatever it claims."""
    body = b"\xa1\x61a\x9a" + (1_000_000).to_bytes(4, "big") + b"\x80" * 999_999
    start_s = time.perf_counter()

    with pytest.raises(DecodeError):
        decode_map(body, size_max=2_000_000)

    assert time.perf_counter() - start_s < 10
