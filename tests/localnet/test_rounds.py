"""Rounds in time: heartbeats, timers, halted subnets, messages between subnets, seeded order."""

from collections.abc import Callable
from dataclasses import replace
from random import Random
from typing import Any

import pytest
from localnet_client import COUNTER, START_NS, Built, Client, Deployed, RejectedError

from icfleet_localnet.http_interface import HttpInterface, Wait
from icfleet_localnet.http_response import HttpResponse
from icfleet_localnet.kybra_host.inprocess import InProcessExecutor
from icfleet_localnet.network import Network
from icfleet_localnet.profiles import FAST, MAINNET
from icfleet_localnet.topology import Topology

S = 1_000_000_000
BEATING = """
from kybra import heartbeat, ic, nat64, query, text, update, void

state = {"beats": 0, "ticks": 0, "log": ""}


@heartbeat
def beat() -> void:
    state["beats"] = state["beats"] + 1
    state["log"] = state["log"] + "h"


def tick() -> void:
    state["ticks"] = state["ticks"] + 1
    state["log"] = state["log"] + "t"


@update
def spin() -> void:
    ic.set_timer_interval(0, tick)


@update
def tick_in(delay: nat64) -> void:
    ic.set_timer(delay, tick)
    state["log"] = ""


@update
def mark() -> void:
    state["log"] = state["log"] + "m"


@query
def beats() -> nat64:
    return state["beats"]


@query
def ticks() -> nat64:
    return state["ticks"]


@query
def log() -> text:
    return state["log"]
"""
SENDER = """
from kybra import Async, CallResult, Principal, Service, query, service_update, text, update, void

state = {"log": ""}


class Peer(Service):
    @service_update
    def note(self, what: text) -> void: ...


@update
def note(what: text) -> void:
    state["log"] = state["log"] + what


@update
def send(peer: Principal, words: text) -> void:
    for word in words.split(" "):
        Peer(peer).note(word).notify()


@update
def ask(peer: Principal, what: text) -> Async[void]:
    result: CallResult[void] = yield Peer(peer).note(what)
    state["log"] = state["log"] + "!"


@query
def log() -> text:
    return state["log"]
"""


def network_client(**options: Any) -> Client:
    network = Network(InProcessExecutor(), seed=b"test", now_ns=START_NS, **options)
    return Client(HttpInterface(network), network)


def deploy_on(client: Client, built: Built, subnet: int) -> Deployed:
    near = client.network.applications[subnet].plan.first_canister
    created = client.create(near=near)
    client.install(created, built.wasm)
    return Deployed(client, created, built.interface)


def test_a_heartbeat_comes_once_a_second_and_not_with_every_round(
    deploy: Callable[[str], Deployed], client: Client
) -> None:
    """Rounds follow each other as fast as there is work; on the Internet Computer, each second."""
    canister = deploy(BEATING)
    before = canister.query("beats")
    for _ in range(20):
        canister.update("mark")
    assert canister.query("beats") - before <= 1

    before = canister.query("beats")
    client.advance(10 * S)
    assert 9 <= canister.query("beats") - before <= 11


def test_a_network_with_a_heartbeat_comes_to_rest_between_two_of_them(
    deploy: Callable[[str], Deployed], client: Client
) -> None:
    deploy(BEATING)
    client.advance(2 * S)
    assert not client.network.has_work
    next_ns = client.network.next_event_ns
    assert next_ns is not None
    assert 0 < next_ns - client.subnet.time_ns <= S


def test_a_stopped_canister_has_no_heartbeat(
    deploy: Callable[[str], Deployed], client: Client
) -> None:
    canister = deploy(BEATING)
    client.manage("stop_canister", {"canister_id": canister.id})
    record = client.subnet.canisters[canister.id]
    version = record.version
    client.advance(5 * S)
    assert record.version == version
    assert client.network.next_event_ns is None

    client.manage("start_canister", {"canister_id": canister.id})
    before = canister.query("beats")
    client.advance(5 * S)
    assert canister.query("beats") - before >= 4


def test_timers_and_heartbeats_come_before_messages(
    deploy: Callable[[str], Deployed], client: Client
) -> None:
    canister = deploy(BEATING)
    canister.update("tick_in", 60)
    client.now_ns += 61 * S
    canister.update("mark")

    assert sorted(canister.query("log")[:2]) == ["h", "t"]
    assert canister.query("log")[2] == "m"


def test_a_timer_without_delay_does_not_keep_the_network_busy(
    deploy: Callable[[str], Deployed], client: Client
) -> None:
    canister = deploy(BEATING)
    canister.update("spin")
    height = client.subnet.height
    client.advance(10 * S)

    assert canister.query("ticks") >= 10
    assert client.subnet.height - height < 300


