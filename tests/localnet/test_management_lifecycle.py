"""Canisters start, stop, wait, are emptied and deleted as on the mainnet."""

from collections.abc import Callable

import pytest
from localnet_client import (
    MINUTE_NS,
    NO_ARGS,
    START_NS,
    Built,
    Client,
    Deployed,
    RejectedError,
)
from management_calls import (
    DELETE,
    START,
    STOP,
    WAITER,
    argument,
    ask,
    deploy_hold,
    error_code,
    manage,
    open_call,
    run_state,
    set_settings,
    status,
    submit,
    submit_management,
)
from probe_canisters import HOLD

from icfleet_localnet.http_interface import HttpInterface
from icfleet_localnet.kybra_host.inprocess import InProcessExecutor
from icfleet_localnet.network import Network
from icfleet_localnet.rejects import Reject
from icfleet_localnet.topology import Topology
from icfleet_protocol.envelope import CallContent
from icfleet_protocol.principal import MANAGEMENT_CANISTER, Principal

Build = Callable[[str], Built]


@pytest.fixture
def waiter(deploy: Callable[[str], Deployed]) -> Deployed:
    return deploy(WAITER)


def _version(client: Client, canister: Principal) -> int:
    return int(ask(client, "canister_status", canister_id=canister)["version"])


def test_a_stop_waits_for_the_last_open_call(
    client: Client, waiter: Deployed, build_source: Build
) -> None:
    """New calls are rejected at once; the open one is answered, then the canister is stopped."""
    waiting, hold = open_call(client, waiter, build_source)

    stops = [submit_management(client, STOP, waiter.id) for _ in range(2)]

    assert run_state(client, waiter.id) == "stopping"
    assert {stop.status for stop in stops} == {"processing"}
    assert error_code(lambda: waiter.update("increment")) == "IC0509"
    manage(client, START, canister_id=hold)
    assert b"ok " in waiting.reply
    assert {stop.status for stop in stops} == {"replied"}
    assert run_state(client, waiter.id) == "stopped"
    assert error_code(lambda: waiter.update("increment")) == "IC0508"


def test_a_stop_that_takes_five_minutes_times_out_and_goes_on(build_source: Build) -> None:
    """The one who asked hears IC0206; the canister stops when its call ends."""
    topology = Topology(subnets=2)
    network = Network(InProcessExecutor(), seed=b"far", now_ns=START_NS, topology=topology)
    client = Client(HttpInterface(network), network)
    built = build_source(WAITER)
    canister = client.create()
    client.install(canister, built.wasm)
    abroad = network.applications[1]
    abroad.is_halted = True
    submit(
        client, canister, "wait", built.interface.encode_args("wait", [abroad.plan.first_canister])
    )
    stop = submit_management(client, STOP, canister)
    client.now_ns += 5 * MINUTE_NS - 10_000_000
    client.run_rounds()
    assert stop.status == "processing"

    client.now_ns += 10_000_000
    client.run_rounds()

    assert (stop.status, stop.error_code) == ("rejected", "IC0206")
    assert run_state(client, canister) == "stopping"
    abroad.is_halted = False
    client.run_rounds()
    assert run_state(client, canister) == "stopped"


def test_starting_cancels_every_stop_that_waits(
    client: Client, waiter: Deployed, build_source: Build
) -> None:
    """The canister goes on as if nothing had been asked."""
    _, hold = open_call(client, waiter, build_source)
    stops = [submit_management(client, STOP, waiter.id) for _ in range(2)]

    manage(client, START, canister_id=waiter.id)

    assert {(stop.status, stop.error_code) for stop in stops} == {("rejected", "IC0511")}
    assert waiter.update("increment") == 1
    manage(client, START, canister_id=hold)
    assert run_state(client, waiter.id) == "running"


def test_every_change_of_status_counts_as_a_version(client: Client) -> None:
    """Asking to stop is one and having stopped another, as the specification has it."""
    canister = client.create()
    versions = [_version(client, canister)]

    for method in (STOP, STOP, START, START):
        manage(client, method, canister_id=canister)
        versions.append(_version(client, canister))

    assert versions == [0, 2, 3, 4, 5]


def test_only_a_stopped_canister_can_be_deleted(client: Client, waiter: Deployed) -> None:
    """A running one stays as it is."""
    with pytest.raises(RejectedError, match="must be stopped") as caught:
        manage(client, DELETE, canister_id=waiter.id)

    assert (caught.value.error_code, caught.value.certified) == ("IC0510", True)
    assert waiter.update("increment") == 1


def test_a_stopping_canister_cannot_be_deleted(
    client: Client, waiter: Deployed, build_source: Build
) -> None:
    """It still has calls open."""
    open_call(client, waiter, build_source)
    submit_management(client, STOP, waiter.id)

    assert error_code(lambda: manage(client, DELETE, canister_id=waiter.id)) == "IC0510"


