"""What stops a message: the canister's inspection, its guards, and the limits of instructions."""

from collections.abc import Callable

import pytest
from localnet_client import Client, Deployed, RejectedError

GUARDED = """
from kybra import (
    Async, CallResult, GuardResult, Principal, Service, ic, inspect_message, nat64, query,
    service_update, text, update, void,
)

state = {"count": 0}


@inspect_message
def inspect() -> void:
    state["count"] = state["count"] + 1_000
    name = ic.method_name()
    if name == "trapping":
        ic.trap("no such luck")
    if name != "refused":
        ic.accept_message()


class Peer(Service):
    @service_update
    def refused(self) -> nat64: ...


def forbid() -> GuardResult:
    return {"Err": "not today"}


@update
def increment() -> nat64:
    state["count"] = state["count"] + 1
    return state["count"]


@update
def refused() -> nat64:
    return 7


@update
def trapping() -> nat64:
    return 7


@update(guard=forbid)
def forbidden() -> nat64:
    state["count"] = state["count"] + 50
    return 7


@update
def ask(peer: Principal) -> Async[text]:
    result: CallResult[nat64] = yield Peer(peer).refused()
    return str(result.Ok)


@query
def forever() -> nat64:
    while True:
        pass


@query
def count() -> nat64:
    return state["count"]
"""


@pytest.fixture
def canister(deploy: Callable[[str], Deployed]) -> Deployed:
    return deploy(GUARDED)


@pytest.mark.parametrize(("method", "error_code"), [("refused", "IC0406"), ("trapping", "IC0503")])
def test_an_inspection_that_does_not_accept_keeps_a_users_message_out(
    canister: Deployed, client: Client, method: str, error_code: str
) -> None:
    """It is refused by a node, without a certificate, and costs nothing."""
    before = client.subnet.canisters[canister.id].cycles
    with pytest.raises(RejectedError) as caught:
        canister.update(method)

    assert (caught.value.error_code, caught.value.certified) == (error_code, False)
    assert client.subnet.canisters[canister.id].cycles == before


def test_an_inspection_changes_nothing(canister: Deployed) -> None:
    assert canister.update("increment") == 1


def test_calls_of_canisters_are_not_inspected(
    canister: Deployed, deploy: Callable[[str], Deployed]
) -> None:
    assert deploy(GUARDED).update("ask", canister.id) == "7"


def test_a_guard_that_refuses_is_a_certified_reject(canister: Deployed) -> None:
    with pytest.raises(RejectedError, match="not today") as caught:
        canister.update("forbidden")

    assert (caught.value.error_code, caught.value.certified) == ("IC0406", True)
    assert canister.query("count") == 0


def test_a_query_that_never_ends_is_ended(canister: Deployed) -> None:
    with pytest.raises(RejectedError) as caught:
        canister.query("forever")

    assert caught.value.error_code == "IC0522"
    assert "Canister exceeded the limit of 5000000000 instructions for single message" in str(
        caught.value
    )
    assert canister.query("count") == 0
