"""Identities with ECDSA keys: secp256k1 as dfx and icp-cli make them, P-256 as browsers do.

Source: IC interface specification, "Signatures"; SEC 1 for keys, RFC 5915 for their PEM.
"""

from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Self

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, utils

from icfleet_protocol.errors import IdentityError
from icfleet_protocol.principal import Principal
from icfleet_protocol.signatures import p256_public_key_der, secp256k1_public_key_der

__all__ = ["P256Identity", "Secp256k1Identity"]

_SECRET_SIZE = 32

_SECP256K1_ORDER = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141
_P256_ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
"""Both from SEC 2: how many points the generator makes."""


@dataclass(frozen=True, slots=True)
class _EcdsaIdentity(ABC):
    """Signs with a key on the curve that the subclass names; the key never shows in ``repr``."""

    sender: Principal
    public_key_der: bytes = field(repr=False)
    _key: ec.EllipticCurvePrivateKey = field(repr=False)

    @classmethod
    def from_seed(cls, seed: bytes) -> Self:
        """Take 32 bytes for the secret number itself, big-endian.

        Raises:
            IdentityError: If there are not 32, or the number is zero or beyond the curve's order
                (for random bytes at most once in 2^32).
        """
        if len(seed) != _SECRET_SIZE:
            reason = f"an ECDSA seed has {_SECRET_SIZE} bytes, not {len(seed)}"
            raise IdentityError(reason)
        secret = int.from_bytes(seed, "big")
        if not 0 < secret < cls._order():
            reason = "the seed is no secret key of this curve: draw other bytes"
            raise IdentityError(reason)
        return cls._from_key(ec.derive_private_key(secret, cls._curve()))

    @classmethod
    def from_private_key(cls, key: ec.EllipticCurvePrivateKey) -> Self:
        """Take over a key of the cryptography package.

        Raises:
            IdentityError: If it is on another curve.
        """
        if key.curve.name != cls._curve().name:
            reason = f"the key is on the curve {key.curve.name}, not on {cls._curve().name}"
            raise IdentityError(reason)
        return cls._from_key(key)

    @classmethod
    def _from_key(cls, key: ec.EllipticCurvePrivateKey) -> Self:
        point = key.public_key().public_bytes(
            serialization.Encoding.X962, serialization.PublicFormat.UncompressedPoint
        )
        der = cls._wrap(point)
        return cls(Principal.self_authenticating(der), der, key)

    def to_pem(self) -> str:
        """Write the private key as SEC 1 PEM, which dfx and OpenSSL read. Keep the text secret."""
        return self._key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.TraditionalOpenSSL,
            serialization.NoEncryption(),
        ).decode("ascii")

    def sign(self, message: bytes) -> bytes:
        """Sign to 64 bytes: r and s, of which s is the lower of the two that would do."""
        r, s = utils.decode_dss_signature(self._key.sign(message, _signing_algorithm()))
        low_s = min(s, self._order() - s)
        return r.to_bytes(_SECRET_SIZE, "big") + low_s.to_bytes(_SECRET_SIZE, "big")

    @staticmethod
    @abstractmethod
    def _curve() -> ec.EllipticCurve: ...

    @staticmethod
    @abstractmethod
    def _order() -> int: ...

    @staticmethod
    @abstractmethod
    def _wrap(point: bytes) -> bytes: ...


class Secp256k1Identity(_EcdsaIdentity):
    """Signs with a secp256k1 key, the kind that ``dfx identity new`` makes."""

    __slots__ = ()

    @staticmethod
    def _curve() -> ec.EllipticCurve:
        return ec.SECP256K1()

    @staticmethod
    def _order() -> int:
        return _SECP256K1_ORDER

    @staticmethod
    def _wrap(point: bytes) -> bytes:
        return secp256k1_public_key_der(point)


class P256Identity(_EcdsaIdentity):
    """Signs with a P-256 key, the kind that a browser's WebCrypto makes."""

    __slots__ = ()

    @staticmethod
    def _curve() -> ec.EllipticCurve:
        return ec.SECP256R1()

    @staticmethod
    def _order() -> int:
        return _P256_ORDER

    @staticmethod
    def _wrap(point: bytes) -> bytes:
        return p256_public_key_der(point)


@lru_cache(maxsize=1)
def _signing_algorithm() -> ec.ECDSA:
    """ECDSA without randomness (RFC 6979), so that equal requests are equal bytes."""
    try:
        return ec.ECDSA(hashes.SHA256(), deterministic_signing=True)
    except UnsupportedAlgorithm:
        # OpenSSL before 3.2. Its random nonces are as safe, only not repeatable.
        return ec.ECDSA(hashes.SHA256())
