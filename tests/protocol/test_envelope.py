"""Envelopes: what is signed comes back, and nobody else's request passes."""

from dataclasses import replace
from typing import Any, cast

import cbor2
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from icfleet_protocol.cbor import SELF_DESCRIBE_TAG, encode_tagged
from icfleet_protocol.envelope import (
    ENVELOPE_SIZE_MAX,
    NONCE_SIZE_MAX,
    CallContent,
    Content,
    ReadStateContent,
    authenticate,
    decode_envelope,
    sign_request,
)
from icfleet_protocol.errors import AuthenticationError, DecodeError
from icfleet_protocol.identity import AnonymousIdentity, Ed25519Identity, Identity
from icfleet_protocol.principal import ANONYMOUS, Principal

ADA = Ed25519Identity.from_seed(b"a" * 32)
NOW_NS = 1_700_000_000_000_000_000
CANISTER = Principal.from_text("ryjl3-tyaaa-aaaaa-aaaba-cai")
NOBODY = AnonymousIdentity()

TIMES = st.integers(0, 2**64 - 1)
NONCES = st.none() | st.binary(max_size=NONCE_SIZE_MAX)
CALLS = st.builds(
    CallContent,
    request_type=st.sampled_from(["call", "query"]),
    sender=st.just(ADA.sender),
    ingress_expiry_ns=TIMES,
    canister=st.binary(max_size=29).map(Principal),
    method=st.text(max_size=20),
    arg=st.binary(max_size=40),
    nonce=NONCES,
)
READS = st.builds(
    ReadStateContent,
    sender=st.just(ADA.sender),
    ingress_expiry_ns=TIMES,
    paths=st.lists(st.lists(st.binary(max_size=9), max_size=4).map(tuple), max_size=4).map(tuple),
    nonce=NONCES,
)


def call_by(identity: Identity, **changes: Any) -> CallContent:
    content = CallContent(
        request_type="call",
        sender=identity.sender,
        ingress_expiry_ns=1_700_000_000_000_000_000,
        canister=CANISTER,
        method="transfer",
        arg=b"DIDL\x00\x00",
    )
    return replace(content, **changes)


def fields_by(identity: Identity) -> dict[str, Any]:
    request = sign_request(call_by(identity), identity)
    return cast("dict[str, Any]", cbor2.loads(request.body.removeprefix(SELF_DESCRIBE_TAG)))


@given(CALLS | READS)
def test_a_signed_request_comes_back_and_is_authentic(content: Content) -> None:
    request = sign_request(content, ADA)

    envelope = decode_envelope(request.body)

    assert envelope.content == content
    assert envelope.request_id == request.request_id
    authenticate(envelope, now_ns=NOW_NS)


def test_an_anonymous_request_has_neither_key_nor_signature() -> None:
    fields = fields_by(NOBODY)

    assert set(fields) == {"content"}
    authenticate(decode_envelope(encode_tagged(fields)), now_ns=NOW_NS)


def test_null_key_and_signature_mean_absent() -> None:
    """Source: measured; ic-py sends them so for anonymous requests, and without the tag."""
    fields = fields_by(NOBODY) | {"sender_pubkey": None, "sender_sig": None}

    envelope = decode_envelope(cbor2.dumps(fields))

    authenticate(envelope, now_ns=NOW_NS)
    assert envelope.content.sender == ANONYMOUS


def test_an_unknown_field_is_passed_over_and_counts_for_nothing() -> None:
    """As in the replica, which hashes only the fields that it knows."""
    fields = fields_by(ADA)
    fields["content"] |= {"more": -1, "nonce": None}

    envelope = decode_envelope(encode_tagged(fields))

    assert envelope.request_id == sign_request(call_by(ADA), ADA).request_id
    authenticate(envelope, now_ns=NOW_NS)


@settings(max_examples=60)
@given(st.data())
def test_no_changed_byte_passes(data: st.DataObject) -> None:
    """Whatever is changed under way, the request is refused, or it still says the same."""
    request = sign_request(call_by(ADA), ADA)
    index = data.draw(st.integers(0, len(request.body) - 1))
    mask = data.draw(st.integers(1, 255))
    body = bytearray(request.body)
    body[index] ^= mask

    try:
        envelope = decode_envelope(bytes(body))
        authenticate(envelope, now_ns=NOW_NS)
    except (DecodeError, AuthenticationError):
        return
    assert envelope.content == request.content


