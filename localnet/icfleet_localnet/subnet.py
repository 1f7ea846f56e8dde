"""One subnet: canisters, rounds, and a state that is signed once a round.

Everything here is computed from what is passed in: messages, time and a seed.

Source: IC interface specification, "Abstract behavior" and "Certification"; dfinity/ic for the
order of things within a round.
"""

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from icfleet_localnet.call_context import Answer, FromUser, QueuedCall, QueuedTimer
from icfleet_localnet.canister import Canister
from icfleet_localnet.execution import (
    Execution,
    available_instance,
    execute_safely,
    outcome_answer,
    record_log,
)
from icfleet_localnet.executor import Environment, Executor, Inspect, Query
from icfleet_localnet.ingress import IngressHistory, Processing
from icfleet_localnet.management import Management
from icfleet_localnet.rejects import (
    CANISTER_REJECT,
    Reject,
    canister_trapped,
    composite_query_refused,
    did_not_reply,
    inspect_refused,
    method_not_found,
    no_such_management_method,
)
from icfleet_localnet.state_tree import EMPTY_FOREST, Forest, Value, forest_of, witness
from icfleet_protocol.bls import BlsSecretKey
from icfleet_protocol.cbor import encode_tagged
from icfleet_protocol.domain import STATE_ROOT
from icfleet_protocol.envelope import CallContent
from icfleet_protocol.hash_tree import to_cbor
from icfleet_protocol.identity import Ed25519Identity
from icfleet_protocol.leb128 import encode_uleb128
from icfleet_protocol.principal import MANAGEMENT_CANISTER, Principal
from icfleet_protocol.request_id import RequestId

__all__ = ["CANISTER_RANGE", "RoundReport", "Subnet"]

CANISTER_RANGE = (bytes.fromhex("00000000000000000101"), bytes.fromhex("ffffffffffffffff0101"))
"""Every opaque canister id: the one subnet hosts them all."""

_CANISTER_SUFFIX = b"\x01\x01"
_FIRST_CANISTER = 0x8000000000100001
"""``bkyz2-fmaaa-aaaaa-qaaaq-cai``, where local networks have always begun."""

_MESSAGES_PER_ROUND_MAX = 500
"""Bounds how long one round holds up queries and the certification of what is done."""


@dataclass(frozen=True, slots=True)
class RoundReport:
    """What a round brought about."""

    height: int
    time_ns: int
    answered: tuple[RequestId, ...]
    """Requests that got their final answer."""


@dataclass(frozen=True, slots=True)
class _CertifiedState:
    tree: Forest
    signature: bytes


