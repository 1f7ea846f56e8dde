"""Signatures: what the standards' keys signed is accepted, and schemes that are not ours, named."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from ic.identity import Identity as IcPyIdentity

from icfleet_protocol.ecdsa_identity import P256Identity, Secp256k1Identity
from icfleet_protocol.errors import InvalidSignatureError
from icfleet_protocol.identity import Ed25519Identity
from icfleet_protocol.signatures import (
    ed25519_public_key_der,
    ed25519_verify,
    load_public_key,
    p256_public_key_der,
    secp256k1_public_key_der,
    verify_signature,
)

SIGNERS = [
    pytest.param(Ed25519Identity.from_seed(b"a" * 32), id="ed25519"),
    pytest.param(Secp256k1Identity.from_seed(b"a" * 32), id="secp256k1"),
    pytest.param(P256Identity.from_seed(b"a" * 32), id="p256"),
]
Signer = Ed25519Identity | Secp256k1Identity | P256Identity

# Source: RFC 6979, A.2.5, SHA-256 of "sample". Its s is the higher of the two that fit.
P256_POINT = bytes.fromhex(
    "0460fed4ba255a9d31c961eb74c6356d68c049b8923b61fa6ce669622e60f29fb6"
    "7903fe1008b8bc99a41ae9e95628bc64f2f1b20c2d7e9f5177a3c294d4462299"
)
P256_SIGNATURE = bytes.fromhex(
    "efd48b2aacb6a8fd1140dd9cd45e81d69d2c877b56aaf991c34d0ea84eaf3716"
    "f7cb1c942d657c41d436c7a1b6e29f65f3e900dbb9aff4064dc4ab2f843acda8"
)
P256_ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551

# Source: the test vector of the key 1 that Bitcoin's libraries share, for RFC 6979 on secp256k1.
SECP256K1_POINT = bytes.fromhex(
    "0479be667ef9dcbbac55a06295ce870b07029bfcdb2dce28d959f2815b16f81798"
    "483ada7726a3c4655da4fbfc0e1108a8fd17b448a68554199c47d08ffb10d4b8"
)
SECP256K1_SIGNATURE = bytes.fromhex(
    "934b1ea10a4b3c1757e2b0c017d0b6143ce3c9a7e6a4a49860d7a6ab210ee3d8"
    "2442ce9d2b916064108014783e923ec36b49743e2ffa1c4496f01a512aafd9e5"
)
SECP256K1_ORDER = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141


def other_s(signature: bytes, order: int) -> bytes:
    s = int.from_bytes(signature[32:], "big")
    return signature[:32] + (order - s).to_bytes(32, "big")


def test_the_standards_p256_signature_verifies_with_either_s() -> None:
    key = p256_public_key_der(P256_POINT)

    verify_signature(key, P256_SIGNATURE, b"sample")
    verify_signature(key, other_s(P256_SIGNATURE, P256_ORDER), b"sample")


def test_the_known_secp256k1_signature_verifies_with_either_s() -> None:
    """python-ecdsa, which ic-py signs with, takes either."""
    key = secp256k1_public_key_der(SECP256K1_POINT)

    verify_signature(key, SECP256K1_SIGNATURE, b"Satoshi Nakamoto")
    verify_signature(key, other_s(SECP256K1_SIGNATURE, SECP256K1_ORDER), b"Satoshi Nakamoto")


@pytest.mark.parametrize("kind", ["ed25519", "secp256k1"])
def test_what_ic_py_signs_verifies(kind: str) -> None:
    """Its ECDSA takes a new random number each time, so s is the higher one in half of them."""
    theirs = IcPyIdentity(privkey="07" * 32, type=kind)

    for number in range(16):
        message = b"message %d" % number
        key, signature = theirs.sign(message)
        assert key is not None
        assert signature is not None
        verify_signature(bytes(key), bytes(signature), message)


def test_keys_have_the_sizes_that_the_specification_shows() -> None:
    assert len(ed25519_public_key_der(bytes(32))) == 44
    assert len(secp256k1_public_key_der(SECP256K1_POINT)) == 88
    assert len(p256_public_key_der(P256_POINT)) == 91


@pytest.mark.parametrize("signer", SIGNERS)
@given(message=st.binary(max_size=200))
def test_every_scheme_verifies_what_it_signed(signer: Signer, message: bytes) -> None:
    signature = signer.sign(message)

    assert len(signature) == 64
    verify_signature(signer.public_key_der, signature, message)
    with pytest.raises(InvalidSignatureError, match="verification failed"):
        verify_signature(signer.public_key_der, signature, message + b"x")


@pytest.mark.parametrize(
    ("signer", "scheme"),
    [
        pytest.param(Ed25519Identity.from_seed(b"a" * 32), "Ed25519", id="ed25519"),
        pytest.param(Secp256k1Identity.from_seed(b"a" * 32), "EcdsaSecp256k1", id="secp256k1"),
        pytest.param(P256Identity.from_seed(b"a" * 32), "EcdsaP256", id="p256"),
    ],
)
def test_a_wrong_signature_is_told_in_the_replicas_words(signer: Signer, scheme: str) -> None:
    """Clients match on them, and the key and signature in them help whoever reads a log."""
    with pytest.raises(InvalidSignatureError) as caught:
        verify_signature(signer.public_key_der, bytes(64), b"message")

    text = str(caught.value)
    raw = signer.public_key_der[12 if scheme == "Ed25519" else -65 :].hex()
    assert text.startswith(f"{scheme} signature could not be verified: public key {raw}, ")


@pytest.mark.parametrize("signer", SIGNERS)
@pytest.mark.parametrize("size", [0, 63, 65, 72])
def test_a_signature_of_another_size_is_refused(signer: Signer, size: int) -> None:
    """DER-encoded ECDSA signatures, of about 72 bytes, are not what the IC takes."""
    with pytest.raises(InvalidSignatureError, match=f"64 bytes expected, got {size}"):
        verify_signature(signer.public_key_der, bytes(size), b"message")


CANISTER_KEY = bytes.fromhex(
    "303c300c060a2b0601040183b8430102032c000a000000000000000b01013c658db985648bbc2f58bc796f82cc94"
    "e8695f790fa7f676788b37513116d68a"
)
COSE_HEAD = bytes.fromhex("305e300c060a2b0601040183b8430101034e00")
BLS_HEAD = bytes.fromhex(
    "308182301d060d2b0601040182dc7c0503010201060c2b0601040182dc7c05030201036100"
)
RSA_HEAD = bytes.fromhex("30820122300d06092a864886f70d01010105000382010f00")


@pytest.mark.parametrize(
    ("key", "name"),
    [
        pytest.param(CANISTER_KEY, "canister signatures", id="canister"),
        pytest.param(COSE_HEAD + bytes(77), "WebAuthn signatures", id="webauthn"),
        pytest.param(BLS_HEAD + bytes(96), "BLS signatures", id="bls"),
        pytest.param(RSA_HEAD + bytes(270), "RSA signatures", id="rsa"),
    ],
)
def test_a_scheme_that_is_not_supported_is_named(key: bytes, name: str) -> None:
    with pytest.raises(InvalidSignatureError, match=f"{name}.* not supported by icfleet"):
        verify_signature(key, bytes(64), b"message")


SECP256K1_DER = secp256k1_public_key_der(SECP256K1_POINT)
P256_DER = p256_public_key_der(P256_POINT)


@pytest.mark.parametrize(
    ("key", "reason"),
    [
        pytest.param(b"", "unparsable", id="empty"),
        pytest.param(ed25519_public_key_der(bytes(32))[:-1], "unparsable", id="ed25519-short"),
        pytest.param(ed25519_public_key_der(bytes(32)) + b"\x00", "unparsable", id="ed25519-long"),
        pytest.param(SECP256K1_DER[:-1], "not an uncompressed point", id="secp256k1-short"),
        pytest.param(SECP256K1_DER + b"\x00", "not an uncompressed point", id="secp256k1-long"),
        pytest.param(SECP256K1_DER[:-1] + b"\x00", "not on the curve", id="secp256k1-off-curve"),
        pytest.param(P256_DER[:26] + b"\x00" * 65, "not an uncompressed point", id="p256-zero"),
        pytest.param(P256_DER[:26] + b"\x04" + b"\xff" * 64, "not on the curve", id="p256-big"),
        pytest.param(
            P256_DER[:26] + b"\x02" + P256_POINT[1:33], "not an uncompressed", id="p256-compressed"
        ),
        pytest.param(
            SECP256K1_DER[:23] + P256_POINT, "not on the curve", id="point-of-the-other-curve"
        ),
    ],
)
def test_a_malformed_key_is_refused(key: bytes, reason: str) -> None:
    """One key in two encodings would be two principals, so there is one encoding."""
    with pytest.raises(InvalidSignatureError, match=reason):
        verify_signature(key, bytes(64), b"message")


def test_where_only_ed25519_will_do_no_other_key_does() -> None:
    """Nodes sign queries with Ed25519."""
    signer = P256Identity.from_seed(b"a" * 32)

    with pytest.raises(InvalidSignatureError, match="not Ed25519"):
        ed25519_verify(signer.public_key_der, signer.sign(b"message"), b"message")


def test_a_key_is_parsed_once_and_a_bad_one_every_time() -> None:
    """So that nobody fills the memory with keys that are none."""
    load_public_key.cache_clear()
    load_public_key(SECP256K1_DER)
    load_public_key(SECP256K1_DER)
    for number in range(5):
        with pytest.raises(InvalidSignatureError):
            load_public_key(b"%d" % number)

    usage = load_public_key.cache_info()
    assert (usage.hits, usage.currsize) == (1, 1)


@given(st.binary(max_size=100), st.binary(max_size=70), st.binary(max_size=20))
def test_bad_bytes_raise_only_invalid_signature(
    key: bytes, signature: bytes, message: bytes
) -> None:
    for der in (key, SECP256K1_DER[:23] + key, P256_DER[:27] + key[:64].ljust(64, b"\x01")):
        for sized in (signature, signature[:64].ljust(64, b"\x00")):
            with pytest.raises(InvalidSignatureError):
                verify_signature(der, sized, message)
