"""The canister that the executors' contract is tried on: it does something of everything."""

BANK = """
import collections
import random

from kybra import (
    Async, GuardResult, Principal, Service, StableBTreeMap, Vec, heartbeat, ic, init,
    inspect_message, match, nat64, post_upgrade, pre_upgrade, query, service_query, text, update,
    void,
)


class Peer(Service):
    @service_query
    def ask(self) -> text: ...


rows = StableBTreeMap[nat64, text](memory_id=0, max_key_size=15, max_value_size=50)
state = {"count": 0, "log": [], "fail": "", "ids": []}
queue = collections.deque([1], maxlen=3)
members = {"a"}


def peer() -> Peer:
    return Peer(Principal.from_str("ryjl3-tyaaa-aaaaa-aaaba-cai"))


def make_counter():
    hidden = 0

    def step():
        nonlocal hidden
        hidden += 1
        return hidden

    return step


step = make_counter()


@init
def start(how: text) -> void:
    ic.print("starting")
    if how == "trap":
        ic.trap("cannot start")
    if how == "raise":
        raise ValueError("cannot start")
    state["count"] = 5


def change_everything() -> None:
    state["count"] += 1
    state["log"].append("changed")
    state["new"] = True
    queue.append(2)
    members.add("b")
    step()
    random.random()
    rows.insert(state["count"], "row")
    state["ids"].append(ic.set_timer(60, tick))
    ic.set_certified_data(b"certified")
    ic.print("changed")


def report() -> str:
    return " ".join([
        str(state["count"]), str(len(state["log"])), str("new" in state), str(list(queue)),
        str(sorted(members)), str(rows.len()), str(len(state["ids"])),
    ])


@query
def look() -> text:
    return report()


@query
def look_and_change() -> text:
    state["count"] += 1
    state["log"].append("queried")
    members.add("q")
    rows.insert(99, "queried")
    return report()


@query
def hidden() -> nat64:
    return step()


@query
def draw() -> text:
    return str(random.random())


@update
def change() -> text:
    change_everything()
    return report()


@update
def change_and(how: text) -> text:
    change_everything()
    if how == "trap":
        ic.trap("on purpose")
    if how == "raise":
        raise KeyError("by mistake")
    if how == "hide":
        try:
            ic.trap("hidden")
        except BaseException:
            pass
        finally:
            state["count"] += 1000
        return "alive"
    if how == "notify":
        ic.notify_raw(ic.id(), "look", b"", 0)
        ic.trap("after a call")
    return report()


@update
def print_and_trap() -> void:
    ic.print("one")
    ic.print("two")
    ic.trap("three")


def told(result) -> str:
    return match(result, {"Ok": lambda value: f"ok {value}", "Err": lambda text: f"err {text}"})


@update
def ask(how: text) -> Async[text]:
    state["count"] += 1
    try:
        result = yield peer().ask()
        state["count"] += 10
        if how == "trap":
            ic.trap("after the answer")
        return told(result)
    finally:
        state["log"].append("finally")


@query
def composite(how: text) -> Async[text]:
    state["count"] += 1
    rows.insert(50, "composite")
    if how == "short":
        return report()
    result = yield peer().ask()
    state["count"] += 10
    if how == "trap":
        ic.trap("in a composite query")
    return report() + " " + told(result)


def allow() -> GuardResult:
    state["count"] += 1
    return {"Ok": None}


def refuse() -> GuardResult:
    state["count"] += 1
    return {"Err": "not today"}


@update(guard=allow)
def allowed() -> void:
    state["log"].append("allowed")


@update(guard=refuse)
def refused() -> void:
    state["log"].append("refused")


@inspect_message
def inspect() -> void:
    state["count"] += 1
    if ic.method_name() != "refused":
        ic.accept_message()


@heartbeat
def beat() -> void:
    state["count"] += 1
    if state["fail"] == "beat":
        raise ValueError("no pulse")


def tick():
    state["count"] += 100


def failing_tick():
    state["count"] += 100
    raise ValueError("tick failed")


def generator_tick():
    state["count"] += 100
    try:
        yield inner()
    finally:
        state["log"].append("finally")


def inner():
    state["count"] += 1000
    raise KeyError("inner")
    yield


@update
def arm(kind: text, seconds: nat64) -> nat64:
    callbacks = {"plain": tick, "failing": failing_tick, "generator": generator_tick}
    return ic.set_timer(seconds, callbacks[kind])


@update
def repeat(seconds: nat64) -> nat64:
    return ic.set_timer_interval(seconds, failing_tick)


@update
def fail_in(place: text) -> void:
    state["fail"] = place


@pre_upgrade
def save() -> void:
    rows.insert(1000, "saved " + str(state["count"]))
    state["count"] = -1
    ic.print("saving")
    if state["fail"] == "pre_upgrade":
        ic.trap("cannot save")


@post_upgrade
def restore(how: text) -> void:
    rows.insert(1001, "restored")
    if how == "trap":
        ic.trap("cannot restore")
    state["count"] = 7000


@query
def all_rows() -> Vec[text]:
    return [f"{key} {value}" for key, value in rows.items()]


@update
def work(times: nat64) -> nat64:
    total = 0
    for number in range(times):
        total += number
    return total


@query
def work_in_query(times: nat64) -> nat64:
    total = 0
    for number in range(times):
        total += number
    return total
"""
