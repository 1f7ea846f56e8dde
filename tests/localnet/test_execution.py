"""Messages and call contexts: each call gets exactly one answer, whatever its canisters do."""

import logging
from dataclasses import replace

import pytest
from scripted_instance import NOW_NS, A, B, ScriptedInstance, World, calling_then, replying

from icfleet_localnet.call_context import Answer, QueuedHeartbeat, QueuedTimer
from icfleet_localnet.executor import (
    Environment,
    Heartbeat,
    Message,
    Outcome,
    OutgoingCall,
    Response,
    TimerFired,
    Trap,
    Update,
)
from icfleet_localnet.ingress import Replied
from icfleet_localnet.limits import (
    CANISTER_ROUND_INSTRUCTIONS_MAX,
    LOCAL_PAYLOAD_SIZE_MAX,
    QUERY_INSTRUCTIONS_MAX,
    QUEUE_CAPACITY,
    REMOTE_PAYLOAD_SIZE_MAX,
    ROUND_INSTRUCTIONS_MAX,
    UPDATE_INSTRUCTIONS_MAX,
)
from icfleet_localnet.rejects import Reject
from icfleet_protocol.principal import ANONYMOUS, MANAGEMENT_CANISTER, Principal

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
    world = World(is_hosted=lambda _call: False)
    world.add(A, calling_then(lambda _m, _e: Outcome(reply=b"never")))
    world.call(A)
    world.run()
    fresh = ScriptedInstance(replying(b""))
    world.canisters[A].instance = fresh

    world.answer_outgoing()
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


def test_a_message_that_waited_past_its_expiry_is_not_executed() -> None:
    world = World()
    instance = world.add(A, replying(b""))
    world.call(A, expiry_ns=NOW_NS - 1)
    world.call(A, expiry_ns=NOW_NS)

    world.run()

    assert world.error_codes() == ["IC0202", None]
    assert len(instance.seen) == 1


def test_a_composite_query_cannot_be_called_as_an_update() -> None:
    world = World()
    instance = world.add(A, replying(b""), kind="composite_query")
    world.call(A)

    world.run()

    assert world.error_codes() == ["IC0527"]
    assert instance.seen == []


@pytest.mark.parametrize(
    ("kind", "limit"), [("update", UPDATE_INSTRUCTIONS_MAX), ("query", QUERY_INSTRUCTIONS_MAX)]
)
def test_each_kind_of_message_has_its_limit_of_instructions(kind: str, limit: int) -> None:
    world = World()
    limits: list[int] = []

    def note(_message: Message, environment: Environment) -> Outcome:
        limits.append(environment.instruction_limit)
        return Outcome(reply=b"")

    world.add(A, note, kind=kind)  # type: ignore[arg-type]  # a parametrized literal
    world.call(A)

    world.run()

    assert limits == [limit]


def send_many(count: int) -> tuple[OutgoingCall, ...]:
    return tuple(OutgoingCall(B, "go", b"", 0, index) for index in range(count))


def test_a_canister_has_500_calls_under_way_to_another_and_no_more() -> None:
    world = World()
    rejected: list[Response] = []

    def flood(message: Message, _environment: Environment) -> Outcome:
        if isinstance(message, Response):
            if message.reply is None:
                rejected.append(message)
            return Outcome()
        return Outcome(reply=b"", calls=send_many(QUEUE_CAPACITY + 2))

    world.add(A, flood)
    callee = world.add(B, replying(b""))
    world.call(A)

    world.run()

    assert len(callee.seen) == QUEUE_CAPACITY
    assert [(each.reject_code, each.reject_message) for each in rejected] == [
        (2, "Couldn't send message"),
        (2, "Couldn't send message"),
    ]
    assert world.calls_open() == 0


def test_a_place_in_the_queue_is_free_again_once_its_answer_is_there() -> None:
    world = World()

    def flood(message: Message, _environment: Environment) -> Outcome:
        return (
            Outcome(reply=b"", calls=send_many(QUEUE_CAPACITY))
            if _is_update(message)
            else Outcome()
        )

    world.add(A, flood)
    callee = world.add(B, replying(b""))
    for _ in range(2):
        world.call(A)
        world.run()

    assert len(callee.seen) == 2 * QUEUE_CAPACITY


def _is_update(message: Message) -> bool:
    return isinstance(message, Update)


@pytest.mark.parametrize(
    ("is_hosted", "size_max"),
    [(True, LOCAL_PAYLOAD_SIZE_MAX), (False, REMOTE_PAYLOAD_SIZE_MAX)],
)
def test_a_call_larger_than_the_limit_is_rejected_with_its_cycles(
    *, is_hosted: bool, size_max: int
) -> None:
    """Ten megabytes within a subnet, two to another; method and argument count."""
    world = World(is_hosted=lambda _call: is_hosted)
    arg = bytes(size_max - len("go") + 1)

    def send(message: Message, _environment: Environment) -> Outcome:
        if isinstance(message, Response):
            return Outcome(reject=message.reject_message)
        return Outcome(calls=(OutgoingCall(B, "go", arg, 100, 7),))

    world.add(A, send)
    world.call(A)

    world.run()

    (answer,) = world.answers
    assert isinstance(answer, Reject)
    assert answer.message == (
        f"Canister {A} violated contract: attempted to send a message of size {size_max + 1} "
        f"exceeding the limit {size_max}"
    )
    assert world.canisters[A].cycles == 1_000
    assert world.execution.take_outgoing() == []


