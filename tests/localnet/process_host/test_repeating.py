"""A standby does again what was committed since its fork, and comes to the very same state."""

import os
import signal
import subprocess
from collections.abc import Iterator

import pytest
from native_canister import ADA, NativeCanister
from process_watch import group_members, wait_until

from icfleet_localnet.process_host.executor import ProcessExecutor
from icfleet_protocol.candid.types import text

RANDOM = """
import datetime
import itertools
import random
import time
import uuid

from kybra import Async, Principal, Service, ic, nat64, query, service_query, text, update, void
from kybra import StableBTreeMap

class Peer(Service):
    @service_query
    def ask(self) -> text: ...


table = StableBTreeMap[nat64, text](memory_id=0, max_key_size=16, max_value_size=500)
numbers = itertools.count()
lines: list[str] = []
items: set[str] = set()


def add(line: str) -> str:
    lines.append(f"{next(numbers)} {line} {random.random()} {uuid.uuid4()} {time.time_ns()}")
    items.add(lines[-1])
    table.insert(len(lines), lines[-1])
    return lines[-1]


@update
def step(line: text) -> text:
    return add(f"{line} {ic.caller()} {datetime.datetime.now()}")


@update
def ask() -> Async[text]:
    add("before")
    answer = yield Peer(Principal.from_str("ryjl3-tyaaa-aaaaa-aaaba-cai")).ask()
    return add(f"after {answer.Ok}")


@update
def refuse() -> void:
    add("never")
    ic.trap("no")


@update
def arm() -> void:
    ic.set_timer_interval(10, lambda: add("tick"))


@query
def told() -> text:
    return "|".join(lines) + "|".join(table.values()) + str(list(items))
"""

CLOCK = """
import sys

from kybra import ic, nat64, query, update, void

# The machine's own, and not the canister's view of it.
clock = sys.modules["time"]
state = {"seen": 0}


@update
def look() -> nat64:
    state["seen"] = clock.perf_counter_ns()
    return state["seen"]


@update
def refuse() -> void:
    state["seen"] = 1
    ic.trap("no")


@query
def seen() -> nat64:
    return state["seen"]
"""

LARGE = """
from kybra import nat64, query, text, update

kept = []


@update
def keep(line: text) -> nat64:
    kept.append(line)
    return len(kept)


@query
def size() -> nat64:
    return sum(len(line) for line in kept)
"""


UNORDERED = """
from kybra import ic, nat64, query, text, update, void


class Item:
    def __init__(self, number: int) -> None:
        self.number = number


items = {Item(number) for number in range(20)}


@update
def add(number: nat64) -> nat64:
    items.add(Item(number))
    return len(items)


@update
def refuse() -> void:
    items.add(Item(1000))
    ic.trap("no")


@query
def told() -> text:
    return str([one.number for one in items])
"""


@pytest.fixture
def executor() -> Iterator[ProcessExecutor]:
    executor = ProcessExecutor()
    yield executor
    executor.close()


def kill_worker(executor: ProcessExecutor) -> None:
    """Kill the process that forked the others, and wait until one of them has taken over."""
    group = executor.process_group
    assert group is not None
    wait_until(lambda: _parent(group_members(group)[-1].pid) != group)
    worker = _parent(group_members(group)[-1].pid)
    os.kill(worker, signal.SIGKILL)
    wait_until(lambda: worker not in {one.pid for one in group_members(group)})


def _parent(pid: int) -> int:
    found = subprocess.run(
        ["ps", "-o", "ppid=", "-p", str(pid)], check=False, capture_output=True, text=True
    )
    return int(found.stdout or 0)


def story_of(disturbance: str) -> list[object]:
    """What a canister tells that is disturbed now and then."""
    executor = ProcessExecutor()
    canister = NativeCanister.install(RANDOM, executor=executor)
    story: list[object] = []

    def disturb() -> None:
        if disturbance == "kill":
            kill_worker(executor)
        if disturbance == "trap":
            canister.trap_of("refuse")

    canister.update("arm")
    for number in range(12):
        story.append(canister.update("step", f"line {number}"))
        waiting = canister.execute(canister.update_message("ask"), caller=ADA)
        disturb()
        story.append(canister.value("ask", canister.answer(waiting, (text, "yes"))))
        canister.pass_time(10 if number % 3 == 0 else 1)
        if number % 4 == 0:
            disturb()
            story.append(canister.query("told"))
    story.append(canister.query("told"))
    executor.close()
    return story


@pytest.mark.parametrize("disturbance", ["kill", "trap"])
def test_what_is_done_again_comes_to_the_same(
    disturbance: str, capfd: pytest.CaptureFixture[str]
) -> None:
    """Time, random numbers, generators that wait, timers, iterators and the order of sets."""
    assert story_of(disturbance) == story_of("none")
    assert "came to something else" not in capfd.readouterr().err


def test_a_canister_that_cannot_be_repeated_is_noticed(
    executor: ProcessExecutor, capfd: pytest.CaptureFixture[str]
) -> None:
    """Which takes a way round what a canister may see; then every commit has its standbys."""
    canister = NativeCanister.install(CLOCK, executor=executor)
    canister.update("look")
    kill_worker(executor)
    assert canister.query("seen") > 0
    assert "came to something else when repeated" in capfd.readouterr().err

    for _ in range(3):
        seen = canister.update("look")
        canister.trap_of("refuse")
        kill_worker(executor)
        assert canister.query("seen") == seen
    canister.instance.close()


def test_sets_that_are_in_the_order_of_addresses_stay_so(executor: ProcessExecutor) -> None:
    """After a trap that changed one, and after a kill: their canister is not repeated."""
    canister = NativeCanister.install(UNORDERED, executor=executor)
    for number in range(20, 25):
        canister.update("add", number)
        told = canister.query("told")
        canister.trap_of("refuse")
        assert canister.query("told") == told
        kill_worker(executor)
        assert canister.query("told") == told
    canister.instance.close()


@pytest.mark.parametrize("size", [10, 70_000, 200_000, 1_000_000])
def test_messages_of_any_size_are_kept(executor: ProcessExecutor, size: int) -> None:
    """Those too large for the journal too."""
    canister = NativeCanister.install(LARGE, executor=executor)
    for number in range(1, 5):
        assert canister.update("keep", "x" * size) == number
        kill_worker(executor)
        assert canister.query("size") == number * size
    canister.instance.close()


def test_a_long_history_is_not_done_again(executor: ProcessExecutor) -> None:
    """Standbys are replaced on the way."""
    canister = NativeCanister.install(LARGE, executor=executor)
    for number in range(1, 301):
        assert canister.update("keep", "x") == number
        if number % 70 == 0:
            kill_worker(executor)
    assert canister.query("size") == 300
    canister.instance.close()