def test_virtual_time_runs_each_timer_at_its_moment(
    deploy: Callable[[str], Deployed], client: Client
) -> None:
    canister = deploy(BEATING)
    for delay in (60, 10, 120):
        canister.update("tick_in", delay)

    client.advance(61 * S)
    assert canister.query("ticks") == 2
    client.advance(60 * S)
    assert canister.query("ticks") == 3


def test_an_update_that_waited_past_its_expiry_is_rejected_in_a_certificate(
    deploy: Callable[[str], Deployed], client: Client
) -> None:
    canister = deploy(COUNTER)
    arg = canister.interface.encode_args("increment", [1])
    wait = client.submit(canister.id, "increment", arg)
    assert isinstance(wait, Wait)
    client.now_ns += 5 * 60 * S
    client.run_rounds()

    path = (b"request_status", wait.request)
    assert client.certified(canister.id, *path, b"error_code") == b"IC0202"
    assert canister.query("read") == 1


def test_a_halted_subnet_makes_no_rounds_and_the_others_go_on(
    build_source: Callable[[str], Built],
) -> None:
    """What was sent to it waits; it is executed, in order, when the subnet goes on."""
    client = network_client(topology=Topology(subnets=2))
    built = build_source(SENDER)
    here, there = deploy_on(client, built, 0), deploy_on(client, built, 1)
    halted = client.network.applications[1]
    halted.is_halted = True
    height = halted.height

    here.update("send", there.id, "a b c")
    client.advance(30 * S)
    assert halted.height == height
    assert not client.network.has_work
    here.update("note", "on")
    assert here.query("log") == "on"

    halted.is_halted = False
    client.run_rounds()
    assert there.query("log") == "abc"


def test_a_halted_subnet_takes_no_updates_and_still_answers_queries(
    deploy: Callable[[str], Deployed], client: Client
) -> None:
    canister = deploy(COUNTER)
    client.subnet.is_halted = True
    arg = canister.interface.encode_args("increment", [1])
    refused = client.submit(canister.id, "increment", arg)

    assert isinstance(refused, HttpResponse)
    assert refused.status == 503
    assert canister.query("read") == 1
    client.subnet.is_halted = False
    assert canister.update("increment", 1) == 1


def test_a_call_to_a_halted_subnet_survives_no_upgrade_of_its_caller(
    build_source: Callable[[str], Built],
) -> None:
    client = network_client(topology=Topology(subnets=2))
    built = build_source(SENDER)
    here, there = deploy_on(client, built, 0), deploy_on(client, built, 1)
    client.network.applications[1].is_halted = True
    request = client.submit(here.id, "ask", built.interface.encode_args("ask", [there.id, "x"]))
    assert isinstance(request, Wait)
    client.run_rounds()
    record = client.network.applications[0].canisters[here.id]
    client.install(here.id, built.wasm, mode="upgrade")
    assert record.open_contexts == 1

    client.network.applications[1].is_halted = False
    client.run_rounds()
    assert record.open_contexts == 0
    path = (b"request_status", request.request, b"error_code")
    assert client.certified(here.id, *path) == b"IC0513"
    assert there.query("log") == "x"


def test_a_call_that_is_open_for_long_is_not_forgotten(
    build_source: Callable[[str], Built],
) -> None:
    """Its result is there for whoever still waits for it."""
    client = network_client(topology=Topology(subnets=2))
    built = build_source(SENDER)
    here, there = deploy_on(client, built, 0), deploy_on(client, built, 1)
    client.network.applications[1].is_halted = True
    wait = client.submit(here.id, "ask", built.interface.encode_args("ask", [there.id, "x"]))
    assert isinstance(wait, Wait)
    client.advance(3600 * S)
    path = (b"request_status", wait.request, b"status")
    assert client.certified(here.id, *path) == b"processing"

    client.network.applications[1].is_halted = False
    client.now_ns += S
    reports = client.network.advance(client.now_ns)
    assert wait.request in [request for report in reports for request in report.answered]
    assert client.certified(here.id, *path) == b"replied"
    client.advance(4 * 60 * S)
    assert client.certified(here.id, *path) == b"replied"
    client.advance(2 * 60 * S)
    assert client.certified(here.id, *path) is None


def test_messages_between_two_subnets_keep_their_order_under_any_delay(
    build_source: Callable[[str], Built],
) -> None:
    slow = replace(FAST, cross_subnet_rounds_min=1, cross_subnet_rounds_max=9)
    client = network_client(topology=Topology(subnets=2), profile=slow)
    built = build_source(SENDER)
    here, there = deploy_on(client, built, 0), deploy_on(client, built, 1)
    words = [chr(ord("a") + index) for index in range(20)]

    here.update("send", there.id, " ".join(words[:10]))
    client.advance(S)
    here.update("send", there.id, " ".join(words[10:]))
    client.advance(20 * S)

    assert there.query("log") == "".join(words)


