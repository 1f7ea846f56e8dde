"""PEM files: whatever dfx, icp-cli and OpenSSL write is read, and nothing of it is quoted."""

from collections.abc import Callable

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st

from icfleet_protocol.ecdsa_identity import P256Identity, Secp256k1Identity
from icfleet_protocol.errors import IdentityError
from icfleet_protocol.identity import Ed25519Identity
from icfleet_protocol.pem import identity_from_pem

AnyIdentity = Ed25519Identity | Secp256k1Identity | P256Identity
SEED = b"k" * 32
IDENTITIES: list[AnyIdentity] = [
    Ed25519Identity.from_seed(SEED),
    Secp256k1Identity.from_seed(SEED),
    P256Identity.from_seed(SEED),
]
PrivateKey = Ed25519PrivateKey | ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey


def pkcs8(key: PrivateKey, password: bytes | None = None) -> str:
    return key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.BestAvailableEncryption(password)
        if password
        else serialization.NoEncryption(),
    ).decode()


@pytest.mark.parametrize("identity", IDENTITIES)
def test_a_key_comes_back_from_its_pem(identity: AnyIdentity) -> None:
    copy = identity_from_pem(identity.to_pem())

    assert type(copy) is type(identity)
    assert copy.sender == identity.sender
    assert copy.sign(b"message") == identity.sign(b"message")


@pytest.mark.parametrize(
    ("key", "kind"),
    [
        pytest.param(Ed25519PrivateKey.generate, Ed25519Identity, id="ed25519"),
        pytest.param(
            lambda: ec.generate_private_key(ec.SECP256K1()), Secp256k1Identity, id="secp256k1"
        ),
        pytest.param(lambda: ec.generate_private_key(ec.SECP256R1()), P256Identity, id="p256"),
    ],
)
def test_pkcs8_is_read_for_every_kind(key: Callable[[], PrivateKey], kind: type) -> None:
    """icp-cli writes this form."""
    assert isinstance(identity_from_pem(pkcs8(key())), kind)


def test_a_block_of_parameters_in_front_is_passed_over() -> None:
    """OpenSSL's ``ecparam -genkey`` and dfx write one; this names secp256k1."""
    identity = Secp256k1Identity.from_seed(SEED)
    parameters = "-----BEGIN EC PARAMETERS-----\nBgUrgQQACg==\n-----END EC PARAMETERS-----\n"

    assert identity_from_pem(parameters + identity.to_pem()).sender == identity.sender


@pytest.mark.parametrize(
    ("pem", "reason"),
    [
        pytest.param("", "not a PEM", id="empty"),
        pytest.param("é", "not a PEM", id="not-ascii"),
        pytest.param(pkcs8(rsa.generate_private_key(65537, 2048)), "another kind", id="rsa"),
        pytest.param(
            pkcs8(ec.generate_private_key(ec.SECP384R1())), "another kind", id="other-curve"
        ),
        pytest.param(
            pkcs8(Ed25519PrivateKey.generate(), b"password"), "is encrypted", id="encrypted"
        ),
        pytest.param(
            IDENTITIES[1].to_pem().replace("\n", "\n!", 1), "not a PEM", id="broken-base64"
        ),
        pytest.param("x" * 20_000, "at most 16384", id="too-long"),
    ],
)
def test_a_pem_we_cannot_use_is_refused_without_being_quoted(pem: str, reason: str) -> None:
    with pytest.raises(IdentityError, match=reason) as caught:
        identity_from_pem(pem)

    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__ or caught.value.__context__ is None
    assert not pem or pem[30:60] not in str(caught.value) or not pem[30:60]


@given(st.text(max_size=200))
def test_bad_text_raises_only_identity_error(text: str) -> None:
    for pem in (text, f"-----BEGIN EC PRIVATE KEY-----\n{text}\n-----END EC PRIVATE KEY-----"):
        with pytest.raises(IdentityError):
            identity_from_pem(pem)
