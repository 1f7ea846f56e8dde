"""Updates: the request, and what an answer or a certificate says of its fate.

Source: IC interface specification, "Request: Call", "Request: Synchronous call" and
"Request status".
"""

from collections.abc import Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

from icfleet_agent.errors import CertifiedRejectError, MalformedReplyError, UncertifiedRejectError
from icfleet_agent.query import read_rejection
from icfleet_agent.read_state import Path
from icfleet_agent.refusal import raise_for_status
from icfleet_agent.transport import HttpReply
from icfleet_agent.trust import Trust
from icfleet_protocol.cbor import decode_map
from icfleet_protocol.certificate import Certificate
from icfleet_protocol.envelope import CallContent, SignedRequest, sign_request
from icfleet_protocol.errors import DecodeError
from icfleet_protocol.hash_tree import Absent, Found, Unknown
from icfleet_protocol.identity import Identity
from icfleet_protocol.leb128 import decode_uleb128
from icfleet_protocol.principal import Principal
from icfleet_protocol.request_id import RequestId

__all__ = [
    "NONCE_SIZE",
    "Accepted",
    "Fate",
    "Forgotten",
    "Missing",
    "Pending",
    "Rejected",
    "Replied",
    "build_call",
    "interpret_call",
    "read_fate",
    "status_path",
]

NONCE_SIZE = 16
"""Bytes of chance that make two equal updates two calls. Source: agent-rs and @dfinity/agent."""

_ACCEPTED = frozenset({HTTPStatus.OK, HTTPStatus.ACCEPTED})


@dataclass(frozen=True, slots=True)
class Replied:
    """The canister replied; certified."""

    reply: bytes
    time_ns: int
    """The certificate's time."""


@dataclass(frozen=True, slots=True)
class Rejected:
    """The call was rejected: certified, or by the node that was to take it."""

    error: CertifiedRejectError | UncertifiedRejectError


@dataclass(frozen=True, slots=True)
class Accepted:
    """The node took the call and passes it on; its fate has to be asked for."""


@dataclass(frozen=True, slots=True)
class Pending:
    """The network has the call and works on it."""


@dataclass(frozen=True, slots=True)
class Missing:
    """The network does not know the call, certified at this time."""

    time_ns: int


@dataclass(frozen=True, slots=True)
class Forgotten:
    """The call has run, and the network no longer keeps how it ended."""


Fate = Replied | Rejected | Pending | Missing | Forgotten


def build_call(content: CallContent, identity: Identity) -> SignedRequest:
    """Sign an update once; its bytes are what is sent, however often."""
    assert content.request_type == "call", content.request_type
    assert content.nonce is not None, "without a nonce, equal updates are one call"
    return sign_request(content, identity)


def interpret_call(
    reply: HttpReply, request: RequestId, *, trust: Trust, canister: Principal, now_ns: int
) -> Replied | Rejected | Accepted:
    """Read the answer to a call, in any version of the endpoint.

    Args:
        reply: What came back.
        request: The call's id, under which its certificate must tell its fate.
        trust: What counts as proof.
        canister: The effective canister.
        now_ns: Our time.

    Raises:
        HttpStatusError: If the server refused.
        MalformedReplyError: If the answer is not what the specification says.
        UnverifiedReplyError: If its certificate proves nothing.
    """
    raise_for_status(reply, accepted=_ACCEPTED)
    if reply.status == HTTPStatus.ACCEPTED:
        return Accepted()
    try:
        answer = decode_map(reply.body, size_max=len(reply.body))
    except DecodeError as error:
        reason = f"malformed answer to a call: {error}"
        raise MalformedReplyError(reason) from error
    match answer:
        case {"status": "replied", "certificate": bytes() as raw}:
            certificate = trust.verify(raw, canister=canister, now_ns=now_ns)
            fate = read_fate(certificate, request)
            return fate if isinstance(fate, (Replied, Rejected)) else Accepted()
        case {"status": "non_replicated_rejection"}:
            return Rejected(read_rejection(answer))
        case _:
            return Rejected(_read_plain_rejection(answer))


def status_path(request: RequestId) -> Path:
    """Where the state tree keeps a call's fate."""
    return (b"request_status", request)


def read_fate(certificate: Certificate, request: RequestId) -> Fate:
    """Read a call's fate from a certificate that shows it.

    Raises:
        MalformedReplyError: If the certificate does not show it, or not as specified.
    """
    match certificate.lookup(*status_path(request), b"status"):
        case Absent():
            return Missing(certificate.time_ns)
        case Found(b"received" | b"processing"):
            return Pending()
        case Found(b"done"):
            return Forgotten()
        case Found(b"replied"):
            return Replied(_require(certificate, request, b"reply"), certificate.time_ns)
        case Found(b"rejected"):
            return Rejected(_read_certified_rejection(certificate, request))
        case Found(status):
            reason = f"unknown request status {status[:20]!r}"
            raise MalformedReplyError(reason)
        case Unknown():
            reason = "the certificate does not show the call's status"
            raise MalformedReplyError(reason)


def _read_plain_rejection(answer: Mapping[str, Any]) -> UncertifiedRejectError:
    """Read what version 2 of the endpoint answers: a rejection without a status."""
    if "status" in answer:
        reason = "the answer to a call has an unknown status"
        raise MalformedReplyError(reason)
    return read_rejection(answer)


def _read_certified_rejection(certificate: Certificate, request: RequestId) -> CertifiedRejectError:
    try:
        code, _ = decode_uleb128(_require(certificate, request, b"reject_code"))
        message = _require(certificate, request, b"reject_message").decode()
        error_code = certificate.lookup(*status_path(request), b"error_code")
        finer = error_code.value.decode() if isinstance(error_code, Found) else None
    except (DecodeError, UnicodeDecodeError) as error:
        reason = f"malformed rejection: {error}"
        raise MalformedReplyError(reason) from error
    return CertifiedRejectError(code, message, finer)


def _require(certificate: Certificate, request: RequestId, name: bytes) -> bytes:
    found = certificate.lookup(*status_path(request), name)
    if not isinstance(found, Found):
        reason = f"the certificate does not show the call's {name.decode()}"
        raise MalformedReplyError(reason)
    return found.value
