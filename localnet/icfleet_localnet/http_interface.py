"""The HTTPS interface without the network: a request in, a response or a wait out.

Checks come in the replica's order, so that clients see the errors they know.

Source: IC interface specification, "HTTPS Interface"; dfinity/ic ``rs/http_endpoints`` for status
codes and texts.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from icfleet_localnet.ingress import Replied
from icfleet_localnet.management import effective_canister
from icfleet_localnet.rejects import Reject
from icfleet_localnet.subnet import Subnet
from icfleet_protocol.cbor import encode_tagged
from icfleet_protocol.envelope import (
    CallContent,
    Envelope,
    ReadStateContent,
    authenticate,
    decode_envelope,
)
from icfleet_protocol.errors import AuthenticationError, DecodeError, PrincipalError
from icfleet_protocol.principal import MANAGEMENT_CANISTER, Principal
from icfleet_protocol.query_signature import query_response_message
from icfleet_protocol.request_id import HashableValue, RequestId

__all__ = ["HttpInterface", "HttpResponse", "Wait"]

_INGRESS_SIZE_MAX = 2 * 1024 * 1024
"""Bytes of an ingress message on an application subnet."""

_MINUTE_NS = 60 * 1_000_000_000
_EXPIRY_AHEAD_MAX_NS = 5 * _MINUTE_NS + _MINUTE_NS // 2
"""Five minutes, and thirty seconds for clocks that differ."""

_CALL_VERSIONS = frozenset({"v2", "v3", "v4"})
_READ_VERSIONS = frozenset({"v2", "v3"})
_PUBLIC_PATHS = frozenset({b"time", b"subnet", b"canister_ranges", b"api_boundary_nodes"})


@dataclass(frozen=True, slots=True)
class HttpResponse:
    """A status, and a body of CBOR or plain text."""

    status: int
    body: bytes = b""
    content_type: str = "application/cbor"

    @classmethod
    def text(cls, status: int, text: str) -> "HttpResponse":
        """A plain-text answer, as the replica gives for every HTTP error."""
        return cls(status, text.encode(), "text/plain; charset=utf-8")

    @classmethod
    def cbor(cls, value: Mapping[str, object]) -> "HttpResponse":
        """A CBOR answer with status 200."""
        return cls(200, encode_tagged(value))


@dataclass(frozen=True, slots=True)
class Wait:
    """The answer comes with the round that finishes this request, or ``timeout`` is given."""

    request: RequestId
    timeout: HttpResponse


@dataclass(frozen=True, slots=True)
class _Route:
    version: str
    scope: Literal["canister", "subnet"]
    target: Principal
    action: str


class HttpInterface:
    """Answers HTTP requests from one subnet's state."""

    def __init__(self, subnet: Subnet) -> None:
        self._subnet = subnet

    def status(self) -> HttpResponse:
        """``GET /api/v2/status``."""
        return HttpResponse.cbor(
            {
                "impl_version": "icfleet-localnet",
                "replica_health_status": "healthy",
                "root_key": self._subnet.public_key_der,
                "certified_height": self._subnet.height,
            }
        )

    def post(self, path: str, body: bytes, *, now_ns: int) -> HttpResponse | Wait:
        """Any other request."""
        route = _parse_route(path)
        if route is None:
            return HttpResponse.text(404, f"unknown path {path}")
        if isinstance(route, HttpResponse):
            return route
        try:
            envelope = decode_envelope(body)
        except DecodeError as error:
            return HttpResponse.text(400, f"Could not parse body as CBOR message: {error}")
        refusal = _check_expiry(envelope, now_ns)
        if refusal is not None:
            return refusal
        try:
            authenticate(envelope)
        except AuthenticationError as error:
            name = envelope.request_id.hex()
            return HttpResponse.text(
                403, f"Failed to authenticate request 0x{name} due to: {error}"
            )
        return self._dispatch(route, envelope, len(body))

    def finished(self, request: RequestId) -> HttpResponse:
        """The answer to a call that has its final status."""
        certificate = self._subnet.certificate([(b"request_status", request)])
        return HttpResponse.cbor({"status": "replied", "certificate": certificate})

    def _dispatch(self, route: _Route, envelope: Envelope, size: int) -> HttpResponse | Wait:
        content = envelope.content
        match route.action, content:
            case "read_state", ReadStateContent():
                return self._read_state(route, content)
            case "query", CallContent(request_type="query"):
                return self._query(route, content, envelope.request_id)
            case "call", CallContent(request_type="call"):
                if size > _INGRESS_SIZE_MAX:
                    return _too_large(size)
                return self._call(route, content, envelope.request_id)
            case _:
                reason = f"a request for /{route.action} has another request_type"
                return HttpResponse.text(400, reason)

    def _call(self, route: _Route, call: CallContent, request: RequestId) -> HttpResponse | Wait:
        mismatch = _check_effective(route, call)
        if mismatch is not None:
            return mismatch
        accepted = HttpResponse(202, b"")
        if request in self._subnet.history:
            if route.version == "v2":
                return accepted
            if self._subnet.history.is_terminal(request):
                return self.finished(request)
            return Wait(request, accepted)
        reject = self._subnet.check_ingress(call)
        if reject is not None:
            return _uncertified(reject, is_synchronous=route.version != "v2")
        self._subnet.submit(call, request)
        return accepted if route.version == "v2" else Wait(request, accepted)

    def _query(self, route: _Route, call: CallContent, request: RequestId) -> HttpResponse:
        mismatch = _check_effective(route, call)
        if mismatch is not None:
            return mismatch
        answer = self._subnet.query(call)
        fields: dict[str, HashableValue]
        if isinstance(answer, Replied):
            fields = {"status": "replied", "reply": {"arg": answer.arg}}
        else:
            fields = {
                "status": "rejected",
                "reject_code": answer.code,
                "reject_message": answer.message,
                "error_code": answer.error_code,
            }
        time_ns = self._subnet.time_ns
        message = query_response_message(fields, timestamp_ns=time_ns, request=request)
        node, signature = self._subnet.sign_as_node(message)
        signed = {"timestamp": time_ns, "signature": signature, "identity": node.raw}
        return HttpResponse.cbor({**fields, "signatures": [signed]})

    def _read_state(self, route: _Route, content: ReadStateContent) -> HttpResponse:
        requests: set[bytes] = set()
        for path in content.paths:
            refusal = self._check_path(route, content.sender, path)
            if refusal is not None:
                return refusal
            if path[:1] == (b"request_status",):
                requests.add(path[1])
        if len(requests) > 1:
            return HttpResponse.text(400, "Can only request a single request ID in request_status.")
        return HttpResponse.cbor({"certificate": self._subnet.certificate(content.paths)})

    def _check_path(
        self, route: _Route, sender: Principal, path: tuple[bytes, ...]
    ) -> HttpResponse | None:
        match path:
            case (section, *_) if section in _PUBLIC_PATHS:
                return None
            case (b"canister", canister, _, *_) if route.scope == "canister":
                if canister == route.target.raw:
                    return None
                return HttpResponse.text(400, f"{route.target} is not the canister of the path")
            case (b"request_status", request, *_) if route.scope == "canister":
                owner = self._subnet.history.sender(RequestId(request))
                if owner is None or owner == sender:
                    return None
                reason = "The user tries to access Request ID not signed by the caller."
                return HttpResponse.text(403, reason)
            case _:
                return HttpResponse.text(404, "Invalid path requested.")


