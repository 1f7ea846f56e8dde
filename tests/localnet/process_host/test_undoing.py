"""A canister's process goes on exactly as it was, also where a checkpoint could not bring it."""

from collections.abc import Iterator

import pytest
from contract_canister import BANK
from native_canister import NativeCanister, S

from icfleet_localnet.process_host.executor import ProcessExecutor
from icfleet_protocol.candid.types import text

ODD = """
import functools
import hashlib
import itertools

from kybra import ic, nat64, query, text, update, void

numbers = itertools.count()
letters = iter("abcdefghijklmnopqrstuvwxyz")
digest = hashlib.sha256()
members = {"a", "b", "c"}
calls = []


def squares():
    number = 0
    while True:
        yield number * number
        number += 1


generator = squares()


@functools.lru_cache(maxsize=10)
def cached(key: str) -> int:
    calls.append(key)
    return len(calls)


def step() -> str:
    digest.update(b"x")
    members.add(f"m{len(members)}")
    return " ".join([
        str(next(numbers)), next(letters), str(next(generator)), digest.hexdigest()[:4],
        str(cached("k")), str(cached.cache_info().currsize), str(list(members)),
    ])


@query
def peek() -> text:
    return step()


@update
def take() -> text:
    return step()


@update
def take_and_trap() -> text:
    step()
    cached("other")
    ic.trap("no")
"""

CACHE = """
from kybra import nat64, query, text, update

seen = {}
members = set()
data = []


@query
def remember(key: text) -> nat64:
    seen[key] = seen.get(key, 0) + 1
    return len(seen)


@query
def join(key: text) -> nat64:
    members.add(key)
    return len(members)


@query
def has(key: text) -> nat64:
    return len([one for one in data if one["key"] == key])


@update
def fill(count: nat64) -> nat64:
    for number in range(count):
        data.append({"key": str(number), "tags": [number]})
    return len(data)
"""


@pytest.fixture(scope="module")
def executor() -> Iterator[ProcessExecutor]:
    executor = ProcessExecutor()
    yield executor
    executor.close()


def test_iterators_generators_hashes_caches_and_sets_come_back(executor: ProcessExecutor) -> None:
    """A trap leaves each as it was, and so does a query; two runs tell the same story."""
    stories: list[list[object]] = []
    for is_disturbed in (False, True):
        canister = NativeCanister.install(ODD, executor=executor)
        story: list[object] = []
        for _ in range(4):
            if is_disturbed:
                canister.trap_of("take_and_trap")
                assert len({canister.query("peek") for _ in range(3)}) == 1
            story.append(canister.update("take"))
        stories.append(story)
        canister.instance.close()

    assert stories[0] == stories[1]
    assert stories[0][0] != stories[0][1]


@pytest.mark.parametrize("method", ["remember", "join"])
def test_queries_that_change_the_heap_each_see_it_unchanged(
    executor: ProcessExecutor, method: str
) -> None:
    """Many of them, served by readers that are undone or replaced."""
    canister = NativeCanister.install(CACHE, executor=executor)
    assert [canister.query(method, f"key {number}") for number in range(10)] == [1] * 10
    canister.instance.close()


def test_timers_that_were_due_stay_due_however_many(executor: ProcessExecutor) -> None:
    """Taking them is not undone by a trap that comes later."""
    canister = NativeCanister.install(BANK, (text, ""), executor=executor)
    canister.update("repeat", 10)
    for _ in range(300):
        canister.now_ns += 10 * S
        assert len(canister.instance.take_due_timers(canister.now_ns)) == 1

    canister.trap_of("change_and", "trap")

    assert canister.instance.next_timer_ns == canister.now_ns + 10 * S
    canister.now_ns += 10 * S
    assert len(canister.instance.take_due_timers(canister.now_ns)) == 1
    assert canister.update("change").startswith("6 1 ")
    canister.instance.close()


def test_a_large_heap_is_read_in_forked_processes(executor: ProcessExecutor) -> None:
    """There a checkpoint would cost more than a fork."""
    canister = NativeCanister.install(CACHE, executor=executor)

    assert canister.update("fill", 30_000) == 30_000

    assert canister.instance.heap_bytes > 4_000_000
    assert [canister.query("has", "77") for _ in range(5)] == [1] * 5
    assert [canister.query("remember", "x") for _ in range(3)] == [1] * 3
    canister.instance.close()
