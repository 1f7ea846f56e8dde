"""Install, upgrade and reinstall: what stays, what goes, and nothing in between."""

import pytest
from native_canister import NativeCanister, TrappedError, bundle, install

from icfleet_localnet.kybra_host.inprocess import InProcessExecutor
from icfleet_protocol.candid.types import nat64, text

FIRST = """
from kybra import (
    Async, Service, StableBTreeMap, Vec, ic, init, nat64, post_upgrade, pre_upgrade, query,
    service_update, text, update, void,
)


class Peer(Service):
    @service_update
    def ask(self) -> text: ...


rows = StableBTreeMap[nat64, text](memory_id=0, max_key_size=15, max_value_size=50)
state = {"heap": 0, "trap": False}


@init
def start(number: nat64) -> void:
    state["heap"] = number
    ic.set_timer(60, lambda: None)


@update
def write(key: nat64, value: text) -> void:
    state["heap"] += 1
    rows.insert(key, value)


@update
def trap_in_pre_upgrade() -> void:
    state["trap"] = True


@pre_upgrade
def save() -> void:
    rows.insert(100, "saved " + str(state["heap"]))
    state["heap"] = -1
    ic.print("saving")
    if state["trap"]:
        raise ValueError("cannot save")


@post_upgrade
def restore(number: nat64) -> void:
    state["heap"] = number


@query
def heap() -> nat64:
    return state["heap"]


@query
def all_rows() -> Vec[text]:
    return [f"{key} {value}" for key, value in rows.items()]


@update
def wait() -> Async[text]:
    state["heap"] += 1
    yield Peer(ic.id()).ask()
    return "done"
"""

SECOND = FIRST.replace(
    'state["heap"] = number\n\n\n@query', 'state["heap"] = number + 1000\n\n\n@query'
)


@pytest.fixture
def canister() -> NativeCanister:
    canister = NativeCanister.install(FIRST, (nat64, 5))
    canister.update("write", 1, "one")
    return canister


def test_stable_memory_stays_and_the_heap_goes(canister: NativeCanister) -> None:
    """``pre_upgrade`` sees the old heap; ``post_upgrade`` runs in a fresh one."""
    outcome = canister.upgrade(SECOND, (nat64, 7))

    assert outcome.trap is None
    assert outcome.prints == ("saving",)
    assert canister.query("heap") == 1007
    assert canister.query("all_rows") == ["1 one", "100 saved 6"]


def test_init_does_not_run_at_an_upgrade(canister: NativeCanister) -> None:
    canister.upgrade(SECOND, (nat64, 7))

    assert canister.instance.next_timer_ns is None


FAILURES = [
    pytest.param("raise ValueError('top level')", "ValueError: top level", id="top-level"),
    pytest.param(
        FIRST.replace(
            'state["heap"] = number\n\n\n@query',
            'rows.insert(200, "x")\n    ic.trap("no")\n\n\n@query',
        ),
        "no",
        id="post-upgrade",
    ),
    pytest.param(
        FIRST.replace("max_value_size=50", "max_value_size=51").replace(
            'state["heap"] = number\n\n\n@query', "rows.get(1)\n\n\n@query"
        ),
        "Panicked at 'max_value_size must be <= 50'",
        id="map-grew",
    ),
    pytest.param("a, b = 1, 2", "main.py", id="sources-that-do-not-compile"),
]


@pytest.mark.parametrize(("source", "message"), FAILURES)
def test_an_upgrade_that_fails_leaves_no_trace(
    canister: NativeCanister, source: str, message: str
) -> None:
    """Heap, stable memory, timers and suspended calls of the old code go on as if nothing was."""
    waiting = canister.execute(canister.update_message("wait"))
    timer_ns = canister.instance.next_timer_ns

    outcome = canister.upgrade(source, (nat64, 7))

    assert outcome.trap is not None
    assert message in outcome.trap.message
    assert canister.query("heap") == 7
    assert canister.query("all_rows") == ["1 one"]
    assert canister.instance.next_timer_ns == timer_ns
    assert canister.value("wait", canister.answer(waiting, (text, "x"))) == "done"


def test_a_pre_upgrade_that_fails_leaves_no_trace(canister: NativeCanister) -> None:
    canister.update("trap_in_pre_upgrade")

    outcome = canister.upgrade(SECOND, (nat64, 7))

    assert outcome.trap is not None
    assert outcome.trap.message == "ValueError: cannot save"
    assert canister.query("heap") == 6
    assert canister.query("all_rows") == ["1 one"]


def test_an_upgrade_works_after_one_that_failed(canister: NativeCanister) -> None:
    canister.upgrade("raise ValueError('x')", (nat64, 7))

    assert canister.upgrade(SECOND, (nat64, 7)).trap is None
    assert canister.query("all_rows") == ["1 one", "100 saved 6"]


def test_a_suspended_call_cannot_go_on_in_new_code(canister: NativeCanister) -> None:
    waiting = canister.execute(canister.update_message("wait"))
    canister.upgrade(SECOND, (nat64, 7))

    assert canister.answer(waiting, (text, "x")).trap is not None


def test_a_reinstall_starts_from_empty_memory(canister: NativeCanister) -> None:
    again = NativeCanister.install(FIRST, (nat64, 1), executor=canister.executor)

    assert again.query("heap") == 1
    assert again.query("all_rows") == []


def test_an_init_argument_that_does_not_fit_fails_the_install() -> None:
    with pytest.raises(TrappedError, match="failed to decode call arguments"):
        NativeCanister.install(FIRST, (text, "x"))


def test_without_parameters_the_argument_is_not_decoded() -> None:
    source = """
    from kybra import init, void

    @init
    def start() -> void:
        pass
    """

    assert NativeCanister.install(source, (text, "ignored")).installed.trap is None


def test_stable_bytes_count_keys_and_values(canister: NativeCanister) -> None:
    """Candid messages: 15 bytes of key, 11 of a text of three letters."""
    assert canister.instance.stable_bytes == 26


def test_random_numbers_repeat_with_the_seed_and_differ_after_an_upgrade() -> None:
    """They are a canister's own, start after start, and decided by the executor's seed."""
    source = """
    import random
    from kybra import float64, query, update

    @update
    def draw() -> float64:
        return random.random()

    @query
    def peek() -> float64:
        return random.random()
    """

    def draws(seed: int) -> list[float]:
        canister = NativeCanister.install(source, executor=InProcessExecutor(seed=seed))
        first = [canister.update("draw"), canister.query("peek"), canister.update("draw")]
        assert first[1] == first[2], "a query's draw is undone"
        canister.upgrade(source)
        return [*first, canister.update("draw")]

    assert draws(1) == draws(1)
    assert len({*draws(1), *draws(2)}) == 6


def test_the_executor_reads_equal_sources_once() -> None:
    """A fleet of equal canisters is installed in the time of one."""
    executor = InProcessExecutor()
    module = bundle(FIRST)

    first = install(executor, module, (nat64, 1)).instance
    second = install(executor, module, (nat64, 1)).instance

    assert first is not None
    assert second is not None
    assert first.interface is second.interface