def _parse_route(path: str) -> _Route | HttpResponse | None:
    match path.strip("/").split("/"):
        case ["api", version, ("canister" | "subnet") as scope, target, action]:
            versions = _CALL_VERSIONS if action == "call" else _READ_VERSIONS
            actions = {"canister": ("call", "query", "read_state"), "subnet": ("read_state",)}
            if version not in versions or action not in actions[scope]:
                return None
            try:
                principal = Principal.from_text(target)
            except PrincipalError as error:
                return HttpResponse.text(400, f"Invalid {scope} id in the path: {error}")
            return _Route(
                version, "canister" if scope == "canister" else "subnet", principal, action
            )
        case _:
            return None


def _check_expiry(envelope: Envelope, now_ns: int) -> HttpResponse | None:
    content = envelope.content
    is_update = isinstance(content, CallContent) and content.request_type == "call"
    if content.sender.is_anonymous and not is_update:
        return None
    latest_ns = now_ns + _EXPIRY_AHEAD_MAX_NS
    if now_ns <= content.ingress_expiry_ns <= latest_ns:
        return None
    # Clients match on the first words to learn that their clock is off.
    text = (
        "Invalid request expiry: Specified ingress_expiry not within expected range: "
        f"Minimum allowed expiry: {now_ns}, Maximum allowed expiry: {latest_ns}, "
        f"Provided expiry: {content.ingress_expiry_ns}"
    )
    return HttpResponse.text(400, text)


def _check_effective(route: _Route, call: CallContent) -> HttpResponse | None:
    """Whether the id in the path is the canister that the call is about."""
    if call.canister == MANAGEMENT_CANISTER:
        target = effective_canister(call.method, call.arg)
        if target is None or isinstance(target, Reject) or target == route.target:
            return None
        expected = target
    elif call.canister == route.target:
        return None
    else:
        expected = call.canister
    reason = f"Specified CanisterId {expected} does not match effective canister id {route.target}"
    return HttpResponse.text(400, reason)


def _uncertified(reject: Reject, *, is_synchronous: bool) -> HttpResponse:
    fields: dict[str, object] = {
        "reject_code": reject.code,
        "reject_message": reject.message,
        "error_code": reject.error_code,
    }
    if is_synchronous:
        fields["status"] = "non_replicated_rejection"
    return HttpResponse.cbor(fields)


def _too_large(size: int) -> HttpResponse:
    reason = (
        f"Request is too large. Message byte size {size} is larger than the max allowed "
        f"{_INGRESS_SIZE_MAX}."
    )
    return HttpResponse.text(413, reason)
