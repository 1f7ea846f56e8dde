"""What becomes of a canister whose cycles run out: timers wait, and at last its code goes."""

from collections.abc import Callable
from dataclasses import replace

from localnet_client import COUNTER, Client, Deployed
from management_calls import manage, set_settings, status

S = 1_000_000_000
SPENDING = """
from kybra import Async, Service, ic, nat64, query, service_update, update, void

state = {"spent": 0, "ticks": 0}


class Sink(Service):
    @service_update
    def take(self) -> nat64: ...


def spend() -> Async[void]:
    state["spent"] = state["spent"] + 1
    yield Sink(ic.id()).take().with_cycles(60_000_000_000)


def tick() -> void:
    state["ticks"] = state["ticks"] + 1


@update
def take() -> nat64:
    return ic.msg_cycles_accept(ic.msg_cycles_available())


@update
def arm() -> void:
    ic.set_timer(5, spend)
    ic.set_timer(5, tick)


@query
def spent() -> nat64:
    return state["spent"]


@query
def ticks() -> nat64:
    return state["ticks"]
"""


def test_a_timer_for_which_another_left_no_cycles_waits_for_them(
    deploy: Callable[[str], Deployed], client: Client
) -> None:
    """Both are due at once; the first sends away what the second would have to pay in advance."""
    canister = deploy(SPENDING)
    canister.update("arm")
    record = client.subnet.canisters[canister.id]
    record.cycles = 125_000_000_000
    record.settings = replace(record.settings, freezing_threshold=0)
    client.now_ns += 5 * S
    client.network.run_round(client.now_ns)
    assert (canister.query("spent"), canister.query("ticks")) == (1, 0)

    record.cycles = 10**14
    client.advance(60 * S)

    assert (canister.query("spent"), canister.query("ticks")) == (1, 1)


def test_a_canister_without_cycles_is_left_empty(
    deploy: Callable[[str], Deployed], client: Client
) -> None:
    """Chunks, log, allocations and history go with the code; the count of changes stays."""
    canister = deploy(COUNTER)
    manage(client, "upload_chunk", canister_id=canister.id, chunk=b"part")
    set_settings(client, canister.id, compute_allocation=1, memory_allocation=1 << 30)
    record = client.subnet.canisters[canister.id]
    changes = record.history.total
    assert len(record.history.recent) == changes > 0

    record.cycles = 0
    client.advance(30 * S)
    record.cycles = 10**13

    shown = status(client, canister.id)
    assert shown["module_hash"] is None
    assert shown["memory_metrics"]["wasm_chunk_store_size"] == 0
    assert shown["settings"]["compute_allocation"] == 0
    assert shown["settings"]["memory_allocation"] == 0
    assert (record.instance, record.installed_ns, len(record.log)) == (None, None, 0)
    path = (b"canister", canister.id.raw, b"last_install_timestamp")
    assert client.certified(canister.id, *path) is None
    assert (record.history.total, len(record.history.recent)) == (changes, 0)
