"""Timers and heartbeats: messages nobody waits for."""

import logging

import pytest
from native_canister import START_NS, NativeCanister, S

from icfleet_localnet.executor import TimerFired
from icfleet_protocol.candid.types import text

TIMERS = """
from kybra import (
    Async, Principal, Service, Vec, heartbeat, ic, init, nat64, post_upgrade, query, service_update,
    text, update, void,
)


class Peer(Service):
    @service_update
    def ask(self) -> text: ...


state = {"ticks": 0, "log": [], "beats": 0, "fail": False, "lease": 0}
ids = {}


def tick():
    state["ticks"] += 1
    return object()  # Whatever a callback returns concerns nobody.


def broken():
    state["ticks"] += 1
    raise ValueError("tick failed")


def trapping():
    state["ticks"] += 1
    ic.trap("tick trapped")


def clearing_and_trapping():
    ic.clear_timer(ids["tick"])
    ic.trap("undo me")


def again():
    state["ticks"] += 1
    ic.clear_timer(ids["again"])


def inner():
    state["log"].append("inner")
    raise KeyError("inner")
    yield


def broken_generator():
    state["lease"] = 1
    try:
        yield inner()
    finally:
        state["lease"] = 0


def failing_after_call():
    state["log"].append("before")
    yield Peer(ic.id()).ask()
    state["log"].append("after")
    raise ValueError("after the call")


def trapping_generator():
    state["log"].append("before")
    yield Peer(ic.id()).ask()
    state["log"].append("after")
    ic.trap("in a generator")


def answering():
    ic.reply_raw(b"DIDL")


CALLBACKS = {
    "tick": tick, "broken": broken, "trapping": trapping, "again": again,
    "broken_generator": broken_generator, "failing_after_call": failing_after_call,
    "trapping_generator": trapping_generator, "answering": answering,
    "lambda": lambda: tick(), "clearing_and_trapping": clearing_and_trapping,
}


@init
def start() -> void:
    ids["init"] = ic.set_timer(3600, tick)


@update
def once(name: text, seconds: nat64) -> nat64:
    ids[name] = ic.set_timer(seconds, CALLBACKS[name])
    return ids[name]


@update
def every(name: text, seconds: nat64) -> nat64:
    ids[name] = ic.set_timer_interval(seconds, CALLBACKS[name])
    return ids[name]


@update
def clear(timer: nat64) -> void:
    ic.clear_timer(timer)


@update
def set_and_fail() -> void:
    ic.clear_timer(ids["init"])
    ic.set_timer(1, tick)
    raise ValueError("x")


@update
def too_late() -> void:
    ic.set_timer(2**63, tick)


@query
def set_in_query() -> void:
    ic.set_timer(1, tick)


@query
def ticks() -> nat64:
    return state["ticks"]


@query
def log() -> Vec[text]:
    return state["log"]


@query
def lease() -> nat64:
    return state["lease"]


@update
def fail_heartbeats() -> void:
    state["fail"] = True


@heartbeat
def beat() -> Async[void]:
    state["beats"] += 1
    if state["fail"]:
        raise ValueError("beat failed")
    yield Peer(ic.id()).ask()
    state["beats"] += 10


@query
def beats() -> nat64:
    return state["beats"]
"""


@pytest.fixture
def canister() -> NativeCanister:
    return NativeCanister.install(TIMERS)


def test_the_earliest_deadline_is_told_after_each_message(canister: NativeCanister) -> None:
    assert canister.instance.next_timer_ns == START_NS + 3600 * S

    canister.execute(canister.update_message("once", "tick", 5))

    assert canister.instance.next_timer_ns == START_NS + 5 * S


def test_ids_look_as_on_chain(canister: NativeCanister) -> None:
    """A version above and an index below; the one of ``init`` was the first."""
    assert canister.update("once", "tick", 5) == 4294967298


def test_a_one_shot_fires_once(canister: NativeCanister) -> None:
    canister.update("once", "tick", 5)

    assert canister.pass_time(4) == []
    (outcome,) = canister.pass_time(1)

    assert outcome.trap is None
    assert outcome.reply is None
    assert canister.query("ticks") == 1
    assert canister.pass_time(60) == []


def test_an_interval_is_armed_again_from_when_it_was_due(canister: NativeCanister) -> None:
    """Firings that were missed are not caught up."""
    canister.update("every", "lambda", 10)

    fired = [len(canister.pass_time(seconds)) for seconds in (10, 35, 5, 5)]

    assert fired == [1, 1, 0, 1]
    assert canister.query("ticks") == 3


def test_due_timers_fire_in_the_order_of_their_deadlines(canister: NativeCanister) -> None:
    late = canister.update("once", "tick", 9)
    early = canister.update("once", "broken", 3)

    assert canister.instance.take_due_timers(START_NS + 9 * S) == (early, late)


@pytest.mark.parametrize("name", ["broken", "trapping"])
def test_a_callback_that_traps_is_undone_and_a_one_shot_is_gone(
    canister: NativeCanister, name: str
) -> None:
    canister.update("once", name, 5)

    (outcome,) = canister.pass_time(5)

    assert outcome.trap is not None
    assert canister.query("ticks") == 0
    assert canister.pass_time(60) == []


