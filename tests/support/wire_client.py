"""A client of the HTTP interface that shows all it gets and can send anything.

Requests are encoded by the project's protocol package; certificates are always verified.
"""

import itertools
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal, cast

import httpx
from signing_keys import USER, Fields, Signer

from icfleet_protocol.candid import ServiceInterface, parse_did
from icfleet_protocol.cbor import decode_map, encode_tagged
from icfleet_protocol.certificate import Certificate, Freshness, verify_certificate
from icfleet_protocol.principal import MANAGEMENT_CANISTER, Principal
from icfleet_protocol.request_id import HashableValue, RequestId, request_id

NO_ARGS = b"DIDL\x00\x00"
FIRST_CANISTER = Principal.from_text("rwlgt-iiaaa-aaaaa-aaaaa-cai")
"""Where dfx addresses the creation of canisters: some subnet always has this id."""

CREATE = "provisional_create_canister_with_cycles"
_POLL_S = 0.02
_ANSWER_S = 20
_REPLY_SIZE_MAX = 10**7

Kind = Literal["call", "query", "read_state"]
Path = Sequence[bytes]

MANAGEMENT = parse_did("""
type settings = record {
  controllers : opt vec principal;
  compute_allocation : opt nat;
  memory_allocation : opt nat;
  freezing_threshold : opt nat;
};
service : {
  provisional_create_canister_with_cycles : (record {
    amount : opt nat; settings : opt settings; specified_id : opt principal;
  }) -> (record { canister_id : principal });
  install_code : (record {
    mode : variant { install; reinstall; upgrade };
    canister_id : principal; wasm_module : blob; arg : blob;
  }) -> ();
  update_settings : (record { canister_id : principal; settings : settings }) -> ();
  start_canister : (record { canister_id : principal }) -> ();
  stop_canister : (record { canister_id : principal }) -> ();
  uninstall_code : (record { canister_id : principal }) -> ();
  delete_canister : (record { canister_id : principal }) -> ();
  canister_status : (record { canister_id : principal }) -> (record {
    status : variant { running; stopping; stopped };
    settings : record {
      controllers : vec principal;
      compute_allocation : nat;
      memory_allocation : nat;
      freezing_threshold : nat;
    };
    module_hash : opt blob;
    cycles : nat;
  });
}
""")


class RejectionError(Exception):
    """A call was rejected: by one node before it was accepted, or in a certificate."""

    def __init__(self, code: int, message: str, error_code: str, *, is_certified: bool) -> None:
        super().__init__(f"{error_code} ({code}): {message}")
        # Whatever the rejection: the first digit of its error code is its reject code.
        assert error_code[:4] == f"IC0{code}", (code, error_code, message)
        self.code, self.message, self.error_code = code, message, error_code
        self.is_certified = is_certified


@dataclass(frozen=True)
class Submitted:
    """A request that is on its way."""

    wire: "Wire"
    effective: Principal
    id: RequestId

    def status(self) -> str | None:
        """What the network certifies of it; ``None`` if it knows no such request."""
        path = (b"request_status", self.id, b"status")
        value = self.wire.certificate(self.effective, path).value(*path)
        return None if value is None else value.decode()

    def reply(self) -> bytes:
        """Wait for its reply.

        Raises:
            RejectionError: If it is rejected.
        """
        give_up_s = time.monotonic() + _ANSWER_S
        while time.monotonic() < give_up_s:
            certificate = self.wire.certificate(self.effective, (b"request_status", self.id))
            status = certificate.value(b"request_status", self.id, b"status")
            if status in (b"replied", b"rejected"):
                return _read_reply(certificate, self.id)
            time.sleep(_POLL_S)
        reason = f"no answer within {_ANSWER_S} s"
        raise AssertionError(reason)