def test_a_profile_says_how_many_rounds_a_message_takes_to_another_subnet(
    build_source: Callable[[str], Built],
) -> None:
    client = network_client(
        topology=Topology(subnets=2), profile=replace(MAINNET, capacity=None, node_count=1)
    )
    built = build_source(SENDER)
    here, there = deploy_on(client, built, 0), deploy_on(client, built, 1)
    destination = client.network.applications[1]
    source = client.network.applications[0]
    body = client.sign(here.id, "send", built.interface.encode_args("send", [there.id, "a"])).body
    client.interface.post(f"/api/v2/canister/{here.id}/call", body, now_ns=client.now_ns)
    client.network.run_round(client.now_ns)
    assert not source.has_work
    height = destination.height

    client.run_rounds()
    assert there.query("log") == "a"
    assert 2 <= destination.height - height <= 3


CHATTING = """
from kybra import Async, CallResult, Principal, Service, nat64, query, service_update, text, update

state = {"log": ""}


class Peer(Service):
    @service_update
    def note(self, what: text) -> nat64: ...


@update
def note(what: text) -> nat64:
    state["log"] = state["log"] + what
    return len(state["log"])


@update
def chat(first: Principal, second: Principal, what: text) -> Async[text]:
    for peer in (first, second):
        result: CallResult[nat64] = yield Peer(peer).note(what)
        state["log"] = state["log"] + what + str(result.Ok)
    return state["log"]


@query
def log() -> text:
    return state["log"]
"""


def chat(built: Built, seed: int | None) -> tuple[bytes, str]:
    """Run a workload, and return the state's digest and what its canisters saw."""
    client = network_client(order=None if seed is None else Random(seed))
    chatting = [deploy_on(client, built, 0) for _ in range(4)]
    for index, each in enumerate(chatting):
        peers = [chatting[index - 1].id, chatting[index - 2].id]
        for word in ("x", "y"):
            arg = built.interface.encode_args("chat", [*peers, f"{index}{word}"])
            answer = client.submit(each.id, "chat", arg)
            assert not isinstance(answer, HttpResponse)
    client.run_rounds()
    digest = client.subnet.certifier.tree.digest
    return digest, "|".join(each.query("log") for each in chatting)


@pytest.mark.parametrize("seed", [None, 1, 2])
def test_the_same_order_gives_the_same_state(
    build_source: Callable[[str], Built], seed: int | None
) -> None:
    built = build_source(CHATTING)

    assert chat(built, seed) == chat(built, seed)


def test_other_orders_give_other_interleavings(build_source: Callable[[str], Built]) -> None:
    built = build_source(CHATTING)

    assert len({chat(built, seed)[1] for seed in range(5)}) >= 3


def test_a_full_ingress_history_refuses_further_messages(
    deploy: Callable[[str], Deployed], client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    canister = deploy(COUNTER)
    monkeypatch.setattr("icfleet_localnet.subnet.INGRESS_HISTORY_MAX", len(client.subnet.history))

    with pytest.raises(RejectedError) as caught:
        canister.update("increment", 1)
    assert (caught.value.error_code, caught.value.certified) == ("IC0204", False)


def test_a_canisters_line_of_users_messages_is_bounded(
    deploy: Callable[[str], Deployed], client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    canister = deploy(COUNTER)
    monkeypatch.setattr("icfleet_localnet.subnet.INGRESS_QUEUE_MAX", 2)
    arg = canister.interface.encode_args("increment", [1])
    for _ in range(2):
        assert isinstance(client.submit(canister.id, "increment", arg), Wait)
    refused = client.submit(canister.id, "increment", arg)

    assert isinstance(refused, HttpResponse)
    assert b"IC0201" in refused.body
    client.run_rounds()
    assert canister.update("increment", 1) == 3


RANDOM = """
from kybra import Async, CallResult, Principal, Service, blob, service_update, update


class Management(Service):
    @service_update
    def raw_rand(self) -> blob: ...


@update
def draw() -> Async[blob]:
    result: CallResult[blob] = yield Management(Principal.from_str("aaaaa-aa")).raw_rand()
    return result.Ok
"""


def test_randomness_differs_by_draw_and_repeats_by_seed(
    build_source: Callable[[str], Built],
) -> None:
    source = build_source(RANDOM)

    def draw() -> list[bytes]:
        canister = deploy_on(network_client(), source, 0)
        return [canister.update("draw") for _ in range(3)]

    assert len(set(draw())) == 3
    assert draw() == draw()


def test_the_mainnet_profile_executes_no_more_than_its_threads_allow(
    build_source: Callable[[str], Built],
) -> None:
    """At a hundredth of mainnet's speed, one canister gets a few messages into a round."""
    client = network_client(profile=MAINNET)
    canister = deploy_on(client, build_source(COUNTER), 0)
    arg = canister.interface.encode_args("increment", [1])
    for _ in range(100):
        client.submit(canister.id, "increment", arg)

    client.now_ns += S
    (report,) = client.network.run_round(client.now_ns)

    assert 0 < report.messages < 100
    assert client.network.has_work
