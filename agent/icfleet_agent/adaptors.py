"""What users may pass for a principal or an identity: ours, texts, and ic-py's objects.

Objects of ic-py are known by their shape; the package itself is not imported.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol, cast

from icfleet_agent.errors import SettingsError
from icfleet_protocol.errors import IdentityError
from icfleet_protocol.identity import Identity
from icfleet_protocol.principal import ANONYMOUS, Principal

__all__ = [
    "IcPyIdentity",
    "IcPyPrincipal",
    "IdentityLike",
    "PrincipalLike",
    "as_identity",
    "as_principal",
]

_PROBE = b"icfleet asks for the public key"
"""Signed once, because ic-py's identities tell their key with a signature. No request begins so."""


class IcPyPrincipal(Protocol):
    """A principal as ic-py has it."""

    @property
    def bytes(self) -> bytes:
        """The raw principal."""
        ...


class IcPyIdentity(Protocol):
    """An identity as ic-py has it."""

    def sender(self) -> IcPyPrincipal:
        """Whose requests it signs."""
        ...

    def sign(self, msg: bytes) -> tuple[bytes | None, bytes | None]:
        """Return the public key in DER, and the signature; twice ``None`` when anonymous."""
        ...


PrincipalLike = Principal | str | IcPyPrincipal
IdentityLike = Identity | IcPyIdentity


@dataclass(frozen=True, slots=True)
class _AdaptedIdentity:
    """An identity of ic-py's behind our interface."""

    sender: Principal
    public_key_der: bytes | None = field(repr=False)
    _sign: Callable[[bytes], tuple[bytes | None, bytes | None]] = field(repr=False)

    def sign(self, message: bytes) -> bytes | None:
        """Sign, or answer ``None`` if requests go unsigned."""
        return self._sign(message)[1]


def as_principal(principal: PrincipalLike) -> Principal:
    """Convert to our principal.

    Raises:
        PrincipalError: If a text or its checksum is wrong.
        SettingsError: If it is nothing that names a principal.
    """
    if isinstance(principal, Principal):
        return principal
    if isinstance(principal, str):
        return Principal.from_text(principal)
    raw = getattr(principal, "bytes", None)
    if not isinstance(raw, bytes):
        reason = f"not a principal: an object of type {type(principal).__name__}"
        raise SettingsError(reason)
    return Principal(raw)


def as_identity(identity: IdentityLike) -> Identity:
    """Convert to our identity.

    Raises:
        IdentityError: If its key does not belong to its sender, or it signs by delegation.
        SettingsError: If it is nothing that signs.
    """
    sender = getattr(identity, "sender", None)
    if isinstance(sender, Principal):
        return cast("Identity", identity)
    if not callable(sender) or not callable(getattr(identity, "sign", None)):
        reason = f"not an identity: an object of type {type(identity).__name__}"
        raise SettingsError(reason)
    return _adapt(cast("IcPyIdentity", identity))


def _adapt(identity: IcPyIdentity) -> Identity:
    if getattr(identity, "delegations", None) is not None:
        reason = "an identity that signs by delegation is not supported"
        raise IdentityError(reason)
    sender = as_principal(identity.sender())
    public_key_der, _ = identity.sign(_PROBE)
    expected = (
        ANONYMOUS if public_key_der is None else Principal.self_authenticating(public_key_der)
    )
    if sender != expected:
        reason = f"the identity's key belongs to {expected}, not to {sender}"
        raise IdentityError(reason)
    return _AdaptedIdentity(sender, public_key_der, identity.sign)
