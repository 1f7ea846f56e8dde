"""Stable memory counts what it holds as it goes, and stays right when writes are taken back."""

import pickle
import sys
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from native_canister import NativeCanister

from icfleet_localnet.kybra_host.instance import KybraInstance
from icfleet_localnet.kybra_host.stable_memory import (
    PAGE_SIZE,
    Entries,
    MapEntries,
    StableMemory,
    Undone,
)
from icfleet_protocol.candid import encode
from icfleet_protocol.candid.types import nat64

BUCKET = 128 * PAGE_SIZE

WRITES = st.tuples(
    st.sampled_from(["insert", "insert", "remove", "grow", "new map"]),
    st.integers(0, 2),
    st.integers(0, 5),
    st.binary(max_size=40),
)
ENDS = st.sampled_from(["commit", "rollback", "rollback and redo"])


def recount(memory: StableMemory) -> int:
    """Count the bytes one by one."""
    stored = [pair for one in memory.maps.values() for pair in one.entries.values()]
    return sum(len(key) + len(value) for key, value in stored) + memory.size_pages * PAGE_SIZE


def write(memory: StableMemory, operation: str, number: int, key: int, value: bytes) -> None:
    """Do one write; maps come to be as they are used."""
    if operation == "grow":
        memory.grow(key)
    elif operation == "new map" or number not in memory.maps:
        # As after an upgrade, when what is stored is sorted anew.
        before = memory.maps.get(number)
        entries = Entries(before.entries if before else {7: (b"key", value)})
        memory.write(memory.maps, number, MapEntries(10, 40, entries))
    elif operation == "insert":
        memory.write(memory.maps[number].entries, key, (bytes([key]), value))
    elif key in memory.maps[number].entries:
        memory.remove(memory.maps[number].entries, key)


@given(st.lists(st.tuples(st.lists(WRITES, max_size=8), ENDS), max_size=8))
def test_the_running_count_is_a_recount(messages: list[tuple[list[Any], str]]) -> None:
    """After every write, commit, rollback and redo."""
    memory = StableMemory()
    for writes, end in messages:
        memory.begin()
        committed = memory.stored_bytes
        for one in writes:
            write(memory, *one)
            assert memory.stored_bytes == recount(memory)
        done = memory.stored_bytes
        if end == "commit":
            memory.commit()
            continue
        undone: Undone = memory.rollback()
        assert memory.stored_bytes == recount(memory) == committed
        if end == "rollback and redo":
            memory.begin()
            memory.redo(undone)
            assert memory.stored_bytes == recount(memory) == done
            memory.commit()


def test_modelled_pages_follow_the_buckets_of_each_map() -> None:
    """A header page, and 8 MiB at a time for each map. Source: ``memory_manager``."""
    memory = StableMemory()
    memory.begin()
    assert memory.modelled_pages == 0
    for number in range(2):
        memory.write(memory.maps, number, MapEntries(10, BUCKET))
    memory.write(memory.maps[0].entries, 1, (b"", bytes(BUCKET)))

    assert memory.modelled_pages == 1 + 3 * 128
    memory.remove(memory.maps[0].entries, 1)
    assert memory.modelled_pages == 1 + 2 * 128


def test_the_count_survives_pickling() -> None:
    """As stable memory is moved between processes."""
    memory = StableMemory()
    memory.begin()
    write(memory, "new map", 1, 1, b"value")
    memory.commit()

    moved: StableMemory = pickle.loads(pickle.dumps(memory))
    moved.begin()
    write(moved, "insert", 1, 2, b"12345")

    assert moved.stored_bytes == recount(moved) == memory.stored_bytes + 6


STORE = """
from kybra import StableBTreeMap, nat64, query, text, update, void

rows = StableBTreeMap[nat64, text](memory_id=0, max_key_size=15, max_value_size=200)

@update
def put(key: nat64, value: text) -> void:
    rows.get(key)
    rows.insert(key, value)

@query
def get(key: nat64) -> text:
    return rows.get(key) or ""

@query
def size() -> nat64:
    return rows.len()
"""


def steps_of(work: Callable[[], object]) -> int:
    """Count the calls, of Python and of C, that some work takes."""
    count = 0

    def see(*_: object) -> None:
        nonlocal count
        count += 1

    sys.setprofile(see)
    try:
        work()
    finally:
        sys.setprofile(None)
    return count


@pytest.mark.parametrize("method", ["get", "put", "size"])
def test_a_message_costs_the_same_however_much_is_stored(method: str) -> None:
    """Records in stable memory are looked at only when they are asked for."""
    canister = NativeCanister.install(STORE)
    canister.update("put", 0, "x" * 100)
    arguments = {"get": (5,), "put": (5, "x" * 100), "size": ()}[method]
    message = canister.update_message(method, *arguments)
    steps: list[int] = []
    for target in (1_000, 100_000):
        _fill(canister, target)
        canister.execute(message)
        steps.append(steps_of(lambda: canister.execute(message)))
        assert canister.instance.stable_bytes == recount(_memory_of(canister))

    # A few more or less, by whether the heap's checkpoint is renewed meanwhile; never one a record.
    assert abs(steps[0] - steps[1]) < 30


def _memory_of(canister: NativeCanister) -> StableMemory:
    instance = canister.instance
    assert isinstance(instance, KybraInstance)
    return instance.memory


def _fill(canister: NativeCanister, size: int) -> None:
    memory = _memory_of(canister)
    entries = memory.maps[0].entries
    (_, value) = entries[0]
    memory.begin()
    for key in range(len(entries), size):
        memory.write(entries, key, (encode([nat64], [key]), value))
    memory.commit()