class Subnet:
    """A subnet with one node, which is also the root subnet of its network."""

    def __init__(self, executor: Executor, *, seed: bytes, now_ns: int) -> None:
        self._key = BlsSecretKey(hashlib.sha256(b"subnet key" + seed).digest())
        self._node = Ed25519Identity.from_seed(hashlib.sha256(b"node key" + seed).digest())
        self.public_key_der = self._key.public_key_der
        self.id = Principal.self_authenticating(self.public_key_der)
        self.canisters: dict[Principal, Canister] = {}
        self.history = IngressHistory()
        self.height = 0
        self.time_ns = now_ns
        self._next_canister = _FIRST_CANISTER
        self._answered: list[RequestId] = []
        self._changed: set[Principal] = set()
        self._canister_forest = EMPTY_FOREST
        self._execution = Execution(
            self.canisters,
            manage=self._manage,
            on_progress=self._on_progress,
            on_change=self._changed.add,
        )
        self._management = Management(
            self.canisters,
            executor,
            allocate=self._allocate,
            answer=self._execution.answer,
            on_change=self._changed.add,
        )
        self._fixed = self._fixed_state()
        self._state = self._certify()
        self._data_certificates: dict[Principal, bytes] = {}

    @property
    def has_work(self) -> bool:
        """Whether a round would execute something that already waits."""
        return self._execution.queue_length > 0

    @property
    def next_timer_ns(self) -> int | None:
        """When the next canister timer is due."""
        return min(
            (
                canister.next_timer_ns
                for canister in self.canisters.values()
                if canister.next_timer_ns is not None and canister.status == "running"
            ),
            default=None,
        )

    def check_ingress(self, call: CallContent) -> Reject | None:
        """Why one node would refuse an ingress message before it reaches consensus, if it would."""
        if call.canister == MANAGEMENT_CANISTER:
            return self._management.check(call.sender, call.method, call.arg)
        instance = available_instance(self.canisters, call.canister)
        if isinstance(instance, Reject):
            return instance
        if instance.interface.inspect_message is None:
            return None
        canister = self.canisters[call.canister]
        environment = self._environment(canister, call.sender)
        outcome = execute_safely(instance, Inspect(call.method, call.arg), environment)
        record_log(canister, outcome, self.time_ns)
        if outcome.trap is not None:
            return canister_trapped(canister.id, outcome.trap)
        return None if outcome.is_accepted else inspect_refused(canister.id, call.method)

    def submit(self, call: CallContent, request: RequestId) -> None:
        """Accept an ingress message; a request that is known already is not executed again."""
        if request in self.history:
            return
        self.history.add(request, call.sender, expiry_ns=call.ingress_expiry_ns)
        self._execution.enqueue(
            QueuedCall(FromUser(request), call.sender, call.canister, call.method, call.arg)
        )

    def run_round(self, now_ns: int) -> RoundReport:
        """Fire due timers, execute what waits, then certify the state."""
        self.time_ns = max(now_ns, self.time_ns + 1)
        self.height += 1
        self._fire_timers()
        for _ in range(_MESSAGES_PER_ROUND_MAX):
            if not self._execution.queue_length:
                break
            self._execution.step(self.time_ns)
        self._management.settle_stops()
        self.history.forget_expired(self.time_ns)
        self._state = self._certify()
        self._data_certificates.clear()
        answered, self._answered = tuple(self._answered), []
        return RoundReport(self.height, self.time_ns, answered)

    def query(self, call: CallContent) -> Answer:
        """Run a query against the committed state; nothing of it stays."""
        if call.canister == MANAGEMENT_CANISTER:
            return no_such_management_method(call.method)
        instance = available_instance(self.canisters, call.canister)
        if isinstance(instance, Reject):
            return instance
        method = instance.interface.methods.get(call.method)
        if method is None or method.kind == "update":
            return method_not_found(call.canister, "query", call.method)
        if method.kind == "composite_query":
            return composite_query_refused(call.canister, call.method)
        canister = self.canisters[call.canister]
        certificate = self._data_certificate(canister.id)
        environment = self._environment(canister, call.sender, certificate)
        outcome = execute_safely(instance, Query(call.method, call.arg), environment)
        record_log(canister, outcome, self.time_ns)
        return outcome_answer(canister.id, outcome) or did_not_reply(canister.id)

    def certificate(self, paths: Iterable[Sequence[bytes]]) -> bytes:
        """Certify the state at some paths, as of the last round."""
        tree = witness(self._state.tree, [(b"time",), *paths])
        return encode_tagged({"tree": to_cbor(tree), "signature": self._state.signature})

    def sign_as_node(self, message: bytes) -> tuple[Principal, bytes]:
        """The node's id, and its signature."""
        return self._node.sender, self._node.sign(message)

    def _manage(self, call: QueuedCall) -> Answer | None:
        return self._management.execute(call, self.time_ns)

    def _on_progress(self, request: RequestId, status: Answer | Processing) -> None:
        self.history.update(request, status)
        if not isinstance(status, Processing):
            self._answered.append(request)

    def _fire_timers(self) -> None:
        for canister in self.canisters.values():
            due = canister.next_timer_ns
            if due is None or due > self.time_ns or canister.status != "running":
                continue
            self._execution.enqueue(QueuedTimer(canister.id))

    def _allocate(self, specified: Principal | None) -> Principal | Reject:
        if specified is not None:
            if specified in self.canisters or not _is_canister_id(specified):
                reason = f"Canister {specified} cannot be created: it exists or is no canister id"
                return Reject(CANISTER_REJECT, reason, "IC0205")
            return specified
        while (canister := _canister_id(self._next_canister)) in self.canisters:
            self._next_canister += 1
        self._next_canister += 1
        return canister

    def _environment(
        self, canister: Canister, caller: Principal, data_certificate: bytes | None = None
    ) -> Environment:
        return Environment(
            canister=canister.id,
            caller=caller,
            time_ns=self.time_ns,
            cycles=canister.cycles,
            data_certificate=data_certificate,
        )

    def _data_certificate(self, canister: Principal) -> bytes:
        certificate = self._data_certificates.get(canister)
        if certificate is None:
            certificate = self.certificate([(b"canister", canister.raw, b"certified_data")])
            self._data_certificates[canister] = certificate
        return certificate

    def _fixed_state(self) -> Forest:
        ranges = encode_tagged([CANISTER_RANGE])
        node_key = forest_of({b"public_key": self._node.public_key_der})
        subnet = forest_of(
            {
                b"public_key": self.public_key_der,
                b"type": b"application",
                b"canister_ranges": ranges,
                b"node": forest_of({self._node.sender.raw: node_key}),
            }
        )
        shards = forest_of({CANISTER_RANGE[0]: ranges})
        return forest_of(
            {
                b"subnet": forest_of({self.id.raw: subnet}),
                b"canister_ranges": forest_of({self.id.raw: shards}),
            }
        )

    def _certify(self) -> _CertifiedState:
        for canister_id in self._changed:
            subtree = _canister_tree(self.canisters[canister_id])
            self._canister_forest = self._canister_forest.put(canister_id.raw, subtree)
        self._changed.clear()
        tree = self._fixed
        for label, child in (
            (b"time", Value.of(encode_uleb128(self.time_ns))),
            (b"request_status", self.history.forest),
            (b"canister", self._canister_forest),
        ):
            tree = tree.put(label, child)
        return _CertifiedState(tree, self._key.sign(STATE_ROOT + tree.digest))


def _canister_tree(canister: Canister) -> Forest:
    controllers = [controller.raw for controller in canister.settings.controllers]
    shown: dict[bytes, Forest | bytes] = {b"controllers": encode_tagged(controllers)}
    if canister.module is not None:
        shown[b"module_hash"] = canister.module.sha256
        shown[b"certified_data"] = canister.certified_data
        shown[b"metadata"] = forest_of({b"candid:service": canister.module.did.encode()})
    return forest_of(shown)


def _is_canister_id(principal: Principal) -> bool:
    """Whether a principal is an opaque canister id: nobody else can be called by that name."""
    low, high = CANISTER_RANGE
    is_opaque = len(principal.raw) == len(low) and principal.raw.endswith(_CANISTER_SUFFIX)
    return is_opaque and low <= principal.raw <= high


def _canister_id(number: int) -> Principal:
    return Principal(number.to_bytes(8, "big") + _CANISTER_SUFFIX)
