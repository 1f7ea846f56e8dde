"""The HTTPS interface without the network: a request in, a response or a wait out.

Checks come in the replica's order, so that clients see the errors they know.

Source: IC interface specification, "HTTPS Interface"; dfinity/ic ``rs/http_endpoints`` for status
codes and texts.
"""

from dataclasses import dataclass
from typing import Self

from icfleet_localnet.call_context import Answer
from icfleet_localnet.certification import Path, RangeLayout
from icfleet_localnet.http_response import HttpResponse
from icfleet_localnet.ingress import Replied
from icfleet_localnet.management import effective_canister
from icfleet_localnet.network import Network
from icfleet_localnet.recorder import Recorder
from icfleet_localnet.rejects import Reject
from icfleet_localnet.routes import Reader, Route, check_paths, parse_route
from icfleet_localnet.stale_states import OldState
from icfleet_localnet.subnet import Subnet
from icfleet_protocol.envelope import (
    CallContent,
    Envelope,
    ReadStateContent,
    authenticate,
    decode_envelope,
)
from icfleet_protocol.errors import AuthenticationError, DecodeError
from icfleet_protocol.principal import MANAGEMENT_CANISTER, Principal
from icfleet_protocol.query_signature import query_response_message
from icfleet_protocol.request_id import HashableValue, RequestId

__all__ = ["HttpInterface", "Request", "Wait"]

_INGRESS_SIZE_MAX = 2 * 1024 * 1024
"""Bytes of an ingress message on an application subnet."""

_MINUTE_NS = 60 * 1_000_000_000
_EXPIRY_AHEAD_MAX_NS = 5 * _MINUTE_NS + _MINUTE_NS // 2
"""Five minutes, and thirty seconds for clocks that differ."""

_IMPLEMENTATION = "icfleet-localnet"


@dataclass(frozen=True, slots=True)
class Request:
    """An authenticated request, not yet answered."""

    route: Route
    subnet: Subnet
    envelope: Envelope
    targets: frozenset[Principal] | None
    """The canisters to which the sender's delegations are limited, if they are."""
    size: int
    """Bytes of the body."""

    @property
    def is_awaited(self) -> bool:
        """Whether an update's answer is waited for: from call v3 on."""
        return self.route.version != "v2"

    @property
    def call(self) -> CallContent | None:
        """The query or update, unless it is a ``read_state``."""
        content = self.envelope.content
        return content if isinstance(content, CallContent) else None


@dataclass(frozen=True, slots=True)
class Wait:
    """The answer comes with the round that finishes this request, or ``timeout`` is given."""

    subnet: Subnet
    request: RequestId
    layout: RangeLayout
    timeout: HttpResponse

    @classmethod
    def for_request(cls, request: Request, timeout: HttpResponse) -> Self:
        """Wait for the outcome of an update."""
        return cls(request.subnet, request.envelope.request_id, request.route.layout, timeout)


