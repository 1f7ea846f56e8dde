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
    PATH_LABELS_MAX,
    PATHS_MAX,
    CallContent,
    Content,
    Envelope,
    ReadStateContent,
    authenticate,
    decode_envelope,
    sign_request,
)
from icfleet_protocol.errors import AuthenticationError, DecodeError
from icfleet_protocol.identity import AnonymousIdentity, Ed25519Identity, Identity
from icfleet_protocol.principal import ANONYMOUS, Principal

ADA = Ed25519Identity.from_seed(b"a" * 32)
BOB = Ed25519Identity.from_seed(b"b" * 32)
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
    authenticate(envelope)


def test_an_anonymous_request_has_neither_key_nor_signature() -> None:
    fields = fields_by(NOBODY)

    assert set(fields) == {"content"}
    authenticate(decode_envelope(encode_tagged(fields)))


def test_null_key_and_signature_mean_absent() -> None:
    """Source: measured; ic-py sends them so for anonymous requests, and without the tag."""
    fields = fields_by(NOBODY) | {"sender_pubkey": None, "sender_sig": None}

    envelope = decode_envelope(cbor2.dumps(fields))

    authenticate(envelope)
    assert envelope.content.sender == ANONYMOUS


def test_an_unknown_field_counts_in_the_id() -> None:
    """A signature over more than we read must still fit, and one over less must not."""
    fields = fields_by(ADA)
    fields["content"]["sender_info"] = {"info": b"x"}

    envelope = decode_envelope(encode_tagged(fields))

    with pytest.raises(AuthenticationError, match="Invalid signature"):
        authenticate(envelope)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        pytest.param({"sender_sig": None}, "Missing signature", id="no-signature"),
        pytest.param({"sender_pubkey": None}, "Missing signature", id="no-key"),
        pytest.param({"sender_sig": bytes(64)}, "Invalid signature", id="wrong-signature"),
        pytest.param({"sender_sig": b"short"}, "Invalid signature", id="short-signature"),
        pytest.param({"sender_pubkey": BOB.public_key_der}, "does not match", id="other-key"),
        pytest.param({"sender_pubkey": b""}, "does not match", id="empty-key"),
    ],
)
def test_a_sender_without_proof_is_refused(changes: dict[str, object], reason: str) -> None:
    envelope = decode_envelope(encode_tagged(fields_by(ADA) | changes))

    with pytest.raises(AuthenticationError, match=reason):
        authenticate(envelope)


def test_nobody_can_sign_for_the_anonymous_user() -> None:
    fields = fields_by(NOBODY) | {"sender_pubkey": ADA.public_key_der, "sender_sig": bytes(64)}

    with pytest.raises(AuthenticationError, match="not allowed for the anonymous"):
        authenticate(decode_envelope(encode_tagged(fields)))


def test_a_key_that_is_not_ed25519_is_refused() -> None:
    """Its principal may be right; we cannot check the signature, so it is not accepted."""
    key = bytes(88)
    content = call_by(ADA, sender=Principal.self_authenticating(key))
    envelope = Envelope(content, sign_request(content, ADA).request_id, key, bytes(64))

    with pytest.raises(AuthenticationError, match="not Ed25519"):
        authenticate(envelope)


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
        authenticate(envelope)
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
        pytest.param({"nonce": bytes(NONCE_SIZE_MAX + 1)}, "nonce", id="nonce-too-long"),
        pytest.param({"arg": "DIDL"}, "arg", id="argument-as-text"),
        pytest.param({"method_name": b"go"}, "method_name", id="method-as-bytes"),
        pytest.param({"method_name": "x" * 20_001}, "method_name", id="method-too-long"),
        pytest.param({"canister_id": None}, "canister_id", id="canister-missing"),
        pytest.param({"more": -1}, "cannot be hashed", id="unhashable-field"),
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
        pytest.param(None, "not an array", id="missing"),
        pytest.param(b"time", "not an array", id="bytes"),
        pytest.param([b"time"], "a path is not an array", id="path-as-bytes"),
        pytest.param([["time"]], "not a byte string", id="label-as-text"),
        pytest.param([[b"x"]] * (PATHS_MAX + 1), "more than 1000 paths", id="too-many-paths"),
        pytest.param([[b"x"] * (PATH_LABELS_MAX + 1)], "more than 127 labels", id="too-long"),
    ],
)
def test_malformed_paths_are_refused(paths: object, reason: str) -> None:
    fields = {"request_type": "read_state", "sender": b"\x04", "ingress_expiry": 1, "paths": paths}

    with pytest.raises(DecodeError, match=reason):
        decode_envelope(encode_tagged({"content": fields}))


@pytest.mark.parametrize("outer", [{}, {"content": None}, {"content": [1]}])
def test_an_envelope_without_content_is_refused(outer: dict[str, object]) -> None:
    with pytest.raises(DecodeError, match="no content map"):
        decode_envelope(encode_tagged(outer))


def test_a_body_over_the_limit_is_refused() -> None:
    with pytest.raises(DecodeError, match="at most"):
        decode_envelope(bytes(ENVELOPE_SIZE_MAX + 1))
