"""Identities: keys sign and travel as PEM, and never show themselves."""

import base64

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st

from icfleet_protocol.errors import IdentityError, InvalidSignatureError
from icfleet_protocol.identity import (
    AnonymousIdentity,
    Ed25519Identity,
)
from icfleet_protocol.principal import ANONYMOUS, Principal
from icfleet_protocol.signatures import ed25519_public_key_der, ed25519_verify

# Source: RFC 8032, section 7.1, TEST 2.
RFC_SEED = bytes.fromhex("4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb")
RFC_PUBLIC = bytes.fromhex("3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c")
RFC_SIGNATURE = bytes.fromhex(
    "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da"
    "085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00"
)


def test_the_standards_key_signs_as_it_says() -> None:
    identity = Ed25519Identity.from_seed(RFC_SEED)

    assert identity.public_key_der == ed25519_public_key_der(RFC_PUBLIC)
    assert identity.sign(b"\x72") == RFC_SIGNATURE
    ed25519_verify(identity.public_key_der, RFC_SIGNATURE, b"\x72")


def test_the_sender_is_derived_from_the_key() -> None:
    identity = Ed25519Identity.from_seed(RFC_SEED)

    assert identity.sender == Principal.self_authenticating(identity.public_key_der)


@given(st.binary(min_size=32, max_size=32), st.binary(max_size=40))
def test_a_key_comes_back_from_its_pem(seed: bytes, message: bytes) -> None:
    identity = Ed25519Identity.from_seed(seed)

    copy = Ed25519Identity.from_pem(identity.to_pem())

    assert copy.sender == identity.sender
    assert copy.sign(message) == identity.sign(message)


def test_pem_agrees_with_openssl() -> None:
    """Either side reads what the other wrote; the witness is the cryptography package."""
    theirs = Ed25519PrivateKey.generate()
    written = theirs.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    ).decode()

    ours = Ed25519Identity.from_pem(written)

    assert ours.to_pem() == written
    theirs.public_key().verify(ours.sign(b"message"), b"message")


def test_generated_keys_differ() -> None:
    assert Ed25519Identity.generate().sender != Ed25519Identity.generate().sender


def test_a_key_never_prints() -> None:
    identity = Ed25519Identity.from_seed(RFC_SEED)

    for shown in (repr(identity), str(identity), f"{identity}"):
        assert str(identity.sender) in shown
        assert RFC_SEED.hex() not in shown
        assert repr(RFC_SEED)[2:-1] not in shown


SECRET = base64.b64encode(bytes.fromhex("302e020100300506032b657004220420") + RFC_SEED).decode()


@pytest.mark.parametrize(
    "pem",
    [
        pytest.param("", id="empty"),
        pytest.param(SECRET, id="no-frame"),
        pytest.param(f"-----BEGIN PRIVATE KEY-----\n{SECRET}\n", id="no-end"),
        pytest.param(
            f"-----BEGIN EC PRIVATE KEY-----\n{SECRET}\n-----END EC PRIVATE KEY-----", id="other"
        ),
        pytest.param(
            f"-----BEGIN PRIVATE KEY-----\n{SECRET}!\n-----END PRIVATE KEY-----", id="not-base64"
        ),
        pytest.param(
            f"-----BEGIN PRIVATE KEY-----\n{SECRET[:-4]}\n-----END PRIVATE KEY-----", id="too-short"
        ),
        pytest.param(
            f"-----BEGIN PRIVATE KEY-----\n{SECRET}AAAA\n-----END PRIVATE KEY-----", id="too-long"
        ),
    ],
)
def test_a_pem_we_cannot_use_is_refused_without_being_quoted(pem: str) -> None:
    with pytest.raises(IdentityError) as caught:
        Ed25519Identity.from_pem(pem)

    assert SECRET[20:40] not in str(caught.value)
    assert caught.value.__cause__ is None


@given(st.text(max_size=200))
def test_bad_text_raises_only_identity_error(text: str) -> None:
    for pem in (text, f"-----BEGIN PRIVATE KEY-----\n{text}\n-----END PRIVATE KEY-----"):
        with pytest.raises(IdentityError):
            Ed25519Identity.from_pem(pem)


@pytest.mark.parametrize("size", [0, 31, 33, 64])
def test_a_seed_of_another_size_is_refused(size: int) -> None:
    with pytest.raises(IdentityError, match=f"not {size}"):
        Ed25519Identity.from_seed(bytes(size))


def test_the_anonymous_identity_signs_nothing() -> None:
    identity = AnonymousIdentity()

    assert identity.sender == ANONYMOUS
    assert identity.public_key_der is None
    assert identity.sign(b"message") is None


@given(st.binary(max_size=100), st.binary(max_size=70), st.binary(max_size=20))
def test_bad_bytes_raise_only_invalid_signature(
    key: bytes, signature: bytes, message: bytes
) -> None:
    good = ed25519_public_key_der(RFC_PUBLIC)
    for der in (key, good[:12] + key[:32].ljust(32, b"\x01"), good):
        for sized in (signature, signature[:64].ljust(64, b"\x00")):
            with pytest.raises(InvalidSignatureError):
                ed25519_verify(der, sized, message)
