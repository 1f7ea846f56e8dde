"""Messages and call contexts: each call gets exactly one answer, whatever its canisters do."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import pytest

from icfleet_localnet.call_context import Answer, FromUser, QueuedCall, QueuedTimer
from icfleet_localnet.canister import Canister, Settings
from icfleet_localnet.execution import Execution
from icfleet_localnet.executor import (
    Environment,
    Message,
    Outcome,
    OutgoingCall,
    Response,
    TimerFired,
    Trap,
    Update,
)
from icfleet_localnet.ingress import Processing, Replied
from icfleet_localnet.kybra_host.interface import HostInterface, HostMethod
from icfleet_localnet.rejects import Reject
from icfleet_protocol.candid import parse_did
from icfleet_protocol.principal import ANONYMOUS, Principal
from icfleet_protocol.request_id import RequestId

Behaviour = Callable[[Message, Environment], Outcome]
A = Principal(b"\x00\x01\x01\x01")
B = Principal(b"\x00\x02\x01\x01")
NOW_NS = 1_000


@dataclass
class ScriptedInstance:
    """An instance whose messages are Python functions."""

    behaviour: Behaviour
    seen: list[Message] = field(default_factory=list[Message])
    due: Sequence[int] = ()
    next_timer_ns: int | None = None
    stable_bytes: int = 0
    heap_objects: int = 0

    @property
    def interface(self) -> HostInterface:
        method = HostMethod(name="go", kind="update", args=(), results=())
        return HostInterface(service=parse_did("service : {}"), methods={"go": method})

    def execute(self, message: Message, environment: Environment) -> Outcome:
        self.seen.append(message)
        return self.behaviour(message, environment)

    def take_due_timers(self, now_ns: int) -> Sequence[int]:
        assert now_ns == NOW_NS
        due, self.due = self.due, ()
        return due

    def drop_continuations(self) -> None:
        raise AssertionError


@dataclass
class World:
    """Two canisters, and what became of the requests made to them."""

    canisters: dict[Principal, Canister] = field(default_factory=dict[Principal, Canister])
    answers: list[Answer] = field(default_factory=list[Answer])

    def __post_init__(self) -> None:
        self.execution = Execution(
            self.canisters,
            manage=lambda _call: None,
            on_progress=self._note,
            on_change=lambda _canister: None,
        )

    def _note(self, _request: RequestId, status: Answer | Processing) -> None:
        if not isinstance(status, Processing):
            self.answers.append(status)

    def add(self, canister: Principal, behaviour: Behaviour) -> ScriptedInstance:
        instance = ScriptedInstance(behaviour)
        settings = Settings(controllers=(ANONYMOUS,))
        self.canisters[canister] = Canister(canister, settings, cycles=1_000, instance=instance)
        return instance

    def call(self, canister: Principal, method: str = "go") -> None:
        origin = FromUser(RequestId(bytes(32)))
        self.execution.enqueue(QueuedCall(origin, ANONYMOUS, canister, method, b""))

    def run(self) -> None:
        while self.execution.queue_length:
            self.execution.step(NOW_NS)

    def calls_open(self) -> int:
        return sum(canister.open_contexts for canister in self.canisters.values())


def replying(arg: bytes) -> Behaviour:
    return lambda _message, _environment: Outcome(reply=arg)


def calling_then(done: Behaviour, *, cycles: int = 0, callee: Principal = B) -> Behaviour:
    def behave(message: Message, environment: Environment) -> Outcome:
        if isinstance(message, Response):
            return done(message, environment)
        return Outcome(calls=(OutgoingCall(callee, "go", b"", cycles, 7),), is_suspended=True)

    return behave


TRAP = Trap("stop", "IC0503")
SINGLE = [
    pytest.param(Outcome(reply=b"r"), Replied(b"r"), id="reply"),
    pytest.param(Outcome(reject="no"), Reject(4, "no", "IC0406"), id="reject"),
    pytest.param(Outcome(), "IC0506", id="silence"),
    pytest.param(Outcome(trap=TRAP), "IC0503", id="trap"),
]


@pytest.mark.parametrize(("outcome", "expected"), SINGLE)
def test_a_call_without_calls_of_its_own_is_answered_at_once(
    outcome: Outcome, expected: Answer | str
) -> None:
    world = World()
    world.add(A, lambda _message, _environment: outcome)
    world.call(A)

    world.run()

    (answer,) = world.answers
    assert expected in (answer, getattr(answer, "error_code", None))
    assert world.calls_open() == 0


@pytest.mark.parametrize(
    ("method", "status", "error_code"),
    [
        ("nope", "running", "IC0536"),
        ("go", "stopped", "IC0508"),
        ("go", "stopping", "IC0509"),
    ],
)
def test_a_call_that_cannot_start_is_rejected(method: str, status: str, error_code: str) -> None:
    world = World()
    instance = world.add(A, replying(b"r"))
    world.canisters[A].status = status  # type: ignore[assignment]  # a parametrized literal
    world.call(A, method)

    world.run()

    assert [getattr(answer, "error_code", None) for answer in world.answers] == [error_code]
    assert instance.seen == []


def test_a_canister_that_does_not_exist_is_an_invalid_destination() -> None:
    world = World()
    world.call(B)

    world.run()

    assert world.answers == [Reject(3, f"Canister {B} not found", "IC0301")]


def test_a_reply_comes_back_to_the_context_that_called() -> None:
    world = World()
    caller = world.add(A, calling_then(lambda _m, _e: Outcome(reply=b"done")))
    world.add(B, replying(b"inner"))
    world.call(A)

    world.run()

    assert caller.seen == [Update("go", b""), Response(7, b"inner")]
    assert world.answers == [Replied(b"done")]
    assert world.calls_open() == 0


def test_the_caller_stays_the_caller_after_an_await() -> None:
    world = World()
    callers: list[Principal] = []

    def note(_message: Message, environment: Environment) -> Outcome:
        callers.append(environment.caller)
        return Outcome(reply=b"")

    world.add(A, calling_then(note))
    world.add(B, note)
    world.call(A)

    world.run()

    assert callers == [A, ANONYMOUS]


def test_a_trap_in_a_callback_still_answers_the_call() -> None:
    world = World()
    world.add(A, calling_then(lambda _m, _e: Outcome(trap=TRAP)))
    world.add(B, replying(b""))
    world.call(A)

    world.run()

    assert [getattr(answer, "error_code", None) for answer in world.answers] == ["IC0503"]
    assert world.calls_open() == 0


def test_a_rejected_call_reaches_the_caller_as_a_code() -> None:
    world = World()
    caller = world.add(A, calling_then(lambda _m, _e: Outcome(reply=b"")))
    world.call(A)

    world.run()

    assert caller.seen[1] == Response(7, None, 3, f"Canister {B} not found")


def test_a_reply_before_the_last_callback_is_the_only_answer() -> None:
    """The context stays open for its callback, but is never answered twice."""
    world = World()

    def reply_and_call(message: Message, _environment: Environment) -> Outcome:
        if isinstance(message, Response):
            return Outcome(trap=TRAP)
        return Outcome(reply=b"early", calls=(OutgoingCall(B, "go", b"", 0, 7),))

    world.add(A, reply_and_call)
    world.add(B, replying(b""))
    world.call(A)

    world.run()

    assert world.answers == [Replied(b"early")]
    assert world.calls_open() == 0


def test_unaccepted_cycles_come_back() -> None:
    world = World()
    world.add(A, calling_then(lambda _m, _e: Outcome(reply=b""), cycles=100))
    world.add(B, lambda _m, _e: Outcome(reply=b"", cycles_accepted=30))
    world.call(A)

    world.run()

    assert (world.canisters[A].cycles, world.canisters[B].cycles) == (970, 1_030)


@pytest.mark.parametrize("method", ["nope", "go"])
def test_cycles_of_a_rejected_call_come_back_whole(method: str) -> None:
    world = World()

    def call(message: Message, _environment: Environment) -> Outcome:
        if isinstance(message, Response):
            return Outcome(reply=b"")
        return Outcome(calls=(OutgoingCall(B, method, b"", 100, 7),))

    world.add(A, call)
    if method == "nope":
        world.add(B, replying(b""))
    world.call(A)

    world.run()

    assert world.canisters[A].cycles == 1_000


def test_a_one_way_call_is_not_waited_for() -> None:
    world = World()
    world.add(A, lambda _m, _e: Outcome(reply=b"", calls=(OutgoingCall(B, "go", b"", 50, None),)))
    callee = world.add(B, replying(b""))
    world.call(A)

    world.run()

    assert callee.seen == [Update("go", b"")]
    assert world.calls_open() == 0


def test_requests_between_two_canisters_keep_their_order() -> None:
    world = World()
    order: list[bytes] = []

    def note(message: Message, _environment: Environment) -> Outcome:
        assert isinstance(message, Update)
        order.append(message.arg)
        return Outcome(reply=b"")

    calls = tuple(OutgoingCall(B, "go", bytes([index]), 0, None) for index in range(5))
    world.add(A, lambda _m, _e: Outcome(reply=b"", calls=calls))
    world.add(B, note)
    world.call(A)

    world.run()

    assert order == [bytes([index]) for index in range(5)]


def test_a_response_for_code_that_is_gone_ends_its_context() -> None:
    """After an upgrade nobody waits for the answer, but the call itself must still be answered."""
    world = World()
    world.add(A, calling_then(lambda _m, _e: Outcome(reply=b"never")))
    world.add(B, replying(b""))
    world.call(A)
    world.execution.step(NOW_NS)
    fresh = ScriptedInstance(replying(b""))
    world.canisters[A].instance = fresh

    world.run()

    assert [getattr(answer, "error_code", None) for answer in world.answers] == ["IC0513"]
    assert fresh.seen == []
    assert world.calls_open() == 0


def test_a_timer_runs_as_the_canister_itself_and_answers_nobody() -> None:
    world = World()
    callers: list[Principal] = []

    def note(message: Message, environment: Environment) -> Outcome:
        assert message == TimerFired(3)
        callers.append(environment.caller)
        return Outcome()

    world.add(A, note).due = (3,)
    world.execution.enqueue(QueuedTimer(A))

    world.run()

    assert callers == [A]
    assert world.answers == []
    assert world.calls_open() == 0


def test_timers_of_a_canister_that_was_stopped_meanwhile_stay_armed() -> None:
    world = World()
    instance = world.add(A, lambda _m, _e: Outcome())
    instance.due = (3,)
    world.execution.enqueue(QueuedTimer(A))
    world.canisters[A].status = "stopped"

    world.run()

    assert (instance.due, instance.seen) == ((3,), [])


def test_timers_of_code_that_is_gone_are_not_run_by_the_new() -> None:
    """Ids are counted anew by each code, so the old one's must never reach it."""
    world = World()
    world.add(A, lambda _m, _e: Outcome()).due = (3,)
    world.execution.enqueue(QueuedTimer(A))
    fresh = ScriptedInstance(lambda _m, _e: Outcome())
    world.canisters[A].instance = fresh

    world.run()

    assert fresh.seen == []


