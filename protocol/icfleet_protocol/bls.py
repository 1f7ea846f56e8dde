"""BLS signatures on BLS12-381 as subnets make them: keys in G2, signatures in G1.

Source: IC interface specification, "Certificate"; draft-irtf-cfrg-bls-signature-05, ciphersuite
``BLS_SIG_BLS12381G1_XMD:SHA-256_SSWU_RO_NUL_``.
"""

from functools import lru_cache

import pyblst

from icfleet_protocol.errors import InvalidSignatureError

__all__ = ["BLS_PUBLIC_KEY_DER_SIZE", "BlsSecretKey", "bls_verify"]

_DST = b"BLS_SIG_BLS12381G1_XMD:SHA-256_SSWU_RO_NUL_"
_DER_PREFIX = bytes.fromhex(
    "308182301d060d2b0601040182dc7c0503010201060c2b0601040182dc7c05030201036100"
)
_PUBLIC_KEY_SIZE = 96
_SIGNATURE_SIZE = 48
_INFINITY_FLAG = 0x40
_GROUP_ORDER = 0x73EDA753299D7D483339D80809A1D80553BDA402FFFE5BFEFFFFFFFF00000001
_G2_GENERATOR = bytes.fromhex(
    "93e02b6052719f607dacd3a088274f65596bd0d09920b61ab5da61bbdc7f5049334cf11213945d57e5ac7d055d042b7e"
    "024aa2b2f08f0a91260805272dc51051c6e47ad4fa403b02b4510b647ae3d1770bac0326a805bbefd48056c8c121bdb8"
)

BLS_PUBLIC_KEY_DER_SIZE = len(_DER_PREFIX) + _PUBLIC_KEY_SIZE
_KEYS_CACHED_MAX = 256
"""A client meets a handful of subnets; decompressing a key costs a third of a verification."""


class BlsSecretKey:
    """A subnet's signing key, whole on one machine: for local networks only."""

    __slots__ = ("_scalar", "public_key_der")

    def __init__(self, seed: bytes) -> None:
        self._scalar = int.from_bytes(seed, "big") % (_GROUP_ORDER - 1) + 1
        point = pyblst.BlstP2Element.uncompress(_G2_GENERATOR).scalar_mul(self._scalar)
        self.public_key_der: bytes = _DER_PREFIX + bytes(point.compress())

    def sign(self, message: bytes) -> bytes:
        """Sign to 48 bytes."""
        point = pyblst.BlstP1Element.hash_to_group(message, _DST).scalar_mul(self._scalar)
        return bytes(point.compress())


def bls_verify(public_key_der: bytes, signature: bytes, message: bytes) -> None:
    """Check a subnet's signature.

    Raises:
        InvalidSignatureError: If key or signature is malformed, infinite, outside its group, or
            the signature does not fit.
    """
    if len(signature) != _SIGNATURE_SIZE or signature[0] & _INFINITY_FLAG:
        reason = "malformed BLS signature"
        raise InvalidSignatureError(reason)
    key = _load_public_key(public_key_der)
    try:
        point = pyblst.BlstP1Element.uncompress(signature)
    except ValueError as error:
        reason = "malformed BLS signature"
        raise InvalidSignatureError(reason) from error
    expected = pyblst.miller_loop(pyblst.BlstP1Element.hash_to_group(message, _DST), key)
    if not pyblst.final_verify(pyblst.miller_loop(point, _generator()), expected):
        reason = "the BLS signature does not fit the key and message"
        raise InvalidSignatureError(reason)


@lru_cache(maxsize=1)
def _generator() -> pyblst.BlstP2Element:
    return pyblst.BlstP2Element.uncompress(_G2_GENERATOR)


@lru_cache(maxsize=_KEYS_CACHED_MAX)
def _load_public_key(der: bytes) -> pyblst.BlstP2Element:
    raw = der.removeprefix(_DER_PREFIX)
    # pyblst accepts the point at infinity, under which the infinite signature fits any message.
    if len(raw) == len(der) or len(raw) != _PUBLIC_KEY_SIZE or raw[0] & _INFINITY_FLAG:
        reason = "malformed BLS public key"
        raise InvalidSignatureError(reason)
    try:
        return pyblst.BlstP2Element.uncompress(raw)
    except ValueError as error:
        reason = "malformed BLS public key"
        raise InvalidSignatureError(reason) from error
