"""What a chain of delegations proves: which key signs, and for what.

The order of the checks and the texts are the replica's, because clients match on them.

Source: IC interface specification, "Authentication" and "Envelope Authentication"; dfinity/ic
``rs/validator/src/ingress_validation.rs``. No stored source has a text for ``permissions``, which
came with specification 0.66: those two texts are ours.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from icfleet_protocol.delegation import DELEGATION_TARGETS_MAX, DELEGATIONS_MAX, SignedDelegation
from icfleet_protocol.errors import AuthenticationError, InvalidSignatureError
from icfleet_protocol.principal import Principal
from icfleet_protocol.signatures import load_public_key

__all__ = ["Authority", "check_signature", "verify_delegations"]

_PERMISSIONS = frozenset({"all", "queries"})


@dataclass(frozen=True, slots=True)
class Authority:
    """What remains of a sender's rights at the end of a chain."""

    key_der: bytes
    """The key that signs requests."""
    targets: frozenset[Principal] | None
    """Where calls may go to, which every delegation allows; ``None`` for everywhere."""
    is_query_only: bool
    """Whether update calls are forbidden."""


def verify_delegations(
    sender_key_der: bytes, delegations: Sequence[SignedDelegation], *, now_ns: int
) -> Authority:
    """Follow a chain from the sender's key to the key that signs requests.

    The cheap checks come first, so that nobody makes us verify more than ``DELEGATIONS_MAX``
    signatures.

    Raises:
        AuthenticationError: If the chain is too long, expired, cyclic or wrongly signed, or has
            too many targets or unknown permissions.
    """
    if not delegations:
        return Authority(sender_key_der, None, is_query_only=False)
    _check_shape(sender_key_der, delegations, now_ns)
    key_der = sender_key_der
    targets: frozenset[Principal] | None = None
    for signed in delegations:
        delegation = signed.delegation
        message = delegation.signed_message
        check_signature(key_der, signed.signature, message, context="Invalid delegation")
        if delegation.targets is not None:
            allowed = frozenset(delegation.targets)
            targets = allowed if targets is None else targets & allowed
        key_der = delegation.pubkey
    is_query_only = any(signed.delegation.permissions == "queries" for signed in delegations)
    return Authority(key_der, targets, is_query_only)


def check_signature(key_der: bytes, signature: bytes, message: bytes, *, context: str) -> None:
    """Verify a signature and say what it is about if it fails.

    Raises:
        AuthenticationError: If the key or the signature does not do.
    """
    try:
        key = load_public_key(key_der)
    except InvalidSignatureError as error:
        reason = f"{context}: Invalid public key: {error}"
        raise AuthenticationError(reason) from error
    try:
        key.verify(signature, message)
    except InvalidSignatureError as error:
        reason = f"{context}: Invalid basic signature: {error}"
        raise AuthenticationError(reason) from error


def _check_shape(
    sender_key_der: bytes, delegations: Sequence[SignedDelegation], now_ns: int
) -> None:
    """Check all that needs no cryptography."""
    if len(delegations) > DELEGATIONS_MAX:
        reason = (
            f"Invalid delegation: Chain of delegations is too long: got {len(delegations)} "
            f"delegations, but at most {DELEGATIONS_MAX} are allowed."
        )
        raise AuthenticationError(reason)
    for signed in delegations:
        if signed.delegation.expiration_ns < now_ns:
            reason = (
                "Invalid delegation expiry: Specified sender delegation has expired: "
                f"Provided expiry: {signed.delegation.expiration_ns}, Local replica time: {now_ns}"
            )
            raise AuthenticationError(reason)
    seen = {sender_key_der}
    for signed in delegations:
        pubkey = signed.delegation.pubkey
        if pubkey in seen:
            reason = (
                "Invalid delegation: Chain of delegations contains at least one cycle: "
                f"first repeating public key encountered {pubkey.hex()}"
            )
            raise AuthenticationError(reason)
        seen.add(pubkey)
    for signed in delegations:
        _check_scope(signed)


def _check_scope(signed: SignedDelegation) -> None:
    targets, permissions = signed.delegation.targets, signed.delegation.permissions
    if targets is not None and len(targets) > DELEGATION_TARGETS_MAX:
        reason = (
            "Invalid delegation: Delegation target error: expected at most "
            f"{DELEGATION_TARGETS_MAX} targets per delegation, but got {len(targets)}"
        )
        raise AuthenticationError(reason)
    if permissions is not None and permissions not in _PERMISSIONS:
        reason = (
            f"Invalid delegation: unknown permissions {permissions[:40]!r}, "
            'expected "queries" or "all"'
        )
        raise AuthenticationError(reason)
