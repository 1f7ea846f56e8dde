"""Code that runs away or crashes, and processes killed from outside, cost one message at most."""

import os
import random
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from functools import partial

import pytest
from native_canister import NativeCanister, TrappedError, bundle, install
from process_watch import Seen, group_members, wait_until, zombies

from icfleet_localnet.executor import Outcome
from icfleet_localnet.process_host.executor import ProcessExecutor
from icfleet_localnet.process_host.limits import ProcessLimits
from icfleet_protocol.candid.types import text

WILD = """
import sys

from kybra import (
    Async, Principal, Service, ic, init, nat64, query, service_query, text, update, void,
)

# The machine's own, and not the canister's view of them.
os = sys.modules["os"]
time = sys.modules["time"]


class Peer(Service):
    @service_query
    def ask(self) -> text: ...


state = {"count": 0}


def run(how: str) -> None:
    state["count"] += 1000
    if how == "loop in C":
        sum(iter(int, 1))
    if how == "sleep":
        time.sleep(1000)
    if how == "exit":
        os._exit(0)
    if how == "fault":
        os.kill(os.getpid(), 11)
    if how == "exhaust":
        hoard = []
        while True:
            hoard.append(bytes(50_000_000))
    if how == "pause":
        time.sleep(0.5)


@init
def start(how: text) -> void:
    run(how)
    state["count"] = 0


@update
def wild(how: text) -> nat64:
    run(how)
    return state["count"]


@query
def wild_query(how: text) -> nat64:
    run(how)
    return state["count"]


@update
def wild_after(how: text) -> Async[nat64]:
    state["count"] += 1
    yield Peer(Principal.from_str("ryjl3-tyaaa-aaaaa-aaaba-cai")).ask()
    run(how)
    return state["count"]


@update
def add() -> nat64:
    state["count"] += 1
    return state["count"]


@update
def refuse() -> void:
    state["count"] += 100
    ic.trap("no")


@query
def count() -> nat64:
    return state["count"]


def wild_tick():
    run("exit")


@update
def arm() -> void:
    ic.set_timer(10, wild_tick)
"""

LIMITS = ProcessLimits(cpu_s=0.5, wall_s=1.0, memory_bytes=400_000_000)

ENDINGS = [
    ("loop in C", "IC0522", "ran for more than 0.5 s"),
    ("sleep", "IC0522", "ran for more than 0.5 s"),
    ("exit", "IC0502", "the canister's process ended"),
    ("fault", "IC0502", "the canister's process ended"),
    ("exhaust", "IC0502", "ran out of memory"),
]


@pytest.fixture(scope="module")
def executor() -> Iterator[ProcessExecutor]:
    executor = ProcessExecutor(limits=LIMITS)
    yield executor
    executor.close()


@pytest.fixture
def canister(executor: ProcessExecutor) -> Iterator[NativeCanister]:
    canister = NativeCanister.install(WILD, (text, ""), executor=executor)
    yield canister
    canister.instance.close()
    wait_until(lambda: not members(executor))


def members(executor: ProcessExecutor) -> list[Seen]:
    assert executor.process_group is not None
    return group_members(executor.process_group)


def is_gone(executor: ProcessExecutor, pid: int) -> bool:
    return pid not in {one.pid for one in members(executor)}


@pytest.mark.parametrize(("how", "code", "message"), ENDINGS, ids=[one[0] for one in ENDINGS])
def test_an_update_that_ends_its_process_is_undone(
    canister: NativeCanister, how: str, code: str, message: str
) -> None:
    """It traps, and the state before it goes on."""
    assert canister.update("add") == 1

    trap = canister.trap_of("wild", how)

    assert (trap.error_code, message in trap.message) == (code, True), trap
    assert canister.query("count") == 1
    assert canister.update("add") == 2


@pytest.mark.parametrize(("how", "code", "message"), ENDINGS, ids=[one[0] for one in ENDINGS])
def test_a_query_that_ends_its_process_traps(
    canister: NativeCanister, how: str, code: str, message: str
) -> None:
    """In a process of its own, and in a reader that has served others."""
    for _ in range(2):
        with pytest.raises(TrappedError) as caught:
            canister.query("wild_query", how)
        assert (caught.value.trap.error_code, message in str(caught.value)) == (code, True)
        assert [canister.query("count") for _ in range(3)] == [0, 0, 0]
    assert canister.update("add") == 1


@pytest.mark.parametrize(("how", "code", "message"), ENDINGS, ids=[one[0] for one in ENDINGS])
def test_an_install_that_ends_its_process_leaves_none(
    executor: ProcessExecutor, how: str, code: str, message: str
) -> None:
    """Only the process that canisters are forked from stays."""
    installed = install(executor, bundle(WILD), (text, how))

    assert installed.instance is None
    assert installed.outcome.trap is not None
    assert installed.outcome.trap.error_code == code
    assert message in installed.outcome.trap.message
    wait_until(lambda: not members(executor))


