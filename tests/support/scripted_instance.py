"""Canisters whose messages are Python functions, and an execution that runs them without rounds."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from random import Random

from icfleet_localnet.call_context import Answer, FromUser, QueuedCall
from icfleet_localnet.canister import Canister, Settings
from icfleet_localnet.charging import Charging
from icfleet_localnet.execution import Execution
from icfleet_localnet.executor import Environment, Message, Outcome, OutgoingCall, Query, Response
from icfleet_localnet.fees import SYSTEM_FEES, FeeSchedule
from icfleet_localnet.ingress import Processing, Replied
from icfleet_localnet.kybra_host.interface import HostHook, HostInterface, HostMethod, MethodKind
from icfleet_protocol.candid import parse_did
from icfleet_protocol.principal import ANONYMOUS, Principal
from icfleet_protocol.request_id import RequestId

Behaviour = Callable[[Message, Environment], Outcome]
A = Principal(b"\x00\x01\x01\x01")
B = Principal(b"\x00\x02\x01\x01")
C = Principal(b"\x00\x03\x01\x01")
NOW_NS = 1_000


@dataclass
class ScriptedInstance:
    """An instance whose messages are Python functions."""

    behaviour: Behaviour
    kind: MethodKind = "update"
    has_heartbeat: bool = False
    seen: list[Message] = field(default_factory=list[Message])
    dropped: list[int] = field(default_factory=list[int])
    due: Sequence[int] = ()
    next_timer_ns: int | None = None
    stable_bytes: int = 0
    heap_objects: int = 0
    heap_bytes: int = 0

    @property
    def interface(self) -> HostInterface:
        method = HostMethod(name="go", kind=self.kind, args=(), results=())
        return HostInterface(
            service=parse_did("service : {}"),
            methods={"go": method},
            heartbeat=HostHook(name="beat") if self.has_heartbeat else None,
        )

    def execute(self, message: Message, environment: Environment) -> Outcome:
        self.seen.append(message)
        return self.behaviour(message, environment)

    def take_due_timers(self, now_ns: int) -> Sequence[int]:
        assert now_ns == NOW_NS
        due, self.due = self.due, ()
        return due

    def drop_continuation(self, continuation: int) -> None:
        self.dropped.append(continuation)

    def drop_continuations(self) -> None:
        raise AssertionError

    def hold(self) -> int:
        raise AssertionError

    def execute_held(self, version: int, message: Query, environment: Environment) -> Outcome:
        raise AssertionError((version, message, environment))

    def release(self, version: int) -> None:
        raise AssertionError(version)

    def close(self) -> None:
        raise AssertionError


@dataclass
class World:
    """Some canisters, and what became of the requests made to them."""

    fees: FeeSchedule = SYSTEM_FEES
    order: Random | None = None
    is_hosted: Callable[[QueuedCall], bool] = lambda _call: True
    canisters: dict[Principal, Canister] = field(default_factory=dict[Principal, Canister])
    answers: list[Answer] = field(default_factory=list[Answer])

    def __post_init__(self) -> None:
        self.charging = Charging(self.fees)
        self.execution = Execution(
            self.canisters,
            manage=lambda _call: None,
            is_hosted=self.is_hosted,
            on_progress=self._note,
            on_change=lambda _canister: None,
            charging=self.charging,
            order=self.order,
        )

    def _note(self, _request: RequestId, status: Answer | Processing) -> None:
        if not isinstance(status, Processing):
            self.answers.append(status)

    def add(
        self,
        canister: Principal,
        behaviour: Behaviour,
        *,
        cycles: int = 1_000,
        kind: MethodKind = "update",
    ) -> ScriptedInstance:
        instance = ScriptedInstance(behaviour, kind)
        settings = Settings(controllers=(ANONYMOUS,))
        self.canisters[canister] = Canister(canister, settings, cycles=cycles, instance=instance)
        return instance

    def call(
        self, canister: Principal, method: str = "go", arg: bytes = b"", **fields: int
    ) -> None:
        origin = FromUser(RequestId(bytes(32)), **fields)
        self.execution.enqueue(QueuedCall(origin, ANONYMOUS, canister, method, arg))

    def run(self) -> None:
        while self.execution.queue_length:
            self.execution.run_round(NOW_NS)

    def answer_outgoing(self) -> None:
        """Reply to the calls that left for other subnets, and take none of their cycles."""
        for call in self.execution.take_outgoing():
            assert isinstance(call, QueuedCall)
            self.execution.answer(call.origin, Replied(b""), refund=call.cycles)

    def calls_open(self) -> int:
        return sum(canister.open_contexts for canister in self.canisters.values())

    def error_codes(self) -> list[str | None]:
        """Error codes of all answers; ``None`` for a reply."""
        return [getattr(answer, "error_code", None) for answer in self.answers]


def replying(arg: bytes) -> Behaviour:
    return lambda _message, _environment: Outcome(reply=arg)


def calling_then(done: Behaviour, *, cycles: int = 0, callee: Principal = B) -> Behaviour:
    def behave(message: Message, environment: Environment) -> Outcome:
        if isinstance(message, Response):
            return done(message, environment)
        return Outcome(calls=(OutgoingCall(callee, "go", b"", cycles, 7),), is_suspended=True)

    return behave
