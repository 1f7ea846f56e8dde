"""Generators, cut into messages at their calls to other canisters."""

from typing import Any

import pytest
from native_canister import CANISTER, NO_ARGS, OTHER, NativeCanister

from icfleet_localnet.executor import Outcome, Query, Response, Update
from icfleet_protocol.candid import decode, encode, record
from icfleet_protocol.candid.types import nat64, principal, text

CALLER = """
from kybra import (
    Async, CallResult, Manual, NotifyResult, Principal, Record, Service, Vec, blob, ic, match, nat,
    nat64, null, query, service_query, service_update, text, update, void,
)


class Row(Record):
    zebra: nat64
    ant: text


class Peer(Service):
    @service_query
    def ask(self, row: Row) -> text: ...

    @service_update
    def pay(self, to: Principal, amount: nat64) -> nat64: ...

    @service_update
    def poke(self) -> void: ...


state = {"steps": 0, "log": []}


def peer() -> Peer:
    return Peer(Principal.from_str("ryjl3-tyaaa-aaaaa-aaaba-cai"))


def told(result) -> str:
    return match(result, {"Ok": lambda value: f"ok {value}", "Err": lambda text: f"err {text}"})


@query
def steps() -> nat64:
    return state["steps"]


@query
def log() -> Vec[text]:
    return state["log"]


@update
def ask() -> Async[text]:
    state["steps"] += 1
    result: CallResult[text] = yield peer().ask({"zebra": 5, "ant": "x"})
    state["steps"] += 10
    return told(result)


@update
def ask_twice() -> Async[text]:
    state["steps"] += 1
    first = yield peer().ask({"zebra": 1, "ant": ""})
    state["steps"] += 10
    second = yield peer().ask({"zebra": 2, "ant": told(first)})
    state["steps"] += 100
    return told(second)


@update
def trap_after(how: text) -> Async[text]:
    local = {"closed": False}
    try:
        state["steps"] += 1
        yield peer().poke()
        state["steps"] += 10
        if how == "trap":
            ic.trap("after the answer")
        if how == "raise":
            raise ValueError("after the answer")
        yield peer().poke()
    finally:
        state["steps"] += 1000
    return ""


def inner(fail):
    result = yield peer().ask({"zebra": 1, "ant": "inner"})
    state["steps"] += 1
    if fail:
        raise ValueError("inner failed")
    return told(result) + "!"


@update
def yields_a_generator(fail: text) -> Async[text]:
    try:
        answer = yield inner(fail == "fail")
        again = yield inner(False)
    except ValueError:
        state["steps"] += 1000
        return "caught"
    finally:
        state["steps"] += 100
    return answer + again


@update
def yields_from() -> Async[text]:
    try:
        answer = yield from inner(True)
    except ValueError as error:
        return f"caught {error}"
    return answer


@update
def without_a_call() -> Async[nat64]:
    yield from ()
    return 3


@update
def pays(kind: text) -> Async[text]:
    to = ic.id()
    if kind == "none":
        result = yield peer().pay(to, 5)
    elif kind == "cycles":
        result = yield peer().pay(to, 5).with_cycles(70)
    elif kind == "cycles128":
        result = yield peer().pay(to, 5).with_cycles128(80)
    elif kind == "raw":
        result = yield ic.call_raw(peer().canister_id, "raw", b"DIDL", 90)
    elif kind == "raw128":
        result = yield ic.call_raw128(peer().canister_id, "raw", b"DIDL", 100)
    else:
        result = yield peer().pay(to, 5).with_cycles128(10**30)
    return told(result)


@update
def void_call() -> Async[text]:
    result = yield peer().poke()
    return told(result)


@update
def notifies() -> void:
    answers = [
        peer().pay(ic.id(), 5).notify(),
        peer().pay(ic.id(), 6).with_cycles(7).notify(),
        ic.notify_raw(peer().canister_id, "raw", b"DIDL", 8),
    ]
    state["log"] = [str(answer) for answer in answers]


@update
def wrong(how: text) -> Async[text]:
    if how == "argument":
        yield peer().ask({"zebra": "x", "ant": ""})
    if how == "too few":
        yield peer().pay(ic.id())
    if how == "unknown":
        peer_call = peer().ask({})
        peer_call.args[1] = "Peer.missing"
        yield peer_call
    if how == "nothing":
        yield 5
    if how == "name":
        call = peer().poke()
        call.name = "call_later"
        yield call
    return ""


@update
def about_the_answer() -> Async[text]:
    before = ic.arg_data_raw_size()
    yield peer().ask({"zebra": 1, "ant": ""})
    code = next(iter(ic.reject_code()))
    message = ic.reject_message() if code != "NoError" else ""
    size = ic.arg_data_raw_size() if code == "NoError" else 0
    return f"{before} {size} {code} {message} {ic.caller().to_str()}"


@update
def replies_first() -> Async[Manual[text]]:
    ic.reply("early")
    yield peer().poke()
    state["steps"] += 1


@query
def plain_query_calls() -> text:
    return peer().poke()


@query
def composite() -> Async[text]:
    state["steps"] += 1
    state["log"].append("begun")
    result = yield peer().ask({"zebra": 1, "ant": ""})
    state["steps"] += 10
    return f"{state['steps']} {state['log']} {told(result)}"


@update
def bump() -> void:
    state["steps"] += 100_000
"""

