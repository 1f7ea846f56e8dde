"""Requests: their content, their envelope, and the proof of who sends them.

Source: IC interface specification, "Request types" and "Authentication".
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, cast

from icfleet_protocol.authentication import Authority, check_signature, verify_delegations
from icfleet_protocol.cbor import decode_map, encode_tagged
from icfleet_protocol.delegation import (
    DELEGATIONS_MAX,
    DelegatedIdentity,
    SignedDelegation,
    parse_signed_delegation,
)
from icfleet_protocol.domain import REQUEST
from icfleet_protocol.errors import AuthenticationError, DecodeError
from icfleet_protocol.fields import (
    as_array,
    optional_array,
    optional_bytes,
    required,
    required_map,
    required_principal,
    required_time_ns,
)
from icfleet_protocol.identity import Identity
from icfleet_protocol.principal import Principal
from icfleet_protocol.request_id import HashableValue, RequestId, request_id

__all__ = [
    "ENVELOPE_SIZE_MAX",
    "NONCE_SIZE_MAX",
    "PATHS_MAX",
    "PATH_LABELS_MAX",
    "CallContent",
    "Content",
    "Envelope",
    "ReadStateContent",
    "SignedRequest",
    "authenticate",
    "decode_envelope",
    "sign_request",
]

ENVELOPE_SIZE_MAX = 5 * 1024 * 1024
"""Bytes of an HTTP body. Source: dfinity/ic, ``max_request_size_bytes``."""

NONCE_SIZE_MAX = 32
PATHS_MAX = 1000
PATH_LABELS_MAX = 127
_METHOD_SIZE_MAX = 20_000


@dataclass(frozen=True, slots=True, kw_only=True)
class CallContent:
    """An update or query call."""

    request_type: Literal["call", "query"]
    sender: Principal
    ingress_expiry_ns: int
    canister: Principal
    method: str
    arg: bytes
    nonce: bytes | None = None

    def as_map(self) -> dict[str, HashableValue]:
        """The fields as they are hashed and sent; absent ones left out."""
        fields: dict[str, HashableValue] = {
            "request_type": self.request_type,
            "sender": self.sender.raw,
            "ingress_expiry": self.ingress_expiry_ns,
            "canister_id": self.canister.raw,
            "method_name": self.method,
            "arg": self.arg,
        }
        if self.nonce is not None:
            fields["nonce"] = self.nonce
        return fields


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadStateContent:
    """A request for certified parts of the state tree."""

    sender: Principal
    ingress_expiry_ns: int
    paths: tuple[tuple[bytes, ...], ...]
    nonce: bytes | None = None

    def as_map(self) -> dict[str, HashableValue]:
        """The fields as they are hashed and sent; absent ones left out."""
        fields: dict[str, HashableValue] = {
            "request_type": "read_state",
            "sender": self.sender.raw,
            "ingress_expiry": self.ingress_expiry_ns,
            "paths": [list(path) for path in self.paths],
        }
        if self.nonce is not None:
            fields["nonce"] = self.nonce
        return fields


Content = CallContent | ReadStateContent


@dataclass(frozen=True, slots=True)
class SignedRequest:
    """A request ready to send, as often as needed: its bytes never change."""

    content: Content
    request_id: RequestId
    body: bytes


@dataclass(frozen=True, slots=True)
class Envelope:
    """A request as received. Its sender is a claim until ``authenticate`` has passed."""

    content: Content
    request_id: RequestId
    public_key_der: bytes | None
    signature: bytes | None
    delegations: tuple[SignedDelegation, ...] | None = None


def sign_request(content: Content, identity: Identity) -> SignedRequest:
    """Name, sign and encode a request."""
    fields = content.as_map()
    name = request_id(fields)
    envelope: dict[str, object] = {"content": fields}
    if identity.public_key_der is not None:
        envelope["sender_pubkey"] = identity.public_key_der
        envelope["sender_sig"] = identity.sign(REQUEST + name)
    if isinstance(identity, DelegatedIdentity):
        envelope["sender_delegation"] = [signed.as_map() for signed in identity.chain.delegations]
    return SignedRequest(content, name, encode_tagged(envelope))


def decode_envelope(body: bytes) -> Envelope:
    """Parse a request strictly; ``null`` means that an optional field is absent.

    As in the replica, fields that the specification does not know are passed over and do not
    count in the request id. How many paths, labels or delegations there may be is checked by
    ``authenticate``; here they are only refused when far beyond.

    Raises:
        DecodeError: If anything is missing, of the wrong type or beyond a limit.
    """
    outer = decode_map(body, size_max=ENVELOPE_SIZE_MAX)
    fields = outer.get("content")
    if not isinstance(fields, Mapping):
        reason = "the envelope has no content map"
        raise DecodeError(reason)
    content = _parse_content(cast("Mapping[str, Any]", fields))
    chain = optional_array(outer, "sender_delegation", limit=DELEGATIONS_MAX)
    return Envelope(
        content,
        request_id(content.as_map()),
        optional_bytes(outer, "sender_pubkey"),
        optional_bytes(outer, "sender_sig"),
        None if chain is None else tuple(parse_signed_delegation(signed) for signed in chain),
    )


def authenticate(envelope: Envelope, *, now_ns: int) -> frozenset[Principal] | None:
    """Check that the sender signed this request, or a key did to which he delegated it.

    The checks come in the replica's order. The request's own expiry is not among them: a server
    compares it with its clock before, and answers in its own way.

    Args:
        envelope: The request as received.
        now_ns: Our time, in nanoseconds since 1970, which delegations must outlast.

    Returns:
        The canisters that the delegations allow, or ``None`` if they allow all. The call's own
        canister is checked here; who answers a ``read_state`` must see to it that the requests
        whose status it reveals went to one of these.

    Raises:
        AuthenticationError: If not, saying what does not fit.
    """
    content = envelope.content
    _check_limits(content)
    sender, key_der, signature = content.sender, envelope.public_key_der, envelope.signature
    if sender.is_anonymous:
        if (key_der, signature, envelope.delegations) != (None, None, None):
            reason = "Signature is not allowed for the anonymous user."
            raise AuthenticationError(reason)
        return None
    if key_der is None or signature is None:
        reason = f"Missing signature from user: {sender}"
        raise AuthenticationError(reason)
    if Principal.self_authenticating(key_der) != sender:
        reason = f"The user id '{sender}' does not match the public key '{key_der.hex()}'"
        raise AuthenticationError(reason)
    authority = verify_delegations(key_der, envelope.delegations or (), now_ns=now_ns)
    message = REQUEST + envelope.request_id
    check_signature(authority.key_der, signature, message, context="Invalid signature")
    if isinstance(content, CallContent):
        _check_authority(content, authority)
    return authority.targets


def _check_limits(content: Content) -> None:
    if isinstance(content, ReadStateContent):
        paths = content.paths
        if len(paths) > PATHS_MAX:
            reason = (
                f"Too many paths in read state request: got {len(paths)} paths, "
                f"but at most {PATHS_MAX} are allowed."
            )
            raise AuthenticationError(reason)
        deepest = max(map(len, paths), default=0)
        if deepest > PATH_LABELS_MAX:
            reason = (
                f"At least one path in read state request is too deep: got {deepest} labels, "
                f"but at most {PATH_LABELS_MAX} are allowed."
            )
            raise AuthenticationError(reason)
    if content.nonce is not None and len(content.nonce) > NONCE_SIZE_MAX:
        reason = (
            f"Nonce in request is too big: got {len(content.nonce)} bytes, "
            f"but at most {NONCE_SIZE_MAX} are allowed."
        )
        raise AuthenticationError(reason)


def _check_authority(call: CallContent, authority: Authority) -> None:
    if authority.targets is not None and call.canister not in authority.targets:
        reason = f"Canister '{call.canister}' is not one of the delegation targets."
        raise AuthenticationError(reason)
    if authority.is_query_only and call.request_type == "call":
        reason = "Invalid delegation: its permissions allow only queries, no update calls"
        raise AuthenticationError(reason)


def _parse_content(fields: Mapping[str, Any]) -> Content:
    kind = required(fields, "request_type", str)
    sender = required_principal(fields, "sender")
    expiry = required_time_ns(fields, "ingress_expiry")
    nonce = optional_bytes(fields, "nonce")
    if kind == "read_state":
        paths = _parse_paths(fields)
        return ReadStateContent(sender=sender, ingress_expiry_ns=expiry, paths=paths, nonce=nonce)
    if kind not in ("call", "query"):
        reason = f"unknown request_type {kind[:40]!r}"
        raise DecodeError(reason)
    _refuse_sender_info(fields)
    method = required(fields, "method_name", str)
    if len(method) > _METHOD_SIZE_MAX:
        reason = f"method_name of {len(method)} characters, at most {_METHOD_SIZE_MAX} allowed"
        raise DecodeError(reason)
    return CallContent(
        request_type="call" if kind == "call" else "query",
        sender=sender,
        ingress_expiry_ns=expiry,
        canister=required_principal(fields, "canister_id"),
        method=method,
        arg=required(fields, "arg", bytes),
        nonce=nonce,
    )


def _refuse_sender_info(fields: Mapping[str, Any]) -> None:
    """Only senders with canister signatures may tell more about themselves."""
    if fields.get("sender_info") is None:
        return
    info = required_map(fields, "sender_info")
    required(info, "info", bytes)
    required_principal(info, "signer")
    required(info, "sig", bytes)
    reason = "sender_info is for senders with canister signatures, not supported by icfleet"
    raise DecodeError(reason)


def _parse_paths(fields: Mapping[str, Any]) -> tuple[tuple[bytes, ...], ...]:
    paths = optional_array(fields, "paths", limit=PATHS_MAX)
    if paths is None:
        reason = "field paths is missing"
        raise DecodeError(reason)
    return tuple(_parse_path(path) for path in paths)


def _parse_path(path: object) -> tuple[bytes, ...]:
    labels = tuple(as_array(path, "paths", limit=PATH_LABELS_MAX))
    if not all(isinstance(label, bytes) for label in labels):
        reason = "a path's label is not a byte string"
        raise DecodeError(reason)
    return cast("tuple[bytes, ...]", labels)