def test_a_response_that_ends_its_process_uses_up_its_call(canister: NativeCanister) -> None:
    """What came before the call stays."""
    outcome = canister.execute(canister.update_message("wild_after", "exit"))

    first, again = (canister.answer(outcome, (text, "x")).trap for _ in range(2))

    assert first is not None
    assert first.error_code == "IC0502"
    assert again is not None
    assert canister.query("count") == 1


def test_a_timer_that_ends_its_process_is_used_up(canister: NativeCanister) -> None:
    """As one that traps."""
    canister.update("arm")

    (fired,) = canister.pass_time(10)

    assert fired.trap is not None
    assert canister.instance.next_timer_ns is None
    assert canister.pass_time(100) == []
    assert canister.update("add") == 1


def test_an_upgrade_that_ends_its_process_is_undone(canister: NativeCanister) -> None:
    """The old code goes on."""
    canister.update("add")

    outcome = canister.upgrade("import sys\nsys.modules['os']._exit(0)")

    assert outcome.trap is not None
    assert canister.update("add") == 2


def test_a_process_killed_in_the_middle_of_an_update_costs_that_update(
    executor: ProcessExecutor, canister: NativeCanister
) -> None:
    """It traps, and the standby goes on."""
    canister.update("add")
    worker = members(executor)[0].pid
    killer = threading.Timer(0.2, os.kill, (worker, signal.SIGKILL))
    killer.start()

    trap = canister.trap_of("wild", "pause")

    killer.join()
    assert (trap.error_code, trap.message) == ("IC0502", "the canister's process ended")
    assert canister.update("add") == 2


def test_an_idle_process_may_be_killed(executor: ProcessExecutor, canister: NativeCanister) -> None:
    """Whichever it is, another has the same state: nothing is lost, and no message fails."""
    for number in range(1, 10):
        assert canister.update("add") == number
        wait_until(lambda: len(members(executor)) == 3)
        killed = members(executor)[number % 3].pid
        os.kill(killed, signal.SIGKILL)
        wait_until(partial(is_gone, executor, killed))
        if number > 5:
            assert canister.query("count") == number
        else:
            wait_until(lambda: len(members(executor)) == 3)
    canister.trap_of("refuse")
    assert canister.update("add") == 10


def test_a_canister_whose_processes_are_all_killed_is_lost_and_says_so(
    executor: ProcessExecutor, canister: NativeCanister
) -> None:
    """Until it is installed again; others go on."""
    other = NativeCanister.install(WILD, (text, ""), executor=executor)
    own = [one.pid for one in members(executor)][:3]
    for pid in own:
        os.kill(pid, signal.SIGSTOP)
    for pid in own:
        os.kill(pid, signal.SIGKILL)
    wait_until(lambda: len(members(executor)) == 3)

    trap = canister.trap_of("add")

    assert "state is lost: reinstall it" in trap.message
    assert canister.upgrade(WILD, (text, "")).trap == trap
    with pytest.raises(TrappedError, match="process ended"):
        canister.query("count")
    assert canister.pass_time(100) == []
    assert other.update("add") == 1
    other.instance.close()


@pytest.mark.parametrize("methods", [("add",), ("add", "refuse")], ids=["commits", "traps too"])
def test_processes_killed_at_random_lose_nothing(
    executor: ProcessExecutor, canister: NativeCanister, methods: tuple[str, ...]
) -> None:
    """Each update is executed once, or traps and is not executed; seeded, one kill at a time."""
    rng, choices = random.Random(7), random.Random(8)
    is_over = threading.Event()

    def kill_some() -> None:
        while not is_over.wait(rng.uniform(0.05, 0.1)):
            pid = rng.choice(members(executor)).pid
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)

    killer = threading.Thread(target=kill_some)
    killer.start()
    outcomes: list[Outcome] = []
    end_s = time.monotonic() + 3
    while time.monotonic() < end_s:
        message = canister.update_message(choices.choice(methods))
        outcomes.append(canister.execute(message))
    is_over.set()
    killer.join()

    answers = [canister.value("add", one) for one in outcomes if one.trap is None]
    traps = {one.trap.message for one in outcomes if one.trap is not None}
    assert answers == list(range(1, len(answers) + 1))
    assert traps <= {"the canister's process ended", "no"}
    assert canister.query("count") == len(answers)


def test_no_zombies_pile_up(executor: ProcessExecutor, canister: NativeCanister) -> None:
    """Of workers that gave way, of readers, of standbys."""
    for _ in range(5):
        canister.trap_of("refuse")
        canister.update("add")
        assert canister.query("count") == canister.query("count")
    group = executor.process_group
    assert group is not None
    wait_until(lambda: not zombies(group))
    wait_until(lambda: len(members(executor)) == 4)
