"""Delegations: a key lets another key sign requests in its name, for a time and within bounds.

Source: IC interface specification, "Authentication".
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, cast

from icfleet_protocol.domain import REQUEST_DELEGATION
from icfleet_protocol.errors import DecodeError, IdentityError
from icfleet_protocol.fields import (
    as_principal,
    optional_array,
    optional_text,
    required,
    required_map,
    required_time_ns,
)
from icfleet_protocol.identity import Identity
from icfleet_protocol.principal import Principal
from icfleet_protocol.request_id import HashableValue, hash_of_map

__all__ = [
    "DELEGATIONS_MAX",
    "DELEGATION_TARGETS_MAX",
    "DelegatedIdentity",
    "Delegation",
    "DelegationChain",
    "SignedDelegation",
    "create_delegation",
    "parse_signed_delegation",
]

DELEGATIONS_MAX = 20
"""In one chain. Source: the specification's text; its CDDL says 4."""

DELEGATION_TARGETS_MAX = 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class Delegation:
    """What is allowed to the holder of ``pubkey``."""

    pubkey: bytes = field(repr=False)
    """The key that may sign, in DER."""
    expiration_ns: int
    """Until when, in nanoseconds since 1970."""
    targets: tuple[Principal, ...] | None = None
    """The only canisters that calls may go to; ``None`` allows all. Calls to the management
    canister need ``aaaaa-aa`` in it."""
    permissions: str | None = None
    """``"queries"`` forbids update calls, ``"all"`` and ``None`` forbid nothing, and any other
    value makes every request of the chain invalid."""

    def as_map(self) -> dict[str, HashableValue]:
        """The fields as they are hashed and sent; absent ones left out."""
        fields: dict[str, HashableValue] = {
            "pubkey": self.pubkey,
            "expiration": self.expiration_ns,
        }
        if self.targets is not None:
            fields["targets"] = [target.raw for target in self.targets]
        if self.permissions is not None:
            fields["permissions"] = self.permissions
        return fields

    @property
    def signed_message(self) -> bytes:
        """The bytes that the delegating key signs."""
        return REQUEST_DELEGATION + hash_of_map(self.as_map())


@dataclass(frozen=True, slots=True)
class SignedDelegation:
    """A delegation, and the signature of the key that gives it."""

    delegation: Delegation
    signature: bytes = field(repr=False)

    def as_map(self) -> dict[str, object]:
        """The fields as they are sent."""
        return {"delegation": self.delegation.as_map(), "signature": self.signature}


@dataclass(frozen=True, slots=True)
class DelegationChain:
    """From the key that the sender is named by to the key that signs requests.

    Raises:
        IdentityError: If it is empty or longer than replicas accept.
    """

    public_key_der: bytes = field(repr=False)
    """The sender's key, which signed the first delegation."""
    delegations: tuple[SignedDelegation, ...]

    def __post_init__(self) -> None:
        if not 0 < len(self.delegations) <= DELEGATIONS_MAX:
            reason = (
                f"a chain has 1 to {DELEGATIONS_MAX} delegations, this one {len(self.delegations)}"
            )
            raise IdentityError(reason)

    @property
    def session_key_der(self) -> bytes:
        """The key that signs requests."""
        return self.delegations[-1].delegation.pubkey

    @property
    def expiration_ns(self) -> int:
        """When the first of the delegations ends."""
        return min(signed.delegation.expiration_ns for signed in self.delegations)


@dataclass(frozen=True, slots=True)
class DelegatedIdentity:
    """Signs with a session's key in the name of the chain's first key.

    Raises:
        IdentityError: If the chain does not end at the session's key.
    """

    session: Identity
    chain: DelegationChain

    def __post_init__(self) -> None:
        if self.session.public_key_der != self.chain.session_key_der:
            reason = "the chain of delegations ends at another key than the session's"
            raise IdentityError(reason)

    @property
    def sender(self) -> Principal:
        """The principal of the chain's first key."""
        return Principal.self_authenticating(self.chain.public_key_der)

    @property
    def public_key_der(self) -> bytes:
        """The chain's first key."""
        return self.chain.public_key_der

    def sign(self, message: bytes) -> bytes | None:
        """Sign with the session's key."""
        return self.session.sign(message)


def create_delegation(
    identity: Identity,
    session_public_key_der: bytes,
    expiration_ns: int,
    targets: Sequence[Principal] | None = None,
    permissions: Literal["queries", "all"] | None = None,
) -> SignedDelegation:
    """Let another key sign in the name of ``identity``.

    Args:
        identity: Who gives; a ``DelegatedIdentity`` lengthens its chain by this delegation.
        session_public_key_der: Who gets it.
        expiration_ns: Until when, in nanoseconds since 1970.
        targets: The only canisters that calls may go to.
        permissions: ``"queries"`` to forbid update calls.

    Raises:
        IdentityError: If ``identity`` is anonymous, or there are more targets than allowed.
    """
    if targets is not None and len(targets) > DELEGATION_TARGETS_MAX:
        reason = f"{len(targets)} targets, at most {DELEGATION_TARGETS_MAX} allowed"
        raise IdentityError(reason)
    delegation = Delegation(
        pubkey=session_public_key_der,
        expiration_ns=expiration_ns,
        targets=None if targets is None else tuple(targets),
        permissions=permissions,
    )
    signature = identity.sign(delegation.signed_message)
    if signature is None:
        reason = "the anonymous identity has no key that could delegate"
        raise IdentityError(reason)
    return SignedDelegation(delegation, signature)


def parse_signed_delegation(value: object) -> SignedDelegation:
    """Read one element of ``sender_delegation``.

    The limit of targets is not checked here: whoever authenticates the request does.

    Raises:
        DecodeError: If a field is missing, of the wrong type, or no principal.
    """
    if not isinstance(value, Mapping):
        reason = "a delegation is not a map"
        raise DecodeError(reason)
    outer = cast("Mapping[str, Any]", value)
    fields = required_map(outer, "delegation")
    targets = optional_array(fields, "targets", limit=DELEGATION_TARGETS_MAX)
    delegation = Delegation(
        pubkey=required(fields, "pubkey", bytes),
        expiration_ns=required_time_ns(fields, "expiration"),
        targets=(
            None
            if targets is None
            else tuple(as_principal(target, "targets") for target in targets)
        ),
        permissions=optional_text(fields, "permissions"),
    )
    return SignedDelegation(delegation, required(outer, "signature", bytes))
