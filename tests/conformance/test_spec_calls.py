"""Simple calls, calls between canisters, and what an update leaves behind.

Cases of DFINITY's ic-ref-test: groups "simple calls", "state", "inter-canister calls" (the calls
themselves), "debug facilities", "caller", "self".
"""

from collections.abc import Callable

import pytest
from probe_canisters import MANAGER, SCRIPTED, script
from signing_keys import USER
from wire_client import Built, Deployed, RejectionError, Wire

from icfleet_protocol.principal import Principal

NewScripted = Callable[..., Deployed]
ABSENT = Principal(bytes.fromhex("00000000001fffff0101"))
ENTRIES = pytest.mark.parametrize("entry", ["update", "query"])


def _ask(canister: Deployed, entry: str, steps: str) -> str:
    if entry == "update":
        return str(canister.update("run", steps))
    return str(canister.query("look", steps))


@ENTRIES
def test_a_reply_is_what_was_replied(scripted: NewScripted, entry: str) -> None:
    assert _ask(scripted(), entry, "reply ABCD") == "ABCD"


@ENTRIES
def test_the_caller_and_the_canister_are_known(scripted: NewScripted, entry: str) -> None:
    canister = scripted()

    assert _ask(canister, entry, "reply-caller") == str(USER.sender)
    assert _ask(canister, entry, "remember-self;reply-remembered") == str(canister.id)


def test_the_caller_and_the_canister_are_known_to_init(scripted: NewScripted) -> None:
    installed_by, installed_in = scripted("remember-caller"), scripted("remember-self")

    assert installed_by.query("look", "reply-remembered") == str(USER.sender)
    assert installed_in.query("look", "reply-remembered") == str(installed_in.id)


FAILURES = {
    "reject": ("reject ABCD", 4, "IC0406", "ABCD"),
    "trap": ("trap no way", 5, "IC0503", "no way"),
    "no-reply": ("remember x", 5, "IC0506", "did not"),
    "double-reply": ("reply x;reply y", 5, None, ""),
    "reply-after-reject": ("reject x;reply y", 5, None, ""),
}
EVERY_FAILURE = pytest.mark.parametrize(
    ("steps", "code", "error_code", "words"), FAILURES.values(), ids=FAILURES
)


@ENTRIES
@EVERY_FAILURE
def test_a_failure_is_told_by_its_code(
    scripted: NewScripted, entry: str, steps: str, code: int, error_code: str | None, words: str
) -> None:
    with pytest.raises(RejectionError) as caught:
        _ask(scripted(), entry, steps)

    assert caught.value.code == code
    assert error_code in (None, caught.value.error_code)
    assert words in caught.value.message
    assert caught.value.is_certified == (entry == "update")


@ENTRIES
def test_a_method_that_is_not_there_is_told(wire: Wire, probe: Deployed, entry: str) -> None:
    ask = wire.update if entry == "update" else wire.query

    with pytest.raises(RejectionError, match=f"has no {entry} method 'nowhere'") as caught:
        ask(probe.id, "nowhere")

    assert caught.value.error_code == "IC0536"


def test_an_update_is_no_query(wire: Wire, probe: Deployed) -> None:
    with pytest.raises(RejectionError, match="has no query method 'increment'"):
        wire.query(probe.id, "increment")


def test_an_update_stays_and_a_query_does_not(scripted: NewScripted) -> None:
    canister = scripted()
    canister.update("run", "remember one;reply x")

    seen = canister.query("look", "remember two;reply-remembered")

    assert (seen, canister.query("look", "reply-remembered")) == ("two", "one")


def test_a_query_called_as_an_update_does_not_stay_either(scripted: NewScripted) -> None:
    canister = scripted("remember one")

    seen = canister.update("look", "remember two;reply-remembered")

    assert (seen, canister.query("look", "reply-remembered")) == ("two", "one")


def test_an_update_that_does_not_reply_stays(scripted: NewScripted) -> None:
    canister = scripted()

    with pytest.raises(RejectionError):
        canister.update("run", "remember FOO")

    assert canister.query("look", "reply-remembered") == "FOO"


@pytest.mark.parametrize("steps", ["remember two;trap x", "store two;trap x", "store two;no step"])
def test_an_update_that_traps_does_not_stay(scripted: NewScripted, steps: str) -> None:
    canister = scripted("remember one;store one")

    with pytest.raises(RejectionError):
        canister.update("run", steps)

    assert canister.query("look", "reply-remembered") == "one"
    assert canister.query("look", "reply-stored") == "one"


@pytest.mark.parametrize("method", ["relay_run", "relay_look"])
def test_a_canister_calls_another(scripted: NewScripted, method: str) -> None:
    caller, callee = scripted(), scripted()

    assert caller.update(method, callee.id, "reply-caller") == f"ok {caller.id}"


@pytest.mark.parametrize("method", ["relay_run", "relay_look"])
def test_a_canister_calls_itself(scripted: NewScripted, method: str) -> None:
    canister = scripted("remember own")

    assert canister.update(method, canister.id, "reply-remembered") == "ok own"


def test_the_update_of_another_stays_and_its_query_does_not(scripted: NewScripted) -> None:
    caller, callee = scripted(), scripted()
    caller.update("relay_run", callee.id, "remember one;reply x")
    caller.update("relay_look", callee.id, "remember two;reply x")

    assert callee.query("look", "reply-remembered") == "one"


@pytest.mark.parametrize(
    ("steps", "words"),
    [("reject no", "no"), ("trap no", "no"), ("remember x", "did not")],
    ids=["reject", "trap", "no-reply"],
)
def test_a_canister_is_told_why_another_failed(
    scripted: NewScripted, steps: str, words: str
) -> None:
    answer = scripted().update("relay_run", scripted().id, steps)

    assert answer.startswith("err ")
    assert words in answer


@pytest.mark.parametrize("target", [ABSENT, USER.sender], ids=["canister", "user"])
def test_a_canister_is_told_when_there_is_nobody(scripted: NewScripted, target: Principal) -> None:
    answer = scripted().update("relay_run", target, "reply x")

    assert answer.startswith("err ")


def test_kybras_own_interface_of_the_management_canister_works(
    wire: Wire, deploy: Callable[[str], Deployed]
) -> None:
    manager = deploy(MANAGER)

    assert len(bytes.fromhex(manager.update("randomness"))) == 32
    assert "Only controllers" in manager.update("status_of", wire.create())


@pytest.mark.parametrize("steps", ["trap in init", "reply x", "reject x", "no step"])
def test_code_that_fails_in_init_is_not_installed(
    wire: Wire, build_source: Callable[[str], Built], steps: str
) -> None:
    canister, built = wire.create(), build_source(SCRIPTED)

    with pytest.raises(RejectionError) as caught:
        wire.install(canister, built.wasm, arg=script(steps))

    assert caught.value.code == 5
    with pytest.raises(RejectionError, match="IC0537"):
        Deployed(wire, canister, built.interface).query("look", "reply x")
