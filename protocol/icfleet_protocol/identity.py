"""Who signs a request.

Source: IC interface specification, "Authentication"; RFC 8410 for Ed25519 keys in DER and PEM.
"""

import base64
from dataclasses import dataclass, field
from typing import Protocol, Self

from nacl.signing import SigningKey

from icfleet_protocol.errors import IdentityError
from icfleet_protocol.principal import ANONYMOUS, Principal
from icfleet_protocol.signatures import ed25519_public_key_der

__all__ = ["AnonymousIdentity", "Ed25519Identity", "Identity"]

_PRIVATE_DER_PREFIX = bytes.fromhex("302e020100300506032b657004220420")
_PEM_BEGIN = "-----BEGIN PRIVATE KEY-----"
_PEM_END = "-----END PRIVATE KEY-----"
_KEY_SIZE = 32


class Identity(Protocol):
    """Whoever can sign requests."""

    @property
    def sender(self) -> Principal:
        """The principal that requests are made as."""
        ...

    @property
    def public_key_der(self) -> bytes | None:
        """The key that ``sender`` is derived from; ``None`` if requests go unsigned."""
        ...

    def sign(self, message: bytes) -> bytes | None:
        """Sign, or answer ``None`` if requests go unsigned."""
        ...


@dataclass(frozen=True, slots=True)
class AnonymousIdentity:
    """Sends unsigned requests as ``2vxsx-fae``."""

    @property
    def sender(self) -> Principal:
        """The anonymous principal."""
        return ANONYMOUS

    @property
    def public_key_der(self) -> bytes | None:
        """``None``: there is no key."""
        return None

    def sign(self, message: bytes) -> bytes | None:  # noqa: ARG002 - the port's signature
        """``None``: there is no signature."""
        return None


@dataclass(frozen=True, slots=True)
class Ed25519Identity:
    """Signs with an Ed25519 key; the key never shows in ``repr``."""

    sender: Principal
    public_key_der: bytes = field(repr=False)
    _key: SigningKey = field(repr=False)

    @classmethod
    def generate(cls) -> Self:
        """Make a new key from the system's randomness."""
        return cls._from_key(SigningKey.generate())

    @classmethod
    def from_seed(cls, seed: bytes) -> Self:
        """Derive a key from 32 bytes.

        Raises:
            IdentityError: If there are not 32.
        """
        if len(seed) != _KEY_SIZE:
            reason = f"an Ed25519 seed has {_KEY_SIZE} bytes, not {len(seed)}"
            raise IdentityError(reason)
        return cls._from_key(SigningKey(seed))

    @classmethod
    def from_pem(cls, pem: str) -> Self:
        """Read a PKCS#8 private key, as ``to_pem`` and OpenSSL write it.

        Raises:
            IdentityError: If the text is no Ed25519 key in that form; it never quotes the text.
        """
        lines = [line.strip() for line in pem.strip().splitlines()] or [""]
        if lines[0] != _PEM_BEGIN or lines[-1] != _PEM_END:
            reason = "not a PEM file with one PRIVATE KEY"
            raise IdentityError(reason)
        try:
            der = base64.b64decode("".join(lines[1:-1]), validate=True)
        except ValueError:
            # The cause is dropped on purpose: a traceback must not carry key material.
            reason = "the PEM's base64 is broken"
            raise IdentityError(reason) from None
        seed = der.removeprefix(_PRIVATE_DER_PREFIX)
        if len(seed) == len(der) or len(seed) != _KEY_SIZE:
            reason = "the PEM holds no plain Ed25519 key (PKCS#8, version 1)"
            raise IdentityError(reason)
        return cls.from_seed(seed)

    @classmethod
    def _from_key(cls, key: SigningKey) -> Self:
        der = ed25519_public_key_der(bytes(key.verify_key))
        return cls(Principal.self_authenticating(der), der, key)

    def to_pem(self) -> str:
        """Write the private key as PKCS#8 PEM. Keep the text secret."""
        body = base64.b64encode(_PRIVATE_DER_PREFIX + bytes(self._key)).decode("ascii")
        return f"{_PEM_BEGIN}\n{body}\n{_PEM_END}\n"

    def sign(self, message: bytes) -> bytes:
        """Sign to 64 bytes."""
        return self._key.sign(message).signature
