"""A canister that looks at calls before they are accepted.

Cases of DFINITY's ic-ref-test: group "canister_inspect_message".
"""

from collections.abc import Callable

import pytest
from probe_canisters import GATE, gate_rule
from signing_keys import STRANGER, USER
from wire_client import Deployed, RejectionError, Wire

from icfleet_protocol.request_id import request_id

NewGate = Callable[[str], Deployed]
NewScripted = Callable[..., Deployed]
METHODS = pytest.mark.parametrize("method", ["enter", "peek"])


@pytest.fixture
def gate(deploy: Callable[..., Deployed]) -> NewGate:
    return lambda rule: deploy(GATE, gate_rule(rule, STRANGER.sender))


def _is_kept_out(gate: Deployed, method: str, greeting: str = "hi") -> RejectionError:
    with pytest.raises(RejectionError) as caught:
        gate.update(method, greeting)
    assert not caught.value.is_certified
    with pytest.raises(RejectionError):
        gate.submit(method, greeting)
    return caught.value


@METHODS
def test_an_empty_canister_accepts_nothing(wire: Wire, gate: NewGate, method: str) -> None:
    empty = Deployed(wire, wire.create(), gate("").interface)

    assert _is_kept_out(empty, method).error_code == "IC0537"


@METHODS
def test_what_is_accepted_is_executed(gate: NewGate, method: str) -> None:
    assert gate("").update(method, "hi") == "hi"


@METHODS
@pytest.mark.parametrize(
    ("rule", "code"), [("silent", 4), ("trap", 5), ("twice", 5)], ids=["silent", "trap", "twice"]
)
def test_what_is_not_accepted_is_refused_by_one_node(
    gate: NewGate, rule: str, method: str, code: int
) -> None:
    assert _is_kept_out(gate(rule), method).code == code


def test_queries_are_not_looked_at(gate: NewGate) -> None:
    assert gate("trap").query("peek", "hi") == "hi"


def test_calls_of_canisters_are_not_looked_at(gate: NewGate, scripted: NewScripted) -> None:
    """The callee knows no such method: that it says so shows that the call came through."""
    answer = scripted().update("relay_run", gate("trap").id, "reply x")

    assert "has no update method 'run'" in answer


def test_the_method_is_known(gate: NewGate) -> None:
    canister = gate("method")

    assert canister.update("enter", "hi") == "hi"
    assert _is_kept_out(canister, "peek").code == 5


@METHODS
def test_the_caller_is_known(gate: NewGate, method: str) -> None:
    canister = gate("caller")

    assert canister.signed_by(STRANGER).update(method, "hi") == "hi"
    assert _is_kept_out(canister.signed_by(USER), method).code == 5


@METHODS
def test_the_argument_is_known(gate: NewGate, method: str) -> None:
    canister = gate("arg")

    assert canister.update(method, "hi") == "hi"
    assert _is_kept_out(canister, method, "hello " * 10).code == 5


def test_what_was_kept_out_was_never_a_request(wire: Wire, gate: NewGate) -> None:
    canister = gate("silent")
    content = wire.call_content(canister.id, "enter", canister.encode("enter", "hi"))

    wire.send(canister.id, content)

    path = (b"request_status", request_id(content))
    assert wire.certificate(canister.id, path).value(*path, b"status") is None
