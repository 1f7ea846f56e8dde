"""Private keys in PEM files, of whichever kind dfx, icp-cli and OpenSSL write.

Source: RFC 7468 for the text, RFC 5208 (``PRIVATE KEY``) and RFC 5915 (``EC PRIVATE KEY``) inside.
"""

import re

from cryptography.exceptions import InternalError, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from icfleet_protocol.ecdsa_identity import P256Identity, Secp256k1Identity
from icfleet_protocol.errors import IdentityError
from icfleet_protocol.identity import Ed25519Identity

__all__ = ["PEM_SIZE_MAX", "identity_from_pem"]

PEM_SIZE_MAX = 16 * 1024
"""Characters; a key has some hundred."""

_EC_PARAMETERS = re.compile(
    r"-----BEGIN EC PARAMETERS-----[A-Za-z0-9+/=\s]*-----END EC PARAMETERS-----\s*"
)


def identity_from_pem(pem: str) -> Ed25519Identity | Secp256k1Identity | P256Identity:
    """Read an unencrypted private key and sign with it.

    Raises:
        IdentityError: If the text is no such key; it never quotes the text.
    """
    key = _load(pem)
    if isinstance(key, Ed25519PrivateKey):
        return Ed25519Identity.from_seed(key.private_bytes_raw())
    if isinstance(key, ec.EllipticCurvePrivateKey):
        match key.curve:
            case ec.SECP256K1():
                return Secp256k1Identity.from_private_key(key)
            case ec.SECP256R1():
                return P256Identity.from_private_key(key)
            case _:
                pass
    reason = "the PEM holds a key of another kind than Ed25519, secp256k1 or P-256"
    raise IdentityError(reason)


def _load(pem: str) -> object:
    if len(pem) > PEM_SIZE_MAX:
        reason = f"a PEM of {len(pem)} characters, at most {PEM_SIZE_MAX} allowed"
        raise IdentityError(reason)
    # OpenSSL and old dfx put the curve's name in a block of its own in front; the key repeats it.
    text = _EC_PARAMETERS.sub("", pem, count=1)
    try:
        return load_pem_private_key(text.encode("ascii"), password=None)
    except TypeError:
        reason = "the PEM is encrypted: decrypt it first, or export the key in plain"
        raise IdentityError(reason) from None
    except (ValueError, UnsupportedAlgorithm, InternalError):
        # Fuzzing met the last: a key of 32 bytes under the name of X448, which has 56.
        # The cause is dropped on purpose: a traceback must not carry key material.
        reason = "not a PEM file with one private key"
        raise IdentityError(reason) from None