ASK = record(zebra=nat64, ant=text)


@pytest.fixture
def canister() -> NativeCanister:
    return NativeCanister.install(CALLER)


def start(canister: NativeCanister, method: str, *args: Any) -> Outcome:
    return canister.execute(canister.update_message(method, *args))


def test_a_typed_call_is_encoded_by_the_declared_types(canister: NativeCanister) -> None:
    outcome = start(canister, "ask")

    (call,) = outcome.calls
    assert (call.callee, call.method, call.cycles) == (OTHER, "ask", 0)
    assert decode(call.arg, [ASK]) == ({"zebra": 5, "ant": "x"},)
    assert outcome.is_suspended
    assert outcome.reply is None


def test_what_was_done_before_the_call_is_committed(canister: NativeCanister) -> None:
    outcome = start(canister, "ask")
    assert canister.query("steps") == 1

    outcome = canister.answer(outcome, (text, "hi"))

    assert canister.value("ask", outcome) == "ok hi"
    assert not outcome.is_suspended
    assert canister.query("steps") == 11


def test_a_refused_call_is_a_value(canister: NativeCanister) -> None:
    outcome = canister.refuse(start(canister, "ask"), 3, "no such canister")

    assert canister.value("ask", outcome) == "err Rejection code 3, no such canister"


def test_an_answer_that_does_not_decode_is_a_value(canister: NativeCanister) -> None:
    outcome = canister.answer(start(canister, "ask"), (nat64, 5))

    said = canister.value("ask", outcome)
    assert said.startswith("err Rejection code 5, failed to decode canister response as")


def test_each_call_ends_a_message(canister: NativeCanister) -> None:
    first = start(canister, "ask_twice")
    second = canister.answer(first, (text, "a"))
    assert canister.query("steps") == 11
    assert decode(second.calls[0].arg, [ASK]) == ({"zebra": 2, "ant": "ok a"},)

    last = canister.answer(second, (text, "b"))

    assert canister.value("ask_twice", last) == "ok b"
    assert canister.query("steps") == 111


@pytest.mark.parametrize("how", ["trap", "raise"])
def test_a_trap_after_the_answer_undoes_that_message_only(
    canister: NativeCanister, how: str
) -> None:
    """What was done before the call stays, and no ``finally`` runs, as in the compiled canister."""
    outcome = canister.answer(start(canister, "trap_after", how))

    assert outcome.trap is not None
    assert "after the answer" in outcome.trap.message
    assert canister.query("steps") == 1


def test_an_answer_for_nobody_traps(canister: NativeCanister) -> None:
    """After a trap the generator is gone, so a second answer finds nothing."""
    waiting = start(canister, "trap_after", "trap")
    canister.answer(waiting)

    trap = canister.answer(waiting).trap

    assert trap is not None
    assert "no call waits" in trap.message


def test_a_yielded_generator_is_driven_to_its_end(canister: NativeCanister) -> None:
    first = start(canister, "yields_a_generator", "no")
    second = canister.answer(first, (text, "a"))
    last = canister.answer(second, (text, "b"))

    assert canister.value("yields_a_generator", last) == "ok a!ok b!"
    assert canister.query("steps") == 102


def test_an_exception_in_a_yielded_generator_is_not_thrown_into_the_outer_one(
    canister: NativeCanister,
) -> None:
    """Kybra traps at once; only ``yield from`` lets the outer one catch it."""
    outcome = canister.answer(start(canister, "yields_a_generator", "fail"), (text, "a"))

    assert outcome.trap is not None
    assert outcome.trap.message == "ValueError: inner failed"
    assert canister.query("steps") == 0


def test_yield_from_lets_the_outer_generator_catch(canister: NativeCanister) -> None:
    outcome = canister.answer(start(canister, "yields_from"), (text, "a"))

    assert canister.value("yields_from", outcome) == "caught inner failed"


def test_a_generator_without_a_call_ends_at_once(canister: NativeCanister) -> None:
    assert canister.update("without_a_call") == 3


PAYMENTS = [
    pytest.param("none", 0, id="no-cycles"),
    pytest.param("cycles", 70, id="with-cycles"),
    pytest.param("cycles128", 80, id="with-cycles128"),
    pytest.param("raw", 90, id="call-raw"),
    pytest.param("raw128", 100, id="call-raw128"),
]


@pytest.mark.parametrize(("kind", "cycles"), PAYMENTS)
def test_calls_carry_their_cycles(canister: NativeCanister, kind: str, cycles: int) -> None:
    (call,) = start(canister, "pays", kind).calls

    assert call.cycles == cycles


