"""Check what users sign: Ed25519, and ECDSA on secp256k1 and P-256.

Keys come as DER SubjectPublicKeyInfo and signatures raw, 64 bytes. The error texts are those of
the replica, because clients match on them.

Source: IC interface specification, "Signatures"; RFC 8410 and RFC 5480 for the encodings of keys;
dfinity/ic ``rs/types/types/src/crypto/error.rs`` for the texts.
"""

from dataclasses import dataclass
from functools import lru_cache
from typing import Protocol

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, utils
from nacl.exceptions import BadSignatureError
from nacl.signing import VerifyKey

from icfleet_protocol.errors import InvalidSignatureError

__all__ = [
    "SIGNATURE_SIZE",
    "PublicKey",
    "ed25519_public_key_der",
    "ed25519_verify",
    "load_public_key",
    "p256_public_key_der",
    "secp256k1_public_key_der",
    "verify_signature",
]

SIGNATURE_SIZE = 64
"""Bytes: Ed25519 as it is, ECDSA as r and s of 32 bytes each, big-endian."""

_ED25519_PREFIX = bytes.fromhex("302a300506032b6570032100")
_SECP256K1_PREFIX = bytes.fromhex("3056301006072a8648ce3d020106052b8104000a034200")
_P256_PREFIX = bytes.fromhex("3059301306072a8648ce3d020106082a8648ce3d030107034200")

_ED25519 = "Ed25519"
_ED25519_SIZE = 32
_POINT_SIZE = 65
_UNCOMPRESSED_POINT = 4

_HEAD_SIZE = 32
"""Bytes at the start of a key in which its algorithm stands."""

_UNSUPPORTED = {
    bytes.fromhex("060a2b0601040183b8430102"): "canister signatures",
    bytes.fromhex("060a2b0601040183b8430101"): "WebAuthn signatures with COSE keys",
    bytes.fromhex("060d2b0601040182dc7c0503010201"): "BLS signatures of users",
    bytes.fromhex("06092a864886f70d010101"): "RSA signatures",
}
"""Schemes that have a name in DER: object identifier to what people call it."""

_KEYS_CACHED_MAX = 4096
"""Parsed keys of the senders seen last; about 1 KB each."""

_ECDSA_SHA256 = ec.ECDSA(hashes.SHA256())


class PublicKey(Protocol):
    """A user's key that was parsed."""

    def verify(self, signature: bytes, message: bytes) -> None:
        """Return if the key signed ``message``, else raise ``InvalidSignatureError``."""
        ...


@dataclass(frozen=True, slots=True)
class _Ed25519Key:
    raw: bytes
    key: VerifyKey

    def verify(self, signature: bytes, message: bytes) -> None:
        _check_size(_ED25519, signature)
        try:
            self.key.verify(message, signature)
        except BadSignatureError as error:
            raise _mismatch(_ED25519, self.raw, signature) from error


@dataclass(frozen=True, slots=True)
class _EcdsaKey:
    scheme: str
    raw: bytes
    key: ec.EllipticCurvePublicKey

    def verify(self, signature: bytes, message: bytes) -> None:
        _check_size(self.scheme, signature)
        half = SIGNATURE_SIZE // 2
        # Either of s and n - s is taken: python-ecdsa, which ic-py signs with, does not choose.
        der = utils.encode_dss_signature(
            int.from_bytes(signature[:half], "big"), int.from_bytes(signature[half:], "big")
        )
        try:
            self.key.verify(der, message, _ECDSA_SHA256)
        except InvalidSignature as error:
            raise _mismatch(self.scheme, self.raw, signature) from error


def verify_signature(public_key_der: bytes, signature: bytes, message: bytes) -> None:
    """Check a user's signature by whatever scheme the key names.

    Raises:
        InvalidSignatureError: If the key is malformed or of a scheme that is not supported here,
            or if it did not sign ``message``; the reason says which.
    """
    load_public_key(public_key_der).verify(signature, message)


