"""A replica in one object: real envelopes, hash trees and signatures; its canister echoes.

It answers honestly unless a step of its script, or a broken part, says otherwise. It does no I/O:
``replica_server.serve`` puts it behind a real HTTP server, ``MemoryTransport`` calls it directly.
"""

import asyncio
import time
from collections import defaultdict, deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import Enum, auto
from typing import cast

from certified_state import State, certify, delegate

from icfleet_agent.transport import HttpReply
from icfleet_protocol.bls import BlsSecretKey
from icfleet_protocol.cbor import decode_map, encode_tagged
from icfleet_protocol.envelope import CallContent, Envelope, authenticate, decode_envelope
from icfleet_protocol.errors import ProtocolError
from icfleet_protocol.identity import Ed25519Identity
from icfleet_protocol.leb128 import encode_uleb128
from icfleet_protocol.principal import Principal
from icfleet_protocol.query_signature import query_response_message
from icfleet_protocol.request_id import HashableValue, RequestId

ECHO = Principal.from_text("bkyz2-fmaaa-aaaaa-qaaaq-cai")
ROOT_KEY = BlsSecretKey(b"root")
SUBNET_KEY = BlsSecretKey(b"subnet")
STRANGER_KEY = BlsSecretKey(b"stranger")
NODE = Ed25519Identity.from_seed(b"node".ljust(32))
OTHER_NODE = Ed25519Identity.from_seed(b"other node".ljust(32))
DID = "service : { echo : (text) -> (text); echo_query : (text) -> (text) query }"


class Fault(Enum):
    """Something worse than a bad answer."""

    DROP = auto()
    """The connection breaks before an answer."""
    HANG = auto()
    """No answer comes."""
    TRICKLE = auto()
    """An answer comes, one byte at a time, and never ends."""
    ENDLESS = auto()
    """An answer comes quickly, and never ends."""
    CUT = auto()
    """The connection breaks within the answer."""
    PIECES = auto()
    """A good answer comes in pieces, without its length."""


@dataclass(frozen=True)
class Exchange:
    """A request as it arrived."""

    endpoint: str
    version: str
    canister: str
    body: bytes

    @property
    def envelope(self) -> Envelope:
        return decode_envelope(self.body)

    @property
    def request_id(self) -> RequestId:
        return self.envelope.request_id


Step = Callable[["TinyReplica", Exchange], "HttpReply | Fault"]


def honest(replica: "TinyReplica", exchange: Exchange) -> HttpReply:
    """The step that changes nothing."""
    return replica.answer_honestly(exchange)


def refuse(status: int, text: str = "", retry_after_s: float | None = None) -> Step:
    return lambda _replica, _exchange: HttpReply(status, text.encode(), retry_after_s)


def fail(fault: Fault) -> Step:
    return lambda _replica, _exchange: fault


def hang(has_arrived: asyncio.Event) -> Step:
    """Tell that the request is here, and never answer."""

    def step(_replica: "TinyReplica", _exchange: Exchange) -> Fault:
        has_arrived.set()
        return Fault.HANG

    return step


def take_and_fail(fault: Fault) -> Step:
    """Do the work, and let the answer be lost."""

    def step(replica: "TinyReplica", exchange: Exchange) -> Fault:
        replica.answer_honestly(exchange)
        return fault

    return step


def tamper(change: Callable[[dict[str, object]], None]) -> Step:
    """Answer honestly, then change the answer's fields."""

    def step(replica: "TinyReplica", exchange: Exchange) -> HttpReply:
        reply = replica.answer_honestly(exchange)
        fields = dict(decode_map(reply.body, size_max=1 << 24))
        change(fields)
        return HttpReply(reply.status, encode_tagged(fields))

    return step


def flip_certificate(fields: dict[str, object], index: int = -100) -> None:
    raw = bytearray(cast("bytes", fields["certificate"]))
    raw[index] ^= 1
    fields["certificate"] = bytes(raw)


