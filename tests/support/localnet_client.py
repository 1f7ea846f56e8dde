"""A subnet in virtual time, reached through the real HTTP interface without a socket."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, cast

from icfleet_localnet.http_interface import HttpInterface, Wait
from icfleet_localnet.http_response import HttpResponse
from icfleet_localnet.management import MANAGEMENT_INTERFACE
from icfleet_localnet.network import Network
from icfleet_localnet.subnet import Subnet
from icfleet_protocol.candid import ServiceInterface
from icfleet_protocol.cbor import decode_map
from icfleet_protocol.certificate import Certificate, Freshness, verify_certificate
from icfleet_protocol.envelope import CallContent, ReadStateContent, SignedRequest, sign_request
from icfleet_protocol.identity import Ed25519Identity, Identity
from icfleet_protocol.principal import MANAGEMENT_CANISTER, Principal

NO_ARGS = b"DIDL\x00\x00"
MINUTE_NS = 60 * 1_000_000_000
START_NS = 1_700_000_000 * 1_000_000_000
ANY_CANISTER = Principal(bytes.fromhex("80000000001000010101"))

COUNTER = """
from kybra import Principal, ic, init, nat64, query, text, update, void

state = {"count": 0}


@init
def start() -> void:
    ic.print("started")


@update
def increment(by: nat64) -> nat64:
    state["count"] = state["count"] + by
    return state["count"]


@update
def fail(after: text) -> void:
    state["count"] = 1_000_000
    ic.trap("no " + after)


@query
def read() -> nat64:
    state["count"] = state["count"] + 1
    return state["count"]


@query
def who() -> Principal:
    return ic.caller()
"""


class RejectedError(Exception):
    """A canister's call was rejected, certified or not."""

    def __init__(self, code: int, message: str, error_code: str, *, certified: bool) -> None:
        super().__init__(f"{error_code} {message}")
        self.code, self.message, self.error_code = code, message, error_code
        self.certified = certified