def test_an_interval_survives_its_trap(canister: NativeCanister) -> None:
    canister.update("every", "broken", 5)

    assert [len(canister.pass_time(5)) for _ in range(3)] == [1, 1, 1]


def test_an_interval_may_clear_itself(canister: NativeCanister) -> None:
    canister.update("every", "again", 5)

    assert [len(canister.pass_time(5)) for _ in range(3)] == [1, 0, 0]
    assert canister.query("ticks") == 1


def test_a_due_timer_can_still_be_cleared(canister: NativeCanister) -> None:
    """One callback of a round may clear the next."""
    timer = canister.update("once", "tick", 5)
    assert canister.instance.take_due_timers(START_NS + 5 * S) == (timer,)

    canister.update("clear", timer)

    outcome = canister.execute(TimerFired(timer))
    assert outcome.trap is None
    assert canister.query("ticks") == 0


def test_a_trap_undoes_that_another_due_timer_was_cleared(canister: NativeCanister) -> None:
    canister.update("once", "clearing_and_trapping", 5)
    canister.update("once", "tick", 5)

    cleared, fired = canister.pass_time(5)

    assert cleared.trap is not None
    assert fired.trap is None
    assert canister.query("ticks") == 1
    assert canister.pass_time(60) == []


def test_a_one_shot_that_was_taken_and_not_executed_is_due_still(canister: NativeCanister) -> None:
    """As when the one before it has spent the cycles; those set later come after it."""
    timer = canister.update("once", "tick", 5)
    assert canister.instance.take_due_timers(START_NS + 5 * S) == (timer,)
    canister.trap_of("set_and_fail")
    assert canister.instance.next_timer_ns == START_NS + 5 * S
    later = canister.update("once", "broken", 6)

    assert canister.instance.take_due_timers(START_NS + 9 * S) == (timer, later)
    canister.execute(TimerFired(timer))
    assert canister.query("ticks") == 1
    assert canister.instance.take_due_timers(START_NS + 9 * S) == (later,)


def test_clearing_an_unknown_timer_does_nothing(canister: NativeCanister) -> None:
    canister.update("clear", 12345)

    assert canister.instance.next_timer_ns == START_NS + 3600 * S


def test_timers_are_undone_with_their_message(canister: NativeCanister) -> None:
    canister.trap_of("set_and_fail")

    assert canister.instance.next_timer_ns == START_NS + 3600 * S


def test_a_query_cannot_set_a_timer(canister: NativeCanister) -> None:
    outcome = canister.execute(canister.update_message("set_in_query"))

    assert outcome.trap is not None
    assert outcome.trap.error_code == "IC0504"
    assert '"ic0_global_timer_set" cannot be executed in replicated query mode' in str(outcome.trap)


def test_a_delay_beyond_the_end_of_time_traps(canister: NativeCanister) -> None:
    assert "delay out of bounds" in canister.trap_of("too_late").message


def test_a_timer_has_nobody_to_answer(canister: NativeCanister) -> None:
    canister.update("once", "answering", 5)

    (outcome,) = canister.pass_time(5)

    assert outcome.trap is not None
    assert outcome.trap.error_code == "IC0504"


def test_an_exception_in_a_timer_s_generator_is_passed_over(
    canister: NativeCanister, caplog: pytest.LogCaptureFixture
) -> None:
    """Its changes are kept, and no ``finally`` clears a flag: on chain it does not run either."""
    canister.update("once", "broken_generator", 5)

    with caplog.at_level(logging.WARNING):
        (outcome,) = canister.pass_time(5)

    assert outcome.trap is None
    assert canister.query("log") == ["inner"]
    assert canister.query("lease") == 1
    assert "KeyError: 'inner'" in caplog.text


def test_the_same_after_a_call(canister: NativeCanister) -> None:
    canister.update("once", "failing_after_call", 5)
    (outcome,) = canister.pass_time(5)
    assert outcome.is_suspended

    outcome = canister.answer(outcome, (text, "x"))

    assert outcome.trap is None
    assert canister.query("log") == ["before", "after"]


def test_a_trap_in_a_timer_s_generator_still_traps(canister: NativeCanister) -> None:
    canister.update("once", "trapping_generator", 5)
    (outcome,) = canister.pass_time(5)

    outcome = canister.answer(outcome, (text, "x"))

    assert outcome.trap is not None
    assert canister.query("log") == ["before"]


def test_a_heartbeat_may_wait(canister: NativeCanister) -> None:
    outcome = canister.beat()
    assert outcome.is_suspended
    assert canister.query("beats") == 1

    outcome = canister.answer(outcome, (text, "x"))

    assert (outcome.trap, outcome.reply) == (None, None)
    assert canister.query("beats") == 11


def test_an_exception_in_a_heartbeat_traps(canister: NativeCanister) -> None:
    """Unlike in a timer's generator."""
    canister.update("fail_heartbeats")

    assert canister.beat().trap is not None
    assert canister.query("beats") == 0


def test_timers_are_lost_at_an_upgrade(canister: NativeCanister) -> None:
    outcome = canister.upgrade(TIMERS)

    assert outcome.trap is None
    assert canister.instance.next_timer_ns is None
