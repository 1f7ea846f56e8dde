"""BLS signatures: agreement with the standard's ciphersuite, and refusal of degenerate points."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from icfleet_protocol.bls import BLS_PUBLIC_KEY_DER_SIZE, BlsSecretKey, bls_verify
from icfleet_protocol.errors import InvalidSignatureError

KEY = BlsSecretKey(b"one")
OTHER_KEY = BlsSecretKey(b"two")
DER_PREFIX = KEY.public_key_der[:37]

# Source: the vector that the JavaScript agent tests its BLS with: a key, a message and its
# signature.
VECTOR_KEY = DER_PREFIX + bytes.fromhex(
    "a7623a93cdb56c4d23d99c14216afaab3dfd6d4f9eb3db23d038280b6d5cb2caaee2a19dd92c9df7001dede23bf036"
    "bc0f33982dfb41e8fa9b8e96b5dc3e83d55ca4dd146c7eb2e8b6859cb5a5db815db86810b8d12cee1588b5dbf34a4d"
    "c9a5"
)
VECTOR_SIGNATURE = bytes.fromhex(
    "b89e13a212c830586eaa9ad53946cd968718ebecc27eda849d9232673dcd4f440e8b5df39bf14a88048c15e16cbcaabe"
)
VECTOR_MESSAGE = b"hello"


def test_a_known_signature_is_accepted() -> None:
    bls_verify(VECTOR_KEY, VECTOR_SIGNATURE, VECTOR_MESSAGE)


def test_a_known_signature_does_not_fit_another_message() -> None:
    with pytest.raises(InvalidSignatureError):
        bls_verify(VECTOR_KEY, VECTOR_SIGNATURE, b"hallo")


@settings(max_examples=20)
@given(st.binary(min_size=1, max_size=40), st.binary(max_size=80))
def test_what_a_key_signs_it_verifies(seed: bytes, message: bytes) -> None:
    key = BlsSecretKey(seed)

    bls_verify(key.public_key_der, key.sign(message), message)


def test_sizes_are_those_of_the_scheme() -> None:
    """48 bytes of signature, and 133 of key, as the network's root key has."""
    assert len(KEY.sign(b"message")) == 48
    assert len(KEY.public_key_der) == BLS_PUBLIC_KEY_DER_SIZE == 133


def test_another_keys_signature_is_refused() -> None:
    with pytest.raises(InvalidSignatureError, match="does not fit"):
        bls_verify(OTHER_KEY.public_key_der, KEY.sign(b"message"), b"message")


def test_infinite_points_are_refused() -> None:
    """An infinite key with an infinite signature would otherwise sign anything."""
    key, signature = DER_PREFIX + b"\xc0" + bytes(95), b"\xc0" + bytes(47)

    for der, signed in ((key, signature), (key, KEY.sign(b"")), (KEY.public_key_der, signature)):
        with pytest.raises(InvalidSignatureError, match="malformed"):
            bls_verify(der, signed, b"")


@pytest.mark.parametrize(
    "der",
    [
        pytest.param(b"", id="empty"),
        pytest.param(KEY.public_key_der[37:], id="without-der"),
        pytest.param(KEY.public_key_der[:-1], id="cut-short"),
        pytest.param(KEY.public_key_der + b"\x00", id="with-more"),
        pytest.param(b"\x31" + KEY.public_key_der[1:], id="other-der"),
        pytest.param(DER_PREFIX + b"\x80" + bytes(95), id="not-in-the-group"),
        pytest.param(DER_PREFIX + b"\xff" * 96, id="all-ones"),
        pytest.param(DER_PREFIX + bytes(96), id="not-compressed"),
    ],
)
def test_a_malformed_key_is_refused(der: bytes) -> None:
    with pytest.raises(InvalidSignatureError, match="public key"):
        bls_verify(der, KEY.sign(b"message"), b"message")


@pytest.mark.parametrize("index", range(48))
def test_no_changed_byte_of_a_signature_passes(index: int) -> None:
    signature = bytearray(KEY.sign(b"message"))
    signature[index] ^= 1

    with pytest.raises(InvalidSignatureError):
        bls_verify(KEY.public_key_der, bytes(signature), b"message")


@given(st.binary(max_size=140), st.binary(max_size=50))
def test_bad_bytes_raise_only_invalid_signature(key: bytes, signature: bytes) -> None:
    for der in (key, DER_PREFIX + key[:96].ljust(96, b"\x55"), KEY.public_key_der):
        for signed in (signature, b"\x80" + signature[:47].ljust(47, b"\x11")):
            with pytest.raises(InvalidSignatureError):
                bls_verify(der, signed, b"message")