@lru_cache(maxsize=_KEYS_CACHED_MAX)
def load_public_key(der: bytes) -> PublicKey:
    """Parse a user's public key; the last ones stay parsed.

    Only the encodings that the specification shows are taken: a second encoding of one key would
    be a second principal.

    Raises:
        InvalidSignatureError: If the key is malformed or of a scheme that is not supported here.
    """
    if der.startswith(_ED25519_PREFIX) and len(der) == len(_ED25519_PREFIX) + _ED25519_SIZE:
        raw = der[len(_ED25519_PREFIX) :]
        return _Ed25519Key(raw, VerifyKey(raw))
    if der.startswith(_SECP256K1_PREFIX):
        return _load_point("EcdsaSecp256k1", ec.SECP256K1(), der[len(_SECP256K1_PREFIX) :])
    if der.startswith(_P256_PREFIX):
        return _load_point("EcdsaP256", ec.SECP256R1(), der[len(_P256_PREFIX) :])
    for identifier, name in _UNSUPPORTED.items():
        if identifier in der[:_HEAD_SIZE]:
            reason = f"{name} are not supported by icfleet"
            raise InvalidSignatureError(reason)
    reason = (
        "Unsupported or unparsable public key: expected Ed25519, secp256k1 or P-256 as DER "
        f"SubjectPublicKeyInfo, got {len(der)} bytes"
    )
    raise InvalidSignatureError(reason)


def ed25519_public_key_der(raw: bytes) -> bytes:
    """Wrap a 32-byte public key as SubjectPublicKeyInfo, 44 bytes."""
    assert len(raw) == _ED25519_SIZE, len(raw)
    return _ED25519_PREFIX + raw


def secp256k1_public_key_der(point: bytes) -> bytes:
    """Wrap a 65-byte uncompressed point as SubjectPublicKeyInfo, 88 bytes."""
    assert len(point) == _POINT_SIZE, len(point)
    return _SECP256K1_PREFIX + point


def p256_public_key_der(point: bytes) -> bytes:
    """Wrap a 65-byte uncompressed point as SubjectPublicKeyInfo, 91 bytes."""
    assert len(point) == _POINT_SIZE, len(point)
    return _P256_PREFIX + point


def ed25519_verify(public_key_der: bytes, signature: bytes, message: bytes) -> None:
    """Check a signature for which no other scheme than Ed25519 will do, as a node's.

    Raises:
        InvalidSignatureError: If the key is not Ed25519 in DER, or did not sign ``message``.
    """
    if not public_key_der.startswith(_ED25519_PREFIX):
        reason = "the public key is not Ed25519 in DER"
        raise InvalidSignatureError(reason)
    verify_signature(public_key_der, signature, message)


def _load_point(scheme: str, curve: ec.EllipticCurve, point: bytes) -> _EcdsaKey:
    if len(point) != _POINT_SIZE or point[0] != _UNCOMPRESSED_POINT:
        reason = f"Malformed {scheme} public key: not an uncompressed point of {_POINT_SIZE} bytes"
        raise InvalidSignatureError(reason)
    try:
        key = ec.EllipticCurvePublicKey.from_encoded_point(curve, point)
    except ValueError as error:
        reason = f"Malformed {scheme} public key: the point is not on the curve"
        raise InvalidSignatureError(reason) from error
    return _EcdsaKey(scheme, point, key)


def _check_size(scheme: str, signature: bytes) -> None:
    if len(signature) != SIGNATURE_SIZE:
        reason = (
            f"Malformed {scheme} signature: {SIGNATURE_SIZE} bytes expected, got {len(signature)}"
        )
        raise InvalidSignatureError(reason)


def _mismatch(scheme: str, key: bytes, signature: bytes) -> InvalidSignatureError:
    return InvalidSignatureError(
        f"{scheme} signature could not be verified: public key {key.hex()}, "
        f"signature {signature.hex()}, error: verification failed"
    )