class HttpInterface:
    """Answers HTTP requests from the network's state.

    Args:
        network: Whom the requests are for.
        recorder: Told of each update that is accepted, before it is submitted.
    """

    def __init__(self, network: Network, recorder: Recorder | None = None) -> None:
        self.network = network
        self._recorder = recorder
        self._data_certificates: dict[Principal, tuple[int, dict[Principal, bytes]]] = {}
        """By subnet: the height of its state, and what was made of it."""

    def status(self) -> HttpResponse:
        """``GET /api/v2/status``."""
        return HttpResponse.cbor(
            {
                "impl_version": _IMPLEMENTATION,
                "replica_health_status": "healthy",
                "root_key": self.network.root_key_der,
                "certified_height": self.network.root.height,
                # Our own: near which ids new canisters can be asked for, one for each subnet. One
                # text, because icp-cli cannot print anything deeper.
                "icfleet_subnets": " ".join(
                    str(subnet.plan.first_canister) for subnet in self.network.applications
                ),
            }
        )

    def post(self, path: str, body: bytes, *, now_ns: int) -> HttpResponse | Wait:
        """Take a request in and answer it."""
        request = self.receive(path, body, now_ns=now_ns)
        return request if isinstance(request, HttpResponse) else self.answer(request)

    def receive(self, path: str, body: bytes, *, now_ns: int) -> Request | HttpResponse:
        """Parse a request and check who sent it, or say what is wrong with it."""
        route = parse_route(path)
        if isinstance(route, HttpResponse):
            return route
        subnet = self._subnet(route)
        if subnet is None:
            reason = f"canister_not_found: no {route.scope} {route.target} in this network"
            return HttpResponse.text(400, reason)
        try:
            envelope = decode_envelope(body)
        except DecodeError as error:
            return HttpResponse.text(400, f"Could not parse body as CBOR message: {error}")
        refusal = _check_expiry(envelope, now_ns)
        if refusal is not None:
            return refusal
        try:
            targets = authenticate(envelope, now_ns=now_ns)
        except AuthenticationError as error:
            # The replica says why, and no more; older ones said 403.
            return HttpResponse.text(400, str(error))
        return Request(route, subnet, envelope, targets, len(body))

    def answer(self, request: Request) -> HttpResponse | Wait:
        """Answer a request, or start what it asks for."""
        content = request.envelope.content
        match request.route.action, content:
            case "read_state", ReadStateContent():
                return self._read_state(request, content)
            case "query", CallContent():
                return self.query(request)[0]
            case "call", CallContent():
                return self.check_call(request) or self.submit_call(request)
            case _:
                return _wrong_type(request)

    def query(
        self, request: Request, *, node: int = 0, old: OldState | None = None
    ) -> tuple[HttpResponse, int]:
        """Answer a query.

        Args:
            request: What was asked.
            node: Which of the subnet's nodes answers.
            old: What that node knows, if it lags behind.

        Returns:
            The answer, and the instructions it took.
        """
        call = request.call
        if call is None or call.request_type != "query":
            return _wrong_type(request), 0
        mismatch = _check_effective(request.route, call)
        if mismatch is not None:
            return mismatch, 0
        subnet = request.subnet
        if old is None:
            certificate = self.data_certificate(subnet, call.canister)
            result, time_ns = subnet.query(call, data_certificate=certificate), subnet.time_ns
        else:
            certificate, time_ns = old.data_certificate, old.held.time_ns
            result = subnet.query(call, data_certificate=certificate, held=old.held)
        return self._sign_answer(request, result.answer, time_ns, node), result.instructions

    def data_certificate(self, subnet: Subnet, canister: Principal) -> bytes:
        """What a query hands out as proof of its canister's certified data, made once a round."""
        height, known = self._data_certificates.get(subnet.id) or (-1, dict[Principal, bytes]())
        if height != subnet.height:
            known = {}
            self._data_certificates[subnet.id] = subnet.height, known
        if canister in known:
            return known[canister]
        path: Path = (b"canister", canister.raw, b"certified_data")
        made = self.network.certificate(subnet, [path])
        if canister in subnet.canisters:
            known[canister] = made
        return made

    def refuse(self, request: Request, reject: Reject) -> HttpResponse:
        """Let one node reject a request without executing it."""
        if request.route.action == "query":
            return self._sign_answer(request, reject, request.subnet.time_ns)
        return _uncertified(reject, is_synchronous=request.is_awaited)

    def finished(self, wait: Wait) -> HttpResponse:
        """The answer to a call that has its final status."""
        certificate = self.network.certificate(
            wait.subnet, [(b"request_status", wait.request)], wait.layout
        )
        return HttpResponse.cbor({"status": "replied", "certificate": certificate})

    def _subnet(self, route: Route) -> Subnet | None:
        if route.scope == "subnet":
            return self.network.subnet_by_id(route.target)
        return self.network.subnet_of(route.target)

    def check_call(self, request: Request) -> HttpResponse | None:
        """Why one node refuses an update at once, if it does; nothing of it is certified."""
        call, subnet = request.call, request.subnet
        if call is None or call.request_type != "call":
            return _wrong_type(request)
        if request.size > _INGRESS_SIZE_MAX:
            return _too_large(request.size)
        mismatch = _check_effective(request.route, call)
        if mismatch is not None or request.envelope.request_id in subnet.history:
            return mismatch
        if subnet.is_halted:
            return HttpResponse.text(503, "The subnet is halted: it takes no messages now.")
        reject = subnet.check_ingress(call)
        return None if reject is None else _uncertified(reject, is_synchronous=request.is_awaited)

    def submit_call(self, request: Request) -> HttpResponse | Wait:
        """Hand an update that was checked to its subnet; a repeated one is not executed again."""
        call, subnet, name = request.call, request.subnet, request.envelope.request_id
        assert call is not None, "the request was checked"
        accepted = HttpResponse(202, b"")
        wait = Wait.for_request(request, accepted)
        if name not in subnet.history:
            if self._recorder is not None:
                self._recorder.submitted(subnet, call, name)
            subnet.submit(call, name)
        elif request.is_awaited and subnet.history.is_terminal(name):
            return self.finished(wait)
        return wait if request.is_awaited else accepted

    def _sign_answer(
        self, request: Request, answer: Answer, time_ns: int, node: int = 0
    ) -> HttpResponse:
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
        message = query_response_message(
            fields, timestamp_ns=time_ns, request=request.envelope.request_id
        )
        identity, signature = request.subnet.certifier.sign_as_node(message, node)
        signed = {"timestamp": time_ns, "signature": signature, "identity": identity.raw}
        return HttpResponse.cbor({**fields, "signatures": [signed]})

    def _read_state(self, request: Request, content: ReadStateContent) -> HttpResponse:
        reader = Reader(content.sender, request.targets)
        refusal = check_paths(request.route, request.subnet, reader, content.paths)
        if refusal is not None:
            return refusal
        certificate = self.network.certificate(request.subnet, content.paths, request.route.layout)
        return HttpResponse.cbor({"certificate": certificate})


def _wrong_type(request: Request) -> HttpResponse:
    action = request.route.action
    return HttpResponse.text(400, f"a request for /{action} has another request_type")


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


def _check_effective(route: Route, call: CallContent) -> HttpResponse | None:
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