@dataclass(frozen=True)
class Wire:
    """One user's view of a network."""

    http: httpx.Client
    root_key_der: bytes
    signer: Signer = USER
    nonces: Iterator[int] = field(default_factory=lambda: itertools.count(time.time_ns()))

    def signed_by(self, signer: Signer) -> "Wire":
        """The same network, seen by somebody else."""
        return replace(self, signer=signer)

    def content(self, kind: Kind, *, without: str = "", **fields: HashableValue) -> Fields:
        """A request's fields, with whatever every request has."""
        common: Fields = {
            "request_type": kind,
            "sender": self.signer.sender.raw,
            "ingress_expiry": time.time_ns() + 4 * 60 * 10**9,
            "nonce": next(self.nonces).to_bytes(8, "big"),
        }
        return {name: value for name, value in {**common, **fields}.items() if name != without}

    def call_content(
        self, canister: Principal, method: str, arg: bytes = NO_ARGS, kind: Kind = "call"
    ) -> Fields:
        """The fields of a call or query."""
        return self.content(kind, canister_id=canister.raw, method_name=method, arg=arg)

    def post(self, path: str, envelope: object) -> httpx.Response:
        """Send any CBOR."""
        body = encode_tagged(envelope)
        return self.http.post(path, content=body, headers={"content-type": "application/cbor"})

    def send(
        self, effective: Principal, content: Fields, *, to: Kind | None = None, version: str = "v2"
    ) -> httpx.Response:
        """Sign a content and send it to the endpoint for it, or to another one."""
        endpoint = content["request_type"] if to is None else to
        path = f"/api/{version}/canister/{effective}/{endpoint}"
        return self.post(path, self.signer.envelope(content))

    def submit(
        self, canister: Principal, method: str, arg: bytes = NO_ARGS, effective: Any = None
    ) -> Submitted:
        """Send an update and do not wait.

        Raises:
            RejectionError: If one node refuses it.
        """
        content = self.call_content(canister, method, arg)
        target = canister if effective is None else effective
        response = self.send(target, content)
        if response.status_code == 200:
            raise _rejection(_decode(response))
        assert (response.status_code, response.content) == (202, b""), response.content
        return Submitted(self, target, request_id(content))

    def update(
        self, canister: Principal, method: str, arg: bytes = NO_ARGS, effective: Any = None
    ) -> bytes:
        """Call synchronously, wait for the certificate and read it.

        Raises:
            RejectionError: If the call is rejected.
        """
        content = self.call_content(canister, method, arg)
        target = canister if effective is None else effective
        response = self.send(target, content, version="v4")
        if response.status_code == 202:
            return Submitted(self, target, request_id(content)).reply()
        fields = _decode(response)
        if fields["status"] == "non_replicated_rejection":
            raise _rejection(fields)
        return _read_reply(self.verify(fields["certificate"], target), request_id(content))

    def query(self, canister: Principal, method: str, arg: bytes = NO_ARGS) -> bytes:
        """Query.

        Raises:
            RejectionError: If the query is rejected.
        """
        content = self.call_content(canister, method, arg, "query")
        return read_query_reply(self.send(canister, content, version="v3"))

    def read_state(self, effective: Principal, *paths: Path, version: str = "v2") -> httpx.Response:
        """Ask for parts of the state."""
        content = self.content("read_state", paths=[list(path) for path in paths])
        return self.send(effective, content, version=version)

    def certificate(self, effective: Principal, *paths: Path) -> Certificate:
        """Parts of the state, verified."""
        response = self.read_state(effective, *paths, version="v3")
        return self.verify(_decode(response)["certificate"], effective)

    def verify(self, raw: bytes, canister: Principal) -> Certificate:
        """Check a certificate as of now."""
        return verify_certificate(
            raw,
            root_key_der=self.root_key_der,
            canister=canister,
            now_ns=time.time_ns(),
            freshness=Freshness(),
        )

    def manage(self, method: str, canister: Principal, **fields: object) -> Any:
        """Call the management canister about a canister."""
        arg = MANAGEMENT.encode_args(method, [{"canister_id": canister, **fields}])
        reply = self.update(MANAGEMENT_CANISTER, method, arg, effective=canister)
        results = MANAGEMENT.decode_results(method, reply)
        return results[0] if results else None

    def submit_management(self, method: str, canister: Principal) -> Submitted:
        """Call the management canister about a canister and do not wait."""
        arg = MANAGEMENT.encode_args(method, [{"canister_id": canister}])
        return self.submit(MANAGEMENT_CANISTER, method, arg, effective=canister)

    def create(
        self,
        *,
        settings: Mapping[str, object] | None = None,
        specified_id: Principal | None = None,
    ) -> Principal:
        """Make a canister."""
        fields = {"amount": None, "settings": full_settings(settings), "specified_id": specified_id}
        arg = MANAGEMENT.encode_args(CREATE, [fields])
        reply = self.update(MANAGEMENT_CANISTER, CREATE, arg, effective=FIRST_CANISTER)
        return created_canister(reply)

    def install(
        self, canister: Principal, wasm: bytes, *, mode: str = "install", arg: bytes = NO_ARGS
    ) -> None:
        """Put code into a canister."""
        self.manage("install_code", canister, mode={mode: None}, wasm_module=wasm, arg=arg)