def test_a_due_canister_stands_in_line_once() -> None:
    world = World()
    world.add(A, lambda _m, _e: Outcome())

    for _ in range(3):
        world.execution.enqueue(QueuedTimer(A))

    assert world.execution.queue_length == 1


def test_cycles_of_a_one_way_call_that_nobody_takes_come_back() -> None:
    world = World()
    world.add(A, lambda _m, _e: Outcome(reply=b"", calls=(OutgoingCall(B, "go", b"", 100, None),)))
    world.call(A)

    world.run()

    assert world.canisters[A].cycles == 1_000


def test_a_failure_of_the_host_itself_fails_one_message_only() -> None:
    world = World()

    def fail(_message: Message, _environment: Environment) -> Outcome:
        reason = "a mistake of ours"
        raise RuntimeError(reason)

    world.add(A, fail)
    world.call(A)

    world.run()

    (answer,) = world.answers
    assert isinstance(answer, Reject)
    assert "a mistake of ours" in answer.message
    assert world.calls_open() == 0


def test_half_a_surrogate_pair_in_a_message_can_be_certified() -> None:
    """Canister texts may hold one; no encoding can."""
    assert Reject(5, "unknown \ud800", "IC0503").message == "unknown ?"


def test_what_a_canister_prints_and_why_it_trapped_is_logged() -> None:
    world = World()
    world.add(A, lambda _m, _e: Outcome(trap=TRAP, prints=("hello",)))
    world.call(A)

    world.run()

    assert [line.text for line in world.canisters[A].log] == ["hello", "[TRAP]: stop"]
