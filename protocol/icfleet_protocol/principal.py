"""Principals: the names of users, canisters, subnets and nodes.

Source: IC interface specification, "Principals".
"""

import base64
import binascii
import hashlib
from dataclasses import dataclass
from typing import Self

from icfleet_protocol.errors import PrincipalError

__all__ = ["ANONYMOUS", "MANAGEMENT_CANISTER", "PRINCIPAL_SIZE_MAX", "Principal"]

PRINCIPAL_SIZE_MAX = 29
"""Bytes: SHA-224 of a public key, and one byte for the class."""

_TEXT_SIZE_MAX = 63
"""Characters of the text form of 29 bytes."""

_CHECKSUM_SIZE = 4
_SELF_AUTHENTICATING = b"\x02"


@dataclass(frozen=True, slots=True, order=True)
class Principal:
    """An identifier of at most 29 bytes; ``str`` gives the text form, ``rwlgt-iiaaa-...``.

    Raises:
        PrincipalError: If ``raw`` is too long.
    """

    raw: bytes

    def __post_init__(self) -> None:
        if len(self.raw) > PRINCIPAL_SIZE_MAX:
            reason = f"principal of {len(self.raw)} bytes, at most {PRINCIPAL_SIZE_MAX} allowed"
            raise PrincipalError(reason, offset_bytes=PRINCIPAL_SIZE_MAX)

    @classmethod
    def from_text(cls, text: str) -> Self:
        """Parse the canonical text form.

        Raises:
            PrincipalError: If a character, the checksum or the grouping is wrong.
        """
        if len(text) > _TEXT_SIZE_MAX:
            reason = f"principal text of {len(text)} characters, at most {_TEXT_SIZE_MAX} allowed"
            raise PrincipalError(reason)
        compact = text.replace("-", "").upper()
        try:
            decoded = base64.b32decode(compact + "=" * (-len(compact) % 8))
        except (binascii.Error, ValueError) as error:
            reason = f"not a principal: {text!r}"
            raise PrincipalError(reason) from error
        if len(decoded) < _CHECKSUM_SIZE:
            reason = f"not a principal: {text!r}"
            raise PrincipalError(reason)
        principal = cls(decoded[_CHECKSUM_SIZE:])
        # One comparison checks the checksum, the grouping, the case and the unused base32 bits.
        if str(principal) != text:
            reason = f"not a canonical principal: {text!r}"
            raise PrincipalError(reason)
        return principal

    @classmethod
    def self_authenticating(cls, public_key_der: bytes) -> Self:
        """Name the holder of a DER-encoded public key."""
        return cls(hashlib.sha224(public_key_der).digest() + _SELF_AUTHENTICATING)

    @property
    def is_anonymous(self) -> bool:
        """Whether this is the sender of unsigned requests."""
        return self.raw == b"\x04"

    def __str__(self) -> str:
        checksum = binascii.crc32(self.raw).to_bytes(_CHECKSUM_SIZE, "big")
        compact = base64.b32encode(checksum + self.raw).decode("ascii").rstrip("=").lower()
        return "-".join(compact[index : index + 5] for index in range(0, len(compact), 5))

    def __repr__(self) -> str:
        return f"Principal({str(self)!r})"


ANONYMOUS = Principal(b"\x04")
MANAGEMENT_CANISTER = Principal(b"")