@given(st.binary(max_size=80))
def test_bad_bytes_raise_only_decode_error(data: bytes) -> None:
    for body in (data, b"\xa1\x67content" + data):
        try:
            decode_envelope(body)
        except DecodeError:
            continue


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        pytest.param({"request_type": "fetch"}, "unknown request_type", id="unknown-type"),
        pytest.param({"request_type": None}, "request_type", id="type-missing"),
        pytest.param({"sender": "2vxsx-fae"}, "sender", id="sender-as-text"),
        pytest.param({"sender": bytes(30)}, "sender", id="sender-too-long"),
        pytest.param({"ingress_expiry": -1}, "ingress_expiry", id="time-before-zero"),
        pytest.param({"ingress_expiry": 1 << 64}, "ingress_expiry|tag 2", id="time-too-large"),
        pytest.param({"ingress_expiry": 1.5}, "ingress_expiry", id="time-as-float"),
        pytest.param({"ingress_expiry": True}, "ingress_expiry", id="time-as-bool"),
        pytest.param({"nonce": "text"}, "nonce", id="nonce-as-text"),
        pytest.param({"arg": "DIDL"}, "arg", id="argument-as-text"),
        pytest.param({"method_name": b"go"}, "method_name", id="method-as-bytes"),
        pytest.param({"method_name": "x" * 20_001}, "method_name", id="method-too-long"),
        pytest.param({"canister_id": None}, "canister_id", id="canister-missing"),
        pytest.param({"sender_info": b"x"}, "sender_info", id="info-not-a-map"),
        pytest.param({"sender_info": {"info": b""}}, "signer", id="info-without-signer"),
        pytest.param(
            {"sender_info": {"info": b"", "signer": b"\x01", "sig": b""}},
            "senders with canister signatures, not supported by icfleet",
            id="info-well-formed",
        ),
    ],
)
def test_a_malformed_field_is_named(changes: dict[str, object], reason: str) -> None:
    fields = fields_by(ADA)
    fields["content"] |= changes

    with pytest.raises(DecodeError, match=reason):
        decode_envelope(encode_tagged(fields))


@pytest.mark.parametrize(
    ("paths", "reason"),
    [
        pytest.param(None, "paths is missing", id="missing"),
        pytest.param(b"time", "not an array", id="bytes"),
        pytest.param([b"time"], "not an array", id="path-as-bytes"),
        pytest.param([["time"]], "not a byte string", id="label-as-text"),
        pytest.param([[b"x"]] * 10_001, "10001 elements, at most 1000", id="far-too-many"),
        pytest.param([[b"x"] * 1271], "1271 elements, at most 127", id="far-too-long"),
    ],
)
def test_malformed_paths_are_refused(paths: object, reason: str) -> None:
    fields = {"request_type": "read_state", "sender": b"\x04", "ingress_expiry": 1, "paths": paths}

    with pytest.raises(DecodeError, match=reason):
        decode_envelope(encode_tagged({"content": fields}))


@pytest.mark.parametrize(
    ("chain", "reason"),
    [
        pytest.param(b"x", "sender_delegation is not an array", id="bytes"),
        pytest.param([b"x"], "a delegation is not a map", id="of-bytes"),
        pytest.param([{"signature": b""}], "field delegation is missing", id="no-delegation"),
        pytest.param([{"delegation": [1]}], "field delegation is missing", id="array-inside"),
        pytest.param([{"delegation": {"pubkey": b""}}], "expiration is missing", id="no-end"),
    ],
)
def test_malformed_delegations_are_refused(chain: object, reason: str) -> None:
    with pytest.raises(DecodeError, match=reason):
        decode_envelope(encode_tagged(fields_by(ADA) | {"sender_delegation": chain}))


@pytest.mark.parametrize("outer", [{}, {"content": None}, {"content": [1]}])
def test_an_envelope_without_content_is_refused(outer: dict[str, object]) -> None:
    with pytest.raises(DecodeError, match="no content map"):
        decode_envelope(encode_tagged(outer))


def test_a_body_over_the_limit_is_refused() -> None:
    with pytest.raises(DecodeError, match="at most"):
        decode_envelope(bytes(ENVELOPE_SIZE_MAX + 1))
