"""Canisters that conformance tests call: small, in Kybra, one for each kind of question."""

from icfleet_protocol.candid import encode
from icfleet_protocol.candid.types import principal, text
from icfleet_protocol.principal import Principal

PROBE = """
from kybra import Manual, Principal, blob, ic, nat64, query, text, update

state = {"count": 0}


@query
def greet(name: text) -> text:
    return f"Hello, {name}!"


@query
def count() -> nat64:
    return state["count"]


@update
def increment() -> nat64:
    state["count"] = state["count"] + 1
    ic.print(f"now {state['count']}")
    return state["count"]


@query
def whoami() -> Principal:
    return ic.caller()


@update
def whoami_certified() -> Principal:
    return ic.caller()


@query
def echo() -> blob:
    return ic.arg_data_raw()


@update
def echo_certified() -> blob:
    return ic.arg_data_raw()


@update
def refuse(why: text) -> Manual[text]:
    ic.reject(why)


@query
def refuse_query(why: text) -> Manual[text]:
    ic.reject(why)


@update
def fail(why: text) -> text:
    state["count"] = 1_000_000
    ic.trap(why)


@query
def fail_query(why: text) -> text:
    ic.trap(why)
"""

SCRIPTED = """
from kybra import (
    Async, CallResult, Manual, Opt, Principal, Service, StableBTreeMap, blob, ic, init, match,
    post_upgrade, pre_upgrade, query, service_query, service_update, text, update, void,
)

state = {"value": "", "before upgrade": ""}
stable = StableBTreeMap[text, text](memory_id=0, max_key_size=100, max_value_size=1_000)


def answer(text_of_it):
    ic.reply(text_of_it)


def certificate():
    return ic.data_certificate()


STEPS = {
    "remember": lambda word: state.update({"value": word}),
    "remember-caller": lambda _: state.update({"value": ic.caller().to_str()}),
    "remember-self": lambda _: state.update({"value": ic.id().to_str()}),
    "before-upgrade": lambda word: state.update({"before upgrade": word.replace(",", ";")}),
    "store": lambda word: stable.insert("value", word),
    "store-remembered": lambda _: stable.insert("value", state["value"]),
    "certify": lambda word: ic.set_certified_data(word.encode()),
    "reply": answer,
    "reply-remembered": lambda _: answer(state["value"]),
    "reply-stored": lambda _: answer(stable.get("value") or ""),
    "reply-caller": lambda _: answer(ic.caller().to_str()),
    "reply-certificate": lambda _: answer("absent" if certificate() is None else "present"),
    "reject": lambda word: ic.reject(word),
    "trap": lambda word: ic.trap(word),
}


def perform(script: str):
    for step in filter(None, script.split(";")):
        name, _, word = step.partition(" ")
        STEPS[name](word)


class Peer(Service):
    @service_update
    def run(self, script: text) -> text: ...

    @service_query
    def look(self, script: text) -> text: ...

    @service_update
    def hold(self) -> text: ...


def told(result: CallResult[text]) -> str:
    return match(result, {"Ok": lambda value: "ok " + value, "Err": lambda why: "err " + why})


@init
def start(script: text) -> void:
    perform(script)


@pre_upgrade
def before() -> void:
    perform(state["before upgrade"])


@post_upgrade
def after(script: text) -> void:
    perform(script)


@update
def run(script: text) -> Manual[text]:
    perform(script)


@query
def look(script: text) -> Manual[text]:
    perform(script)


@query
def certified() -> Opt[blob]:
    return certificate()


@update
def relay_run(peer: Principal, script: text) -> Async[text]:
    result: CallResult[text] = yield Peer(peer).run(script)
    return told(result)


@update
def relay_look(peer: Principal, script: text) -> Async[text]:
    result: CallResult[text] = yield Peer(peer).look(script)
    return told(result)


@update
def wait_for(peer: Principal) -> Async[text]:
    result: CallResult[text] = yield Peer(peer).hold()
    return told(result)
"""

HOLD = """
from kybra import (
    Async, CallResult, Principal, Record, Service, ic, match, service_update, text, update, void,
)


class CanisterId(Record):
    canister_id: Principal


class ManagementCanister(Service):
    @service_update
    def stop_canister(self, args: CanisterId) -> void: ...


@update
def hold() -> Async[text]:
    # A canister cannot stop while one of its calls is open, and this one waits for the stop: until
    # somebody starts the canister.
    management = ManagementCanister(Principal.from_str("aaaaa-aa"))
    result: CallResult[void] = yield management.stop_canister({"canister_id": ic.id()})
    return match(result, {"Ok": lambda _nothing: "stopped", "Err": lambda why: why})
"""

MANAGER = """
from kybra import Async, CallResult, Principal, ic, match, text, update
from kybra.canisters.management import CanisterStatusResult, management_canister


@update
def status_of(canister: Principal) -> Async[text]:
    result: CallResult[CanisterStatusResult] = yield management_canister.canister_status(
        {"canister_id": canister}
    )
    return match(
        result, {"Ok": lambda status: next(iter(status["status"])), "Err": lambda why: why}
    )


@update
def randomness() -> Async[text]:
    result = yield management_canister.raw_rand()
    return match(result, {"Ok": lambda drawn: drawn.hex(), "Err": lambda why: why})
"""

GATE = """
from kybra import Principal, ic, init, inspect_message, query, text, update, void

state = {"rule": "", "friend": ""}


@init
def start(rule: text, friend: Principal) -> void:
    state["rule"], state["friend"] = rule, friend.to_str()


@inspect_message
def inspect() -> void:
    rule = state["rule"]
    if rule == "trap":
        ic.trap("not today")
    if rule == "method" and ic.method_name() != "enter":
        ic.trap("only enter")
    if rule == "caller" and ic.caller().to_str() != state["friend"]:
        ic.trap("only friends")
    if rule == "arg" and ic.arg_data_raw_size() > 40:
        ic.trap("too long")
    if rule == "twice":
        ic.accept_message()
    if rule != "silent":
        ic.accept_message()


@update
def enter(greeting: text) -> text:
    return greeting


@query
def peek(greeting: text) -> text:
    return greeting
"""


def script(steps: str = "") -> bytes:
    """The argument of a scripted canister's methods and hooks: ``remember x;reply y``."""
    return encode([text], [steps])


def gate_rule(rule: str, friend: Principal) -> bytes:
    """The argument that installs a gate."""
    return encode([text, principal], [rule, friend])