def test_a_deleted_canister_leaves_nothing(
    client: Client, waiter: Deployed, deploy: Callable[[str], Deployed]
) -> None:
    """No state, no certified data, no id for the next one; others hear that it is not there."""
    other = deploy(WAITER)
    manage(client, STOP, canister_id=waiter.id)

    manage(client, DELETE, canister_id=waiter.id)

    assert waiter.id not in client.subnet.canisters
    assert client.certified(other.id, b"canister", other.id.raw, b"module_hash") is not None
    assert client.certified(waiter.id, b"canister", waiter.id.raw, b"module_hash") is None
    for call in (
        lambda: status(client, waiter.id),
        lambda: ask(client, "canister_status", canister_id=waiter.id),
        lambda: waiter.query("count"),
        lambda: manage(client, START, canister_id=waiter.id),
    ):
        assert error_code(call) == "IC0301"
    assert "Rejection code 3" in other.update("wait", waiter.id)
    assert client.create() != waiter.id


def test_a_canister_that_something_waits_for_is_not_deleted_yet(
    client: Client, waiter: Deployed
) -> None:
    """A call that came after it stopped has to be rejected first; then it can be deleted."""
    manage(client, STOP, canister_id=waiter.id)
    delete = client.sign(MANAGEMENT_CANISTER, DELETE, argument(DELETE, canister_id=waiter.id))
    late = client.sign(waiter.id, "increment", NO_ARGS)
    for request in (delete, late):
        assert isinstance(request.content, CallContent)
        client.subnet.submit(request.content, request.request_id)

    client.run_rounds()

    statuses = [client.subnet.history.status(one.request_id) for one in (delete, late)]
    assert all(isinstance(one, Reject) for one in statuses)
    assert [one.error_code for one in statuses if isinstance(one, Reject)] == ["IC0203", "IC0508"]
    manage(client, DELETE, canister_id=waiter.id)
    assert waiter.id not in client.subnet.canisters


def test_an_emptied_canister_keeps_its_settings_and_cycles(
    client: Client, waiter: Deployed
) -> None:
    """Code, state, certified data, log and timers are gone."""
    set_settings(client, waiter.id, freezing_threshold=77)
    waiter.update("increment")
    before = ask(client, "canister_status", canister_id=waiter.id)

    manage(client, "uninstall_code", canister_id=waiter.id)

    after = ask(client, "canister_status", canister_id=waiter.id)
    assert after["module_hash"] is None
    assert (after["settings"], after["version"]) == (before["settings"], before["version"] + 1)
    assert before["cycles"] - 10_000_000 < after["cycles"] <= before["cycles"]
    assert after["memory_metrics"]["wasm_binary_size"] == 0
    assert ask(client, "fetch_canister_logs", canister_id=waiter.id) == {"canister_log_records": []}
    assert error_code(lambda: waiter.update("increment")) == "IC0537"


def test_emptying_a_canister_rejects_its_open_calls(
    client: Client, waiter: Deployed, build_source: Build
) -> None:
    """And what the old code was waiting for never reaches the new code."""
    waiting, hold = open_call(client, waiter, build_source)

    manage(client, "uninstall_code", canister_id=waiter.id)
    rejected = waiting.error_code
    client.install(waiter.id, build_source(WAITER).wasm)
    manage(client, START, canister_id=hold)

    assert rejected == "IC0406"
    assert waiter.query("count") == 0


def test_an_emptied_canister_can_be_stopped_and_deleted(client: Client, waiter: Deployed) -> None:
    """It has nothing open."""
    for method in ("uninstall_code", STOP, DELETE):
        manage(client, method, canister_id=waiter.id)

    assert waiter.id not in client.subnet.canisters


def test_a_canister_that_stops_itself_waits_for_itself(client: Client, build_source: Build) -> None:
    """Its call is open until the stop is answered, so the stop times out."""
    hold = deploy_hold(client, build_source(HOLD))
    waiting = submit(client, hold, "hold", NO_ARGS)
    assert run_state(client, hold) == "stopping"

    client.now_ns += 5 * MINUTE_NS
    client.run_rounds()

    assert b"Rejection code 2" in waiting.reply
    assert run_state(client, hold) == "stopped"


def test_timers_of_a_stopped_canister_wait_for_its_start(
    client: Client, deploy: Callable[[str], Deployed]
) -> None:
    """They are late then, not lost."""
    ticking = deploy(TICKING)
    manage(client, STOP, canister_id=ticking.id)
    client.now_ns += MINUTE_NS
    client.run_rounds()

    manage(client, START, canister_id=ticking.id)
    client.now_ns += 1_000_000_000
    client.run_rounds()

    assert ticking.query("ticks") == 1


TICKING = """
from kybra import Duration, init, ic, nat64, post_upgrade, query, void

state = {"ticks": 0}


def tick() -> void:
    state["ticks"] = state["ticks"] + 1


@init
def start() -> void:
    ic.set_timer(Duration(5), tick)


@query
def ticks() -> nat64:
    return state["ticks"]
"""