@dataclass
class Client:
    """Speaks HTTP bodies to the interface as a real client would, and verifies what comes back."""

    interface: HttpInterface
    network: Network
    identity: Identity = field(default_factory=lambda: Ed25519Identity.from_seed(b"\x01" * 32))
    now_ns: int = START_NS
    nonce: int = 0

    @property
    def subnet(self) -> Subnet:
        """The first subnet for canisters."""
        return self.network.applications[0]

    def sign(
        self,
        canister: Principal,
        method: str,
        arg: bytes,
        kind: Literal["call", "query"] = "call",
        **changes: Any,
    ) -> SignedRequest:
        self.nonce += 1
        fields: dict[str, Any] = {
            "request_type": kind,
            "sender": self.identity.sender,
            "ingress_expiry_ns": self.now_ns + 4 * MINUTE_NS,
            "canister": canister,
            "method": method,
            "arg": arg,
            "nonce": self.nonce.to_bytes(8, "big"),
        }
        return sign_request(CallContent(**{**fields, **changes}), self.identity)

    def post(self, path: str, body: bytes) -> HttpResponse:
        """Send a body, and run rounds until the answer is there."""
        answer = self.interface.post(path, body, now_ns=self.now_ns)
        if isinstance(answer, HttpResponse):
            return answer
        self.run_rounds()
        assert answer.subnet.history.is_terminal(answer.request)
        return self.interface.finished(answer)

    def submit(self, canister: Principal, method: str, arg: bytes) -> HttpResponse | Wait:
        """Send an update without running a round."""
        body = self.sign(canister, method, arg).body
        return self.interface.post(f"/api/v4/canister/{canister}/call", body, now_ns=self.now_ns)

    def run_rounds(self) -> None:
        self.now_ns += 1_000_000
        self.network.run_round(self.now_ns)
        for _ in range(100):
            if not self.network.has_work:
                return
            self.network.run_round(self.now_ns)
        reason = "the subnet never comes to rest"
        raise AssertionError(reason)

    def advance(self, by_ns: int) -> None:
        """Let virtual time pass, with all the rounds that it brings."""
        self.now_ns += by_ns
        self.network.advance(self.now_ns)

    def update(
        self,
        canister: Principal,
        method: str,
        arg: bytes = NO_ARGS,
        *,
        effective: Principal | None = None,
        version: str = "v4",
    ) -> bytes:
        request = self.sign(canister, method, arg)
        target = canister if effective is None else effective
        response = self.post(f"/api/{version}/canister/{target}/call", request.body)
        assert response.status == 200, (response.status, response.body)
        fields = decode_map(response.body, size_max=10**7)
        if fields["status"] == "non_replicated_rejection":
            raise _rejection(fields, certified=False)
        certificate = self.verify(cast("bytes", fields["certificate"]))
        return _read_reply(certificate, request.request_id)

    def query(self, canister: Principal, method: str, arg: bytes = NO_ARGS) -> bytes:
        request = self.sign(canister, method, arg, kind="query")
        response = self.post(f"/api/v3/canister/{canister}/query", request.body)
        assert response.status == 200, (response.status, response.body)
        fields = decode_map(response.body, size_max=10**7)
        if fields["status"] == "rejected":
            raise _rejection(fields, certified=False)
        return cast("bytes", fields["reply"]["arg"])

    def read_state(
        self, canister: Principal, *paths: tuple[bytes, ...], version: str = "v3"
    ) -> HttpResponse:
        content = ReadStateContent(
            sender=self.identity.sender,
            ingress_expiry_ns=self.now_ns + 4 * MINUTE_NS,
            paths=paths,
        )
        body = sign_request(content, self.identity).body
        return self.post(f"/api/{version}/canister/{canister}/read_state", body)

    def certified(self, canister: Principal, *path: bytes) -> bytes | None:
        response = self.read_state(canister, path)
        assert response.status == 200, response.body
        raw = decode_map(response.body, size_max=10**7)["certificate"]
        return self.verify(cast("bytes", raw)).value(*path)

    def verify(self, raw: bytes) -> Certificate:
        return verify_certificate(
            raw,
            root_key_der=self.network.root_key_der,
            canister=None,
            now_ns=self.now_ns,
            freshness=Freshness(),
        )

    def manage(
        self, method: str, fields: Mapping[str, object], *, near: Principal = ANY_CANISTER
    ) -> Any:
        """Call the management canister; ``near`` chooses the subnet of a new canister."""
        target = cast("Principal", fields.get("canister_id", near))
        arg = MANAGEMENT_INTERFACE.encode_args(method, [fields])
        reply = self.update(MANAGEMENT_CANISTER, method, arg, effective=target)
        results = MANAGEMENT_INTERFACE.decode_results(method, reply)
        return results[0] if results else None

    def create(self, *, near: Principal = ANY_CANISTER) -> Principal:
        empty = {"amount": None, "settings": None, "specified_id": None}
        created = self.manage(
            "provisional_create_canister_with_cycles",
            {**empty, "sender_canister_version": None},
            near=near,
        )
        return cast("Principal", created["canister_id"])

    def install(
        self, canister: Principal, wasm: bytes, *, mode: str = "install", arg: bytes = NO_ARGS
    ) -> None:
        self.manage(
            "install_code",
            {
                "mode": {mode: None},
                "canister_id": canister,
                "wasm_module": wasm,
                "arg": arg,
                "sender_canister_version": None,
            },
        )


def _rejection(fields: Mapping[str, Any], *, certified: bool) -> RejectedError:
    return RejectedError(
        fields["reject_code"],
        fields["reject_message"],
        fields["error_code"],
        certified=certified,
    )


def _read_reply(certificate: Certificate, request: bytes) -> bytes:
    path = (b"request_status", request)
    if certificate.value(*path, b"status") == b"rejected":
        code = certificate.value(*path, b"reject_code") or b""
        message = certificate.value(*path, b"reject_message") or b""
        error_code = certificate.value(*path, b"error_code") or b""
        raise RejectedError(code[0], message.decode(), error_code.decode(), certified=True)
    reply = certificate.value(*path, b"reply")
    assert reply is not None
    return reply


@dataclass(frozen=True)
class Built:
    """A module and its interface."""

    wasm: bytes
    interface: ServiceInterface


@dataclass
class Deployed:
    """A canister with its interface, to call by values."""

    client: Client
    id: Principal
    interface: ServiceInterface

    def update(self, method: str, *args: object) -> Any:
        reply = self.client.update(self.id, method, self.interface.encode_args(method, args))
        results = self.interface.decode_results(method, reply)
        return results[0] if results else None

    def query(self, method: str, *args: object) -> Any:
        reply = self.client.query(self.id, method, self.interface.encode_args(method, args))
        return self.interface.decode_results(method, reply)[0]
