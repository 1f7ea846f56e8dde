"""Calls that are not answered yet, while their canister is stopped, upgraded or emptied."""

from collections.abc import Callable
from typing import Any

import pytest
from localnet_client import START_NS, Built, Client, Deployed, RejectedError

from icfleet_localnet.bundle import write_module
from icfleet_localnet.call_context import Answer
from icfleet_localnet.http_interface import HttpInterface, Wait
from icfleet_localnet.ingress import Received, Replied
from icfleet_localnet.kybra_host.inprocess import InProcessExecutor
from icfleet_localnet.management import MANAGEMENT_INTERFACE
from icfleet_localnet.network import Network
from icfleet_localnet.queries import HeldState
from icfleet_localnet.rejects import Reject
from icfleet_localnet.topology import Topology
from icfleet_protocol.envelope import CallContent
from icfleet_protocol.principal import MANAGEMENT_CANISTER

WAITING = """
from kybra import (
    Async, CallResult, Manual, Principal, Service, ic, nat64, query, service_update, text, update,
)

state = {"count": 0}


class Peer(Service):
    @service_update
    def increment(self) -> nat64: ...


@update
def increment() -> nat64:
    state["count"] = state["count"] + 1
    return state["count"]


@update
def ask(peer: Principal) -> Async[nat64]:
    state["count"] = state["count"] + 10
    result: CallResult[nat64] = yield Peer(peer).increment().with_cycles(1_000_000_000_000)
    state["count"] = state["count"] + 100
    return result.Ok


@update
def ask_and_trap(peer: Principal) -> Async[nat64]:
    state["count"] = state["count"] + 10
    result: CallResult[nat64] = yield Peer(peer).increment()
    state["count"] = state["count"] + 100
    ic.trap("after the await")


@update
def stay_silent() -> Manual[nat64]:  # icfleet: ignore[KY123]
    state["count"] = state["count"] + 1


@update
def answer_twice() -> Manual[nat64]:
    state["count"] = state["count"] + 1
    ic.reply(1)
    ic.reply(2)


@query
def count() -> nat64:
    return state["count"]
"""


class Pair:
    """Two canisters on two subnets; the second subnet is halted until ``go_on``."""

    def __init__(self, built: Built) -> None:
        network = Network(
            InProcessExecutor(), seed=b"test", now_ns=START_NS, topology=Topology(subnets=2)
        )
        self.client = Client(HttpInterface(network), network)
        self.here, self.there = (self._deploy(built, subnet) for subnet in (0, 1))
        self.subnet, self.remote = network.applications
        self.remote.is_halted = True

    def _deploy(self, built: Built, subnet: int) -> Deployed:
        near = self.client.network.applications[subnet].plan.first_canister
        created = self.client.create(near=near)
        self.client.install(created, built.wasm)
        return Deployed(self.client, created, built.interface)

    def start(self, method: str = "ask") -> Callable[[], Any]:
        """Start a call that waits for the other subnet, and return how to ask for its status."""
        arg = self.here.interface.encode_args(method, [self.there.id])
        wait = self.client.submit(self.here.id, method, arg)
        assert isinstance(wait, Wait)
        self.client.run_rounds()
        return lambda: self.subnet.history.status(wait.request)

    def manage(self, method: str) -> Callable[[], Any]:
        """Send a management call without waiting for its answer."""
        fields: dict[str, object] = {"canister_id": self.here.id}
        if method == "uninstall_code":
            fields["sender_canister_version"] = None
        arg = MANAGEMENT_INTERFACE.encode_args(method, [fields])
        body = self.client.sign(MANAGEMENT_CANISTER, method, arg).body
        path = f"/api/v4/canister/{self.here.id}/call"
        wait = self.client.interface.post(path, body, now_ns=self.client.now_ns)
        assert isinstance(wait, Wait)
        self.client.run_rounds()
        return lambda: self.subnet.history.status(wait.request)

    def go_on(self) -> None:
        self.remote.is_halted = False
        self.client.run_rounds()

    @property
    def cycles(self) -> int:
        return self.subnet.canisters[self.here.id].cycles


