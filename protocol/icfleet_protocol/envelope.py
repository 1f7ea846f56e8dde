"""Requests: their content, their envelope, and the proof of who sends them.

Source: IC interface specification, "Request types" and "Authentication".
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeVar, cast

from icfleet_protocol.cbor import decode_map, encode_tagged
from icfleet_protocol.domain import REQUEST
from icfleet_protocol.errors import (
    AuthenticationError,
    DecodeError,
    InvalidSignatureError,
    PrincipalError,
)
from icfleet_protocol.identity import Identity, ed25519_verify
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

T = TypeVar("T", str, int, bytes)


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


def sign_request(content: Content, identity: Identity) -> SignedRequest:
    """Name, sign and encode a request."""
    fields = content.as_map()
    name = request_id(fields)
    envelope: dict[str, object] = {"content": fields}
    if identity.public_key_der is not None:
        envelope["sender_pubkey"] = identity.public_key_der
        envelope["sender_sig"] = identity.sign(REQUEST + name)
    return SignedRequest(content, name, encode_tagged(envelope))


def decode_envelope(body: bytes) -> Envelope:
    """Parse a request strictly; ``null`` key and signature mean absent, as ic-py sends them.

    Raises:
        DecodeError: If anything is missing, of the wrong type or beyond a limit.
    """
    outer = decode_map(body, size_max=ENVELOPE_SIZE_MAX)
    fields = outer.get("content")
    if not isinstance(fields, Mapping):
        reason = "the envelope has no content map"
        raise DecodeError(reason)
    content_map = cast("Mapping[str, Any]", fields)
    content = _parse_content(content_map)
    try:
        name = request_id(content_map)
    except (TypeError, AttributeError, ValueError) as error:
        reason = "the content has a field that cannot be hashed"
        raise DecodeError(reason) from error
    return Envelope(
        content,
        name,
        _optional_bytes(outer, "sender_pubkey"),
        _optional_bytes(outer, "sender_sig"),
    )


def authenticate(envelope: Envelope) -> None:
    """Check that the sender signed this request.

    Raises:
        AuthenticationError: If not, saying what does not fit.
    """
    sender = envelope.content.sender
    if sender.is_anonymous:
        if envelope.public_key_der is not None or envelope.signature is not None:
            reason = "Signature is not allowed for the anonymous user."
            raise AuthenticationError(reason)
        return
    if envelope.public_key_der is None or envelope.signature is None:
        reason = f"Missing signature from user: {sender}"
        raise AuthenticationError(reason)
    if Principal.self_authenticating(envelope.public_key_der) != sender:
        reason = f"The user id {sender} does not match the public key"
        raise AuthenticationError(reason)
    try:
        ed25519_verify(envelope.public_key_der, envelope.signature, REQUEST + envelope.request_id)
    except InvalidSignatureError as error:
        reason = f"Invalid signature: {error}"
        raise AuthenticationError(reason) from error


def _parse_content(fields: Mapping[str, Any]) -> Content:
    kind = _required(fields, "request_type", str)
    sender = _principal(fields, "sender")
    expiry = _required(fields, "ingress_expiry", int)
    if not 0 <= expiry < 1 << 64:
        reason = f"ingress_expiry {expiry} is no time in nanoseconds"
        raise DecodeError(reason)
    nonce = _optional_bytes(fields, "nonce")
    if nonce is not None and len(nonce) > NONCE_SIZE_MAX:
        reason = f"nonce of {len(nonce)} bytes, at most {NONCE_SIZE_MAX} allowed"
        raise DecodeError(reason)
    if kind == "read_state":
        paths = _parse_paths(fields)
        return ReadStateContent(sender=sender, ingress_expiry_ns=expiry, paths=paths, nonce=nonce)
    if kind not in ("call", "query"):
        reason = f"unknown request_type {kind[:40]!r}"
        raise DecodeError(reason)
    method = _required(fields, "method_name", str)
    if len(method) > _METHOD_SIZE_MAX:
        reason = f"method_name of {len(method)} characters"
        raise DecodeError(reason)
    return CallContent(
        request_type="call" if kind == "call" else "query",
        sender=sender,
        ingress_expiry_ns=expiry,
        canister=_principal(fields, "canister_id"),
        method=method,
        arg=_required(fields, "arg", bytes),
        nonce=nonce,
    )


def _parse_paths(fields: Mapping[str, Any]) -> tuple[tuple[bytes, ...], ...]:
    paths = fields.get("paths")
    if not isinstance(paths, Sequence) or isinstance(paths, (str, bytes)):
        reason = "field paths is missing or not an array"
        raise DecodeError(reason)
    parsed = tuple(_parse_path(path) for path in cast("Sequence[object]", paths)[: PATHS_MAX + 1])
    if len(parsed) > PATHS_MAX:
        reason = f"more than {PATHS_MAX} paths"
        raise DecodeError(reason)
    return parsed


def _parse_path(path: object) -> tuple[bytes, ...]:
    if not isinstance(path, Sequence) or isinstance(path, (str, bytes)):
        reason = "a path is not an array of labels"
        raise DecodeError(reason)
    labels = tuple(cast("Sequence[object]", path))
    if len(labels) > PATH_LABELS_MAX:
        reason = f"a path has more than {PATH_LABELS_MAX} labels"
        raise DecodeError(reason)
    for label in labels:
        if not isinstance(label, bytes):
            reason = "a path's label is not a byte string"
            raise DecodeError(reason)
    return cast("tuple[bytes, ...]", labels)


def _required(fields: Mapping[str, Any], name: str, kind: type[T]) -> T:
    value = fields.get(name)
    if not isinstance(value, kind) or isinstance(value, bool):
        reason = f"field {name} is missing or not of type {kind.__name__}"
        raise DecodeError(reason)
    return value


def _optional_bytes(fields: Mapping[str, Any], name: str) -> bytes | None:
    return None if fields.get(name) is None else _required(fields, name, bytes)


def _principal(fields: Mapping[str, Any], name: str) -> Principal:
    try:
        return Principal(_required(fields, name, bytes))
    except PrincipalError as error:
        reason = f"field {name}: {error}"
        raise DecodeError(reason) from error
