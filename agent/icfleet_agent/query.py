"""Queries: the request, and whether one node's answer is good enough.

Source: IC interface specification, "Request: Query call".
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, cast

from icfleet_agent.errors import MalformedReplyError, UncertifiedRejectError, UnverifiedReplyError
from icfleet_agent.read_state import SubnetKeys
from icfleet_agent.refusal import raise_for_status
from icfleet_agent.transport import HttpReply
from icfleet_protocol.cbor import decode_map
from icfleet_protocol.envelope import CallContent, SignedRequest, sign_request
from icfleet_protocol.errors import DecodeError, InvalidSignatureError
from icfleet_protocol.identity import Identity
from icfleet_protocol.principal import Principal
from icfleet_protocol.query_signature import verify_query_signature
from icfleet_protocol.request_id import HashableValue, RequestId

__all__ = [
    "NodeSignature",
    "QueryAnswer",
    "UnknownNodeError",
    "build_query",
    "interpret_query",
    "read_rejection",
    "verify_query_answer",
]

_ACCEPTED = frozenset({HTTPStatus.OK})
_TIMESTAMP_MAX = 1 << 64


class UnknownNodeError(UnverifiedReplyError):
    """The answer is signed by a node that is not among the subnet's known ones."""


@dataclass(frozen=True, slots=True)
class NodeSignature:
    """One node's signature, as it came."""

    node: bytes
    timestamp_ns: int
    signature: bytes


@dataclass(frozen=True, slots=True)
class QueryAnswer:
    """A well-formed answer; nothing is known yet of who gave it."""

    fields: Mapping[str, HashableValue]
    """What a node signs."""
    signatures: tuple[NodeSignature, ...]
    outcome: bytes | UncertifiedRejectError

    def result(self) -> bytes:
        """The reply.

        Raises:
            UncertifiedRejectError: If the query was rejected.
        """
        if isinstance(self.outcome, UncertifiedRejectError):
            raise self.outcome
        return self.outcome


def build_query(
    canister: Principal, method: str, arg: bytes, *, identity: Identity, ingress_expiry_ns: int
) -> SignedRequest:
    """Ask a canister; without a nonce, so that equal questions are equal bytes."""
    content = CallContent(
        request_type="query",
        sender=identity.sender,
        ingress_expiry_ns=ingress_expiry_ns,
        canister=canister,
        method=method,
        arg=arg,
    )
    return sign_request(content, identity)


def interpret_query(reply: HttpReply) -> QueryAnswer:
    """Read an answer, without believing it.

    Raises:
        HttpStatusError: If the server refused.
        MalformedReplyError: If the answer is not what the specification says.
    """
    raise_for_status(reply, accepted=_ACCEPTED)
    try:
        answer = decode_map(reply.body, size_max=len(reply.body))
    except DecodeError as error:
        reason = f"malformed answer to a query: {error}"
        raise MalformedReplyError(reason) from error
    signatures = _read_signatures(answer.get("signatures", ()))
    match answer:
        case {"status": "replied", "reply": {"arg": bytes() as arg}}:
            replied: dict[str, HashableValue] = {"status": "replied", "reply": {"arg": arg}}
            return QueryAnswer(replied, signatures, arg)
        case {"status": "rejected"}:
            rejection = read_rejection(answer)
            rejected: dict[str, HashableValue] = {
                "status": "rejected",
                "reject_code": rejection.reject_code,
                "reject_message": rejection.reject_message,
            }
            if rejection.error_code is not None:
                rejected["error_code"] = rejection.error_code
            return QueryAnswer(rejected, signatures, rejection)
        case _:
            reason = "the answer to a query is neither a reply nor a rejection"
            raise MalformedReplyError(reason)


def read_rejection(fields: Mapping[str, Any]) -> UncertifiedRejectError:
    """Read a rejection that one node gives.

    Raises:
        MalformedReplyError: If a field is missing or of the wrong type.
    """
    code, message = fields.get("reject_code"), fields.get("reject_message")
    error_code = fields.get("error_code")
    is_well_formed = (
        isinstance(code, int)
        and not isinstance(code, bool)
        and code >= 0
        and isinstance(message, str)
        and isinstance(error_code, (str, type(None)))
    )
    if not is_well_formed:
        reason = "a rejection without code or message"
        raise MalformedReplyError(reason)
    return UncertifiedRejectError(cast("int", code), cast("str", message), error_code)


def verify_query_answer(
    answer: QueryAnswer, request: RequestId, *, keys: SubnetKeys, now_ns: int, age_max_ns: int
) -> None:
    """Check that nodes of the subnet gave this answer to this request, and lately.

    Raises:
        UnknownNodeError: If a signer is not among ``keys``, which may be out of date.
        UnverifiedReplyError: If there is no signature, or one does not hold.
    """
    if not answer.signatures:
        reason = "the answer to a query carries no node's signature"
        raise UnverifiedReplyError(reason)
    if len(answer.signatures) > len(keys.nodes):
        reason = f"{len(answer.signatures)} signatures from {len(keys.nodes)} nodes"
        raise UnverifiedReplyError(reason)
    for signed in answer.signatures:
        node_key = keys.nodes.get(signed.node)
        if node_key is None:
            reason = f"node {signed.node.hex()} does not belong to subnet {keys.subnet}"
            raise UnknownNodeError(reason)
        age_ns = now_ns - signed.timestamp_ns
        if abs(age_ns) > age_max_ns:
            age_s = age_ns // 1_000_000_000
            reason = f"the node's signature is {age_s} s old; is this computer's clock right?"
            raise UnverifiedReplyError(reason)
        try:
            verify_query_signature(
                answer.fields,
                timestamp_ns=signed.timestamp_ns,
                request=request,
                node_key_der=node_key,
                signature=signed.signature,
            )
        except InvalidSignatureError as error:
            reason = f"the node's signature does not hold: {error}"
            raise UnverifiedReplyError(reason) from error


def _read_signatures(value: object) -> tuple[NodeSignature, ...]:
    if not isinstance(value, Sequence) or isinstance(value, (str, bytes)):
        reason = "the signatures are not an array"
        raise MalformedReplyError(reason)
    return tuple(_read_signature(item) for item in cast("Sequence[object]", value))


def _read_signature(value: object) -> NodeSignature:
    match value:
        case {
            "identity": bytes() as node,
            "timestamp": int() as timestamp_ns,
            "signature": bytes() as signature,
        } if 0 <= timestamp_ns < _TIMESTAMP_MAX:
            return NodeSignature(node, timestamp_ns, signature)
        case _:
            reason = "a node's signature lacks its node, time or bytes"
            raise MalformedReplyError(reason)