@pytest.fixture
def pair(build_source: Callable[[str], Built]) -> Pair:
    return Pair(build_source(WAITING))


def test_what_came_before_an_await_is_committed_while_it_waits(pair: Pair) -> None:
    status = pair.start()
    assert pair.here.query("count") == 10

    pair.go_on()
    assert isinstance(status(), Replied)
    assert pair.here.query("count") == 110


def test_a_trap_after_an_await_undoes_only_what_came_after_it(pair: Pair) -> None:
    status = pair.start("ask_and_trap")
    pair.go_on()

    assert status().error_code == "IC0503"
    assert pair.here.query("count") == 10


def test_other_messages_run_while_a_call_waits(pair: Pair) -> None:
    pair.start()

    assert pair.here.update("increment") == 11


def test_a_canister_with_an_open_call_stops_once_it_is_answered(pair: Pair) -> None:
    status = pair.start()
    stop = pair.manage("stop_canister")
    with pytest.raises(RejectedError, match="IC0509"):
        pair.here.update("increment")
    assert not isinstance(stop(), Answer)

    pair.go_on()
    assert isinstance(status(), Replied)
    assert isinstance(stop(), Replied)
    with pytest.raises(RejectedError, match="IC0508"):
        pair.here.query("count")


def test_after_an_upgrade_the_answer_finds_nobody_and_the_call_is_rejected(pair: Pair) -> None:
    """Python's suspended generators do not survive it; stop the canister first."""
    status = pair.start()
    before = pair.cycles
    pair.client.install(pair.here.id, _wasm(pair), mode="upgrade")
    pair.go_on()

    assert status().error_code == "IC0513"
    # The cycles that the callee did not take came back all the same.
    assert pair.cycles > before + 900_000_000_000


def _wasm(pair: Pair) -> bytes:
    module = pair.subnet.canisters[pair.here.id].module
    assert module is not None
    return write_module(module.entry, module.files, module.did)


def test_an_uninstalled_canisters_open_calls_are_rejected_at_once(pair: Pair) -> None:
    status = pair.start()
    assert not isinstance(status(), Received)
    before = pair.cycles
    assert isinstance(pair.manage("uninstall_code")(), Replied)

    assert isinstance(status(), Reject)
    assert "uninstalled" in status().message
    assert pair.subnet.canisters[pair.here.id].open_contexts == 1
    pair.go_on()
    assert pair.subnet.canisters[pair.here.id].open_contexts == 0
    assert pair.cycles > before + 900_000_000_000
    assert "uninstalled" in status().message


def test_a_call_without_an_answer_is_rejected_and_its_changes_are_kept(
    deploy: Callable[[str], Deployed],
) -> None:
    canister = deploy(WAITING)
    with pytest.raises(RejectedError, match="IC0506"):
        canister.update("stay_silent")

    assert canister.query("count") == 1


def test_a_second_answer_is_a_trap(deploy: Callable[[str], Deployed]) -> None:
    canister = deploy(WAITING)
    with pytest.raises(RejectedError, match="IC0504"):
        canister.update("answer_twice")

    assert canister.query("count") == 0


def test_an_old_state_can_be_asked_while_it_is_held(
    deploy: Callable[[str], Deployed], client: Client
) -> None:
    canister = deploy(WAITING)
    instance = client.subnet.canisters[canister.id].instance
    assert instance is not None
    canister.update("increment")
    held = HeldState(instance.hold(), client.subnet.time_ns)
    canister.update("increment")

    def ask(method: str, held: HeldState | None) -> Answer:
        call = CallContent(
            request_type="query",
            sender=client.identity.sender,
            ingress_expiry_ns=client.now_ns,
            canister=canister.id,
            method=method,
            arg=canister.interface.encode_args("count", []),
        )
        return client.subnet.query(call, data_certificate=b"", held=held).answer

    answers = [ask("count", held), ask("count", None)]
    assert [
        canister.interface.decode_results("count", each.arg)
        for each in answers
        if isinstance(each, Replied)
    ] == [(1,), (2,)]
    assert getattr(ask("increment", held), "error_code", None) == "IC0536"