def created_canister(reply: bytes) -> Principal:
    """The id in the reply to the creation of a canister."""
    created = cast("Mapping[str, Principal]", MANAGEMENT.decode_results(CREATE, reply)[0])
    return created["canister_id"]


def full_settings(given: Mapping[str, object] | None) -> dict[str, object] | None:
    """Settings with ``null`` for those not given."""
    names = ("controllers", "compute_allocation", "memory_allocation", "freezing_threshold")
    return None if given is None else {**dict.fromkeys(names), **given}


@dataclass(frozen=True)
class Built:
    """A module and its interface."""

    wasm: bytes
    interface: ServiceInterface


@dataclass(frozen=True)
class Deployed:
    """A canister with its interface, to call by values."""

    wire: Wire
    id: Principal
    interface: ServiceInterface

    def signed_by(self, signer: Signer) -> "Deployed":
        """The same canister, called by somebody else."""
        return replace(self, wire=self.wire.signed_by(signer))

    def update(self, method: str, *args: object) -> Any:
        """Call and decode."""
        return self._decoded(method, self.wire.update(self.id, method, self.encode(method, *args)))

    def submit(self, method: str, *args: object) -> Submitted:
        """Call and do not wait."""
        return self.wire.submit(self.id, method, self.encode(method, *args))

    def query(self, method: str, *args: object) -> Any:
        """Query and decode."""
        return self._decoded(method, self.wire.query(self.id, method, self.encode(method, *args)))

    def encode(self, method: str, *args: object) -> bytes:
        """A method's arguments."""
        return self.interface.encode_args(method, args)

    def _decoded(self, method: str, reply: bytes) -> Any:
        results = self.interface.decode_results(method, reply)
        return results[0] if results else None


def read_query_reply(response: httpx.Response) -> bytes:
    """What a query answered.

    Raises:
        RejectionError: If it was rejected.
    """
    fields = _decode(response)
    assert len(fields["signatures"]) == 1
    if fields["status"] == "rejected":
        raise _rejection(fields)
    reply: bytes = fields["reply"]["arg"]
    return reply


def _decode(response: httpx.Response) -> Mapping[str, Any]:
    assert response.status_code == 200, (response.status_code, response.text)
    return decode_map(response.content, size_max=_REPLY_SIZE_MAX)


def _rejection(fields: Mapping[str, Any]) -> RejectionError:
    return RejectionError(
        fields["reject_code"], fields["reject_message"], fields["error_code"], is_certified=False
    )


def _read_reply(certificate: Certificate, request: RequestId) -> bytes:
    path = (b"request_status", request)
    status = certificate.value(*path, b"status")
    if status == b"rejected":
        code, message, error_code = (
            certificate.value(*path, label) or b""
            for label in (b"reject_code", b"reject_message", b"error_code")
        )
        raise RejectionError(code[0], message.decode(), error_code.decode(), is_certified=True)
    assert status == b"replied", status
    reply = certificate.value(*path, b"reply")
    assert reply is not None
    return reply
