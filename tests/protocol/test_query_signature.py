"""A node's signature binds every field of its answer to one request."""

import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from icfleet_protocol.errors import InvalidSignatureError
from icfleet_protocol.identity import Ed25519Identity
from icfleet_protocol.query_signature import query_response_message, verify_query_signature
from icfleet_protocol.request_id import HashableValue, RequestId, hash_of_map

NODE = Ed25519Identity.from_seed(b"n" * 32)
REQUEST = RequestId(hashlib.sha256(b"request").digest())
TIME_NS = 1_750_000_000_000_000_000
REPLIED: dict[str, HashableValue] = {"status": "replied", "reply": {"arg": b"DIDL\x00\x00"}}
REJECTED: dict[str, HashableValue] = {
    "status": "rejected",
    "reject_code": 5,
    "reject_message": "trapped",
    "error_code": "IC0503",
}
RESPONSES = [pytest.param(REPLIED, id="replied"), pytest.param(REJECTED, id="rejected")]


def sign(response: dict[str, HashableValue]) -> bytes:
    return NODE.sign(query_response_message(response, timestamp_ns=TIME_NS, request=REQUEST))


def verify(
    response: dict[str, HashableValue],
    signature: bytes,
    *,
    timestamp_ns: int = TIME_NS,
    request: RequestId = REQUEST,
) -> None:
    verify_query_signature(
        response,
        timestamp_ns=timestamp_ns,
        request=request,
        node_key_der=NODE.public_key_der,
        signature=signature,
    )


@pytest.mark.parametrize("response", RESPONSES)
def test_what_the_node_signed_is_accepted(response: dict[str, HashableValue]) -> None:
    verify(response, sign(response))


def test_the_signed_bytes_are_as_specified() -> None:
    """Source: IC interface specification, ``verify_response``: separator, then the map's hash."""
    fields: dict[str, HashableValue] = {**REPLIED, "timestamp": TIME_NS, "request_id": REQUEST}

    message = query_response_message(REPLIED, timestamp_ns=TIME_NS, request=REQUEST)

    assert message == b"\x0bic-response" + hash_of_map(fields)


def test_fields_that_are_not_signed_do_not_count() -> None:
    """The list of signatures stands in the same map as the answer."""
    verify({**REPLIED, "signatures": [b"x"]}, sign(REPLIED))


@pytest.mark.parametrize("response", RESPONSES)
def test_each_field_is_bound(response: dict[str, HashableValue]) -> None:
    signature = sign(response)
    for name in response:
        without = {key: value for key, value in response.items() if key != name}
        with pytest.raises(InvalidSignatureError):
            verify(without, signature)
        with pytest.raises(InvalidSignatureError):
            verify({**response, name: "other"}, signature)


def test_time_and_request_are_bound() -> None:
    """An answer cannot be replayed later, or for another question."""
    signature = sign(REPLIED)

    with pytest.raises(InvalidSignatureError):
        verify(REPLIED, signature, timestamp_ns=TIME_NS + 1)
    with pytest.raises(InvalidSignatureError):
        verify(REPLIED, signature, request=RequestId(bytes(32)))


def test_another_node_is_refused() -> None:
    other = Ed25519Identity.from_seed(b"o" * 32)
    signature = other.sign(query_response_message(REPLIED, timestamp_ns=TIME_NS, request=REQUEST))

    with pytest.raises(InvalidSignatureError):
        verify(REPLIED, signature)


@given(st.binary(max_size=70))
def test_bad_signatures_raise_only_invalid_signature(signature: bytes) -> None:
    with pytest.raises(InvalidSignatureError):
        verify(REPLIED, signature)