def using(instructions: int) -> Outcome:
    return Outcome(reply=b"", instructions=instructions)


def test_a_slow_canister_rests_while_the_others_are_served() -> None:
    world = World()
    slow = world.add(A, lambda _m, _e: using(CANISTER_ROUND_INSTRUCTIONS_MAX))
    fast = world.add(B, lambda _m, _e: using(1))
    for _ in range(10):
        world.call(A)
    for _ in range(10):
        world.call(B)

    world.execution.run_round(NOW_NS)
    assert (len(slow.seen), len(fast.seen)) == (1, 10)

    world.execution.run_round(NOW_NS)
    assert len(slow.seen) == 2


def test_a_round_ends_when_its_threads_are_used_up() -> None:
    world = World()
    first = world.add(A, lambda _m, _e: using(ROUND_INSTRUCTIONS_MAX))
    second = world.add(B, replying(b""))
    world.call(A)
    world.call(B)

    assert world.execution.run_round(NOW_NS) == 1
    assert (len(first.seen), len(second.seen)) == (1, 0)
    assert world.execution.run_round(NOW_NS) == 1


def test_tasks_of_the_system_come_before_messages() -> None:
    world = World()
    instance = world.add(A, lambda m, _e: Outcome(reply=b"") if _is_update(m) else Outcome())
    instance.has_heartbeat = True
    instance.due = (3,)
    world.call(A)
    world.execution.enqueue(QueuedHeartbeat(A))
    world.execution.enqueue(QueuedTimer(A))

    world.run()

    assert instance.seen == [Heartbeat(), TimerFired(3), Update("go", b"")]


def test_a_heartbeat_starts_though_the_one_before_still_waits() -> None:
    """As on the Internet Computer: who does not want that keeps a flag."""
    world = World(is_hosted=lambda _call: False)
    instance = world.add(A, calling_then(lambda _m, _e: Outcome()))
    instance.has_heartbeat = True
    for _ in range(2):
        world.execution.enqueue(QueuedHeartbeat(A))
        world.run()

    assert instance.seen == [Heartbeat(), Heartbeat()]
    assert world.calls_open() == 2


def test_what_a_removed_canister_had_to_answer_is_rejected_at_once() -> None:
    """Of its own calls the answers are dropped, and their cycles go back to it."""
    world = World(is_hosted=lambda _call: False)
    world.add(A, calling_then(lambda _m, _e: Outcome(reply=b"never"), cycles=100))
    world.call(A)
    world.run()
    world.call(A)
    gone = Reject(4, "gone", "IC0406")
    world.canisters[A].instance = None

    world.execution.abandon(A, gone)
    assert world.answers == [gone, gone]
    assert world.canisters[A].open_contexts == 1, "its own call is still on its way"

    world.answer_outgoing()
    world.run()
    assert world.answers == [gone, gone]
    assert world.canisters[A].open_contexts == 0
    assert world.canisters[A].cycles == 1_000


def test_a_canister_refuses_calls_that_bring_too_few_cycles() -> None:
    world = World()
    world.add(
        A, calling_then(lambda m, _e: Outcome(reject=getattr(m, "reject_message", "")), cycles=9)
    )
    callee = world.add(B, replying(b""))
    settings = world.canisters[B].settings
    world.canisters[B].settings = replace(settings, minimum_incoming_canister_call_cycles=10)
    world.call(A)
    world.call(B)

    world.run()

    assert world.error_codes() == [None, "IC0406"]
    assert len(callee.seen) == 1
    assert world.canisters[A].cycles == 1_000


def test_a_heartbeat_comes_from_the_system() -> None:
    world = World()
    callers: list[Principal] = []

    def note(_message: Message, environment: Environment) -> Outcome:
        callers.append(environment.caller)
        return Outcome()

    world.add(A, note).has_heartbeat = True
    world.execution.enqueue(QueuedHeartbeat(A))

    world.run()

    assert callers == [MANAGEMENT_CANISTER]


@pytest.mark.parametrize(("kind", "counted"), [("update", 1), ("query", 0)])
def test_a_query_called_as_an_update_is_no_new_version(kind: str, counted: int) -> None:
    world = World()
    world.add(A, replying(b""), kind=kind)  # type: ignore[arg-type]  # a parametrized literal
    world.call(A)

    world.run()

    assert world.canisters[A].version == counted


def test_much_that_a_message_prints_is_reported_in_part(caplog: pytest.LogCaptureFixture) -> None:
    """The canister's own log is bounded already; the process's would take all of it."""
    lines = tuple(f"line {number}" for number in range(5_000))
    world = World()
    world.add(A, lambda _message, _environment: Outcome(reply=b"", prints=lines))
    world.call(A)

    with caplog.at_level(logging.INFO):
        world.run()

    fields = [vars(one)["fields"] for one in caplog.records if one.msg == "canister printed"]
    assert [one["text"] for one in fields] == [*lines[:100], "... and 4900 more lines"]