def test_a_raw_call_sends_and_gets_bytes(canister: NativeCanister) -> None:
    outcome = start(canister, "pays", "raw")
    (call,) = outcome.calls
    assert (call.method, call.arg) == ("raw", b"DIDL")

    outcome = canister.execute(Response(call.continuation or 0, b"\x01\x02"))

    assert canister.value("pays", outcome) == "ok b'\\x01\\x02'"


def test_more_cycles_than_there_are_trap(canister: NativeCanister) -> None:
    trap = canister.trap_of("pays", "too many")

    assert trap.error_code == "IC0501"


def test_a_void_answer_is_none(canister: NativeCanister) -> None:
    outcome = canister.answer(start(canister, "void_call"))

    # ``match`` takes the branch of ``Ok`` when ``Err`` is None.
    assert canister.value("void_call", outcome) == "ok None"


def test_notifications_leave_without_waiting(canister: NativeCanister) -> None:
    outcome = start(canister, "notifies")

    assert outcome.trap is None
    assert [(one.method, one.cycles, one.continuation) for one in outcome.calls] == [
        ("pay", 0, None),
        ("pay", 7, None),
        ("raw", 8, None),
    ]
    assert decode(outcome.calls[1].arg, [principal, nat64]) == (CANISTER, 6)
    assert canister.query("log") == ["{'Ok': None}"] * 3


WRONG = [
    pytest.param("argument", "TypeError: Expected type 'int' but 'str' found", id="argument"),
    pytest.param("too few", "Panicked at 'index out of bounds: the len is 3", id="too-few"),
    pytest.param("unknown", "AttributeError: canister 'ryjl3-tyaaa", id="unknown-method"),
    pytest.param("nothing", "AttributeError: 'int' object has no attribute 'name'", id="no-call"),
    pytest.param(
        "name", "SystemError: async operation 'call_later' not supported", id="unknown-operation"
    ),
]


@pytest.mark.parametrize(("how", "message"), WRONG)
def test_a_wrong_call_traps(canister: NativeCanister, how: str, message: str) -> None:
    """Such errors are not thrown into the generator."""
    assert canister.trap_of("wrong", how).message.startswith(message)


def test_after_a_reply_its_bytes_are_the_argument(canister: NativeCanister) -> None:
    outcome = canister.answer(start(canister, "about_the_answer"), (text, "hi"))

    said = canister.value("about_the_answer", outcome)
    assert said.startswith(f"{len(NO_ARGS)} {len(encode([text], ['hi']))} NoError ")


def test_after_a_reject_its_code_and_message_can_be_asked(canister: NativeCanister) -> None:
    outcome = canister.refuse(start(canister, "about_the_answer"), 4, "go away")

    assert " 0 CanisterReject go away " in canister.value("about_the_answer", outcome)


def test_an_early_reply_goes_out_while_the_generator_waits(canister: NativeCanister) -> None:
    outcome = start(canister, "replies_first")
    assert outcome.reply == encode([text], ["early"])
    assert outcome.is_suspended

    outcome = canister.answer(outcome)

    assert (outcome.reply, outcome.trap, outcome.is_suspended) == (None, None, False)
    assert canister.query("steps") == 1


def test_a_composite_query_sees_its_own_changes_and_leaves_none(canister: NativeCanister) -> None:
    outcome = canister.execute(Query("composite", NO_ARGS))
    assert outcome.is_suspended
    assert canister.query("steps") == 0

    outcome = canister.answer(outcome, (text, "x"))

    assert canister.value("composite", outcome) == "11 ['begun'] ok x"
    assert canister.query("steps") == 0
    assert canister.query("log") == []


def test_composite_queries_do_not_see_each_other(canister: NativeCanister) -> None:
    first = canister.execute(Query("composite", NO_ARGS))
    second = canister.execute(Query("composite", NO_ARGS))

    said = [
        canister.value("composite", canister.answer(one, (text, "x"))) for one in (second, first)
    ]

    assert said == ["11 ['begun'] ok x"] * 2


def test_an_update_between_outlives_a_composite_query(canister: NativeCanister) -> None:
    """The query goes on with the state it saw; the update's change stays."""
    outcome = canister.execute(Query("composite", NO_ARGS))
    canister.update("bump")

    outcome = canister.answer(outcome, (text, "x"))

    assert canister.value("composite", outcome) == "11 ['begun'] ok x"
    assert canister.query("steps") == 100_000


def test_a_composite_query_cannot_be_an_update(canister: NativeCanister) -> None:
    trap = canister.execute(Update("composite", NO_ARGS)).trap

    assert trap is not None
    assert trap.error_code == "IC0527"


def test_suspended_generators_can_be_dropped(canister: NativeCanister) -> None:
    """At an uninstall their ``finally`` runs where it can do no harm."""
    waiting = start(canister, "trap_after", "trap")

    canister.instance.drop_continuations()

    assert canister.answer(waiting).trap is not None
