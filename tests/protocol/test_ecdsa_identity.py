"""ECDSA identities: they sign as the standards' keys do, and never show themselves."""

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from hypothesis import given, settings
from hypothesis import strategies as st

from icfleet_protocol.ecdsa_identity import P256Identity, Secp256k1Identity
from icfleet_protocol.errors import IdentityError
from icfleet_protocol.principal import Principal
from icfleet_protocol.signatures import verify_signature

SEED = bytes.fromhex("c9afa9d845ba75166b5c215767b1d6934e50c3db36e89b127b8a622b120f6721")
KINDS = [Secp256k1Identity, P256Identity]
Kind = type[Secp256k1Identity] | type[P256Identity]

P256_ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551


def test_the_standards_p256_key_signs_as_it_says_but_with_the_lower_s() -> None:
    """Source: RFC 6979, A.2.5, SHA-256 of "sample"."""
    r = bytes.fromhex("efd48b2aacb6a8fd1140dd9cd45e81d69d2c877b56aaf991c34d0ea84eaf3716")
    high_s = 0xF7CB1C942D657C41D436C7A1B6E29F65F3E900DBB9AFF4064DC4AB2F843ACDA8

    signature = P256Identity.from_seed(SEED).sign(b"sample")

    assert signature == r + (P256_ORDER - high_s).to_bytes(32, "big")


def test_the_known_secp256k1_key_signs_as_bitcoins_libraries_do() -> None:
    signature = Secp256k1Identity.from_seed((1).to_bytes(32, "big")).sign(b"Satoshi Nakamoto")

    assert signature.hex() == (
        "934b1ea10a4b3c1757e2b0c017d0b6143ce3c9a7e6a4a49860d7a6ab210ee3d8"
        "2442ce9d2b916064108014783e923ec36b49743e2ffa1c4496f01a512aafd9e5"
    )


@pytest.mark.parametrize("kind", KINDS)
@settings(max_examples=25)
@given(seed=st.integers(1, 2**255).map(lambda one: one.to_bytes(32, "big")), message=st.binary())
def test_what_is_signed_verifies_and_repeats(kind: Kind, seed: bytes, message: bytes) -> None:
    """Equal requests are equal bytes, so that a resent one is recognised."""
    identity = kind.from_seed(seed)

    signature = identity.sign(message)

    verify_signature(identity.public_key_der, signature, message)
    assert kind.from_seed(seed).sign(message) == signature
    assert identity.sender == Principal.self_authenticating(identity.public_key_der)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("seed", "reason"),
    [
        pytest.param(b"", "32 bytes, not 0", id="empty"),
        pytest.param(bytes(33), "32 bytes, not 33", id="long"),
        pytest.param(bytes(32), "no secret key", id="zero"),
        pytest.param(b"\xff" * 32, "no secret key", id="beyond-the-order"),
    ],
)
def test_a_seed_that_is_no_key_is_refused(kind: Kind, seed: bytes, reason: str) -> None:
    with pytest.raises(IdentityError, match=reason):
        kind.from_seed(seed)


def test_a_key_of_another_curve_is_refused() -> None:
    with pytest.raises(IdentityError, match="secp384r1, not on secp256k1"):
        Secp256k1Identity.from_private_key(ec.generate_private_key(ec.SECP384R1()))


@pytest.mark.parametrize("kind", KINDS)
def test_a_key_never_prints(kind: Kind) -> None:
    identity = kind.from_seed(SEED)

    for shown in (repr(identity), str(identity), f"{identity}"):
        assert shown.startswith(kind.__name__)
        assert str(identity.sender) in shown
        assert SEED.hex() not in shown
        assert str(int.from_bytes(SEED, "big")) not in shown