@dataclass
class TinyReplica:
    """One node that is a whole network.

    Attributes:
        now_ns: The network's clock.
        is_delegated: Whether a subnet of its own signs, with the root's delegation.
        certificate_key: What signs, if not what should.
        node: Who signs queries' answers, if not the one whose key is certified.
        serves: Endpoint versions it knows.
        polls_until_done: Polls that an update takes when it is not answered at once.
        script: What to do instead of answering honestly, by endpoint, first step first.
    """

    now_ns: Callable[[], int] = time.time_ns
    is_delegated: bool = False
    certificate_key: BlsSecretKey | None = None
    delegation_key: BlsSecretKey = ROOT_KEY
    hosted: tuple[tuple[bytes, bytes], ...] = ((ECHO.raw, ECHO.raw),)
    certificate_age_ns: int = 0
    node: Ed25519Identity = NODE
    certified_node: Ed25519Identity = NODE
    query_age_ns: int = 0
    answers_at_once: bool = True
    polls_until_done: int = 2
    serves: frozenset[str] = frozenset(
        {"v4/call", "v3/call", "v2/call", "v3/query", "v2/query", "v3/read_state", "v2/read_state"}
    )
    script: dict[str, deque[Step]] = field(default_factory=lambda: defaultdict(deque[Step]))
    exchanges: list[Exchange] = field(default_factory=list[Exchange])
    status_requests: int = 0
    executions: list[RequestId] = field(default_factory=list[RequestId])
    outcomes: dict[RequestId, dict[bytes, State]] = field(
        default_factory=dict[RequestId, dict[bytes, State]]
    )
    did: bytes = DID.encode()
    polls_left: dict[RequestId, int] = field(default_factory=dict[RequestId, int])

    @property
    def root_key(self) -> bytes:
        return ROOT_KEY.public_key_der

    @property
    def subnet_key(self) -> BlsSecretKey:
        return SUBNET_KEY if self.is_delegated else ROOT_KEY

    @property
    def subnet(self) -> Principal:
        return Principal.self_authenticating(self.subnet_key.public_key_der)

    def count(self, endpoint: str) -> int:
        return sum(exchange.endpoint == endpoint for exchange in self.exchanges)

    def plan(self, endpoint: str, *steps: Step) -> None:
        self.script[endpoint].extend(steps)

    def answer(self, method: str, path: str, body: bytes) -> HttpReply | Fault:
        """Answer one HTTP request."""
        if (method, path) == ("GET", "/api/v2/status"):
            self.status_requests += 1
            steps = self.script["status"]
            exchange = Exchange("status", "v2", "", body)
            return steps.popleft()(self, exchange) if steps else self.tell_status()
        _, _, version, _, canister, endpoint = path.split("/")
        exchange = Exchange(endpoint, version, canister, body)
        self.exchanges.append(exchange)
        if f"{version}/{endpoint}" not in self.serves:
            return HttpReply(404, b"unknown route")
        steps = self.script[endpoint]
        return steps.popleft()(self, exchange) if steps else self.answer_honestly(exchange)

    def tell_status(self) -> HttpReply:
        fields = {
            "root_key": self.root_key,
            "replica_health_status": "healthy",
            "impl_version": "0.0.1",
            "certified_height": 7,
        }
        return HttpReply(200, encode_tagged(fields))

    def answer_honestly(self, exchange: Exchange) -> HttpReply:
        try:
            envelope = exchange.envelope
            authenticate(envelope, now_ns=self.now_ns())
        except ProtocolError as error:
            return HttpReply(400, str(error).encode())
        if envelope.content.ingress_expiry_ns < self.now_ns():
            return HttpReply(400, b"Invalid request expiry: Specified ingress_expiry is too early")
        if exchange.endpoint == "query":
            return self._answer_query(envelope)
        if exchange.endpoint == "call":
            return self._answer_call(exchange.version, envelope)
        self._pass_time(envelope)
        return HttpReply(200, encode_tagged({"certificate": self.certify(self._whole_state())}))

    def certify(self, state: Mapping[bytes, State]) -> bytes:
        """Sign a state as of now."""
        now_ns = self.now_ns() - self.certificate_age_ns
        delegation = None
        if self.is_delegated:
            delegation = delegate(
                self.delegation_key, SUBNET_KEY.public_key_der, time_ns=now_ns, ranges=self.hosted
            )
        timed: dict[bytes, State] = {b"time": encode_uleb128(now_ns), **state}
        return certify(timed, self.certificate_key or self.subnet_key, delegation=delegation)

    def execute(self, envelope: Envelope) -> None:
        """Run a call, once."""
        content = cast("CallContent", envelope.content)
        if envelope.request_id in self.outcomes:
            return
        self.executions.append(envelope.request_id)
        if content.method == "trap":
            outcome: dict[bytes, State] = {
                b"status": b"rejected",
                b"reject_code": encode_uleb128(5),
                b"reject_message": b"it trapped",
                b"error_code": b"IC0503",
            }
        else:
            outcome = {b"status": b"replied", b"reply": content.arg}
        self.outcomes[envelope.request_id] = outcome

    def status_state(self, request: RequestId) -> dict[bytes, State]:
        return {b"request_status": {request: self.outcomes[request]}}

    def _answer_call(self, version: str, envelope: Envelope) -> HttpReply:
        content = cast("CallContent", envelope.content)
        if content.method == "refuse":
            fields: dict[str, object] = {
                "reject_code": 3,
                "reject_message": f"Canister {content.canister} not found",
                "error_code": "IC0301",
            }
            if version != "v2":
                fields["status"] = "non_replicated_rejection"
            return HttpReply(200, encode_tagged(fields))
        request = envelope.request_id
        if version == "v2" or not self.answers_at_once:
            if request not in self.outcomes:
                self.execute(envelope)
                self.polls_left[request] = self.polls_until_done
            return HttpReply(202, b"")
        self.execute(envelope)
        certificate = self.certify(self.status_state(request))
        return HttpReply(200, encode_tagged({"status": "replied", "certificate": certificate}))

    def _answer_query(self, envelope: Envelope) -> HttpReply:
        content = cast("CallContent", envelope.content)
        response: dict[str, HashableValue]
        if content.method == "trap":
            response = {
                "status": "rejected",
                "reject_code": 5,
                "reject_message": "it trapped",
                "error_code": "IC0503",
            }
        else:
            response = {"status": "replied", "reply": {"arg": content.arg}}
        timestamp_ns = self.now_ns() - self.query_age_ns
        message = query_response_message(
            response, timestamp_ns=timestamp_ns, request=envelope.request_id
        )
        signature = {
            "timestamp": timestamp_ns,
            "signature": self.node.sign(message),
            "identity": self.node.sender.raw,
        }
        return HttpReply(200, encode_tagged({**response, "signatures": [signature]}))

    def _pass_time(self, envelope: Envelope) -> None:
        for path in getattr(envelope.content, "paths", ()):
            request = RequestId(path[-1])
            if self.polls_left.get(request, 0) > 0:
                self.polls_left[request] -= 1

    def _whole_state(self) -> dict[bytes, State]:
        statuses: dict[bytes, State] = {}
        for request, outcome in self.outcomes.items():
            is_open = self.polls_left.get(request, 0) > 0
            statuses[request] = {b"status": b"processing"} if is_open else outcome
        node = {self.certified_node.sender.raw: {b"public_key": self.certified_node.public_key_der}}
        about: dict[bytes, State] = {
            b"public_key": self.subnet_key.public_key_der,
            b"type": b"application",
            b"node": node,
        }
        return {
            b"subnet": {self.subnet.raw: about},
            b"request_status": statuses,
            b"canister": {ECHO.raw: {b"metadata": {b"candid:service": self.did}}},
        }
