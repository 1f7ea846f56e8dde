"""Whatever was put into a network, playing it again comes to the same state.

The recorder compares hashes at each start, so a history is checked by starting again.
"""

from pathlib import Path
from random import Random
from typing import Any

import msgspec
import pytest
from localnet_client import START_NS
from management_calls import manage
from recorded_network import S, busy, play_at_random, recorded

from icfleet_localnet.canister import Canister
from icfleet_localnet.errors import StateDirectoryError
from icfleet_localnet.fault_rules import HaltSubnet
from icfleet_localnet.figures import HEAP_STEP, Measured, in_heap_steps
from icfleet_localnet.journal import Digest, Round, decode_entries, encode_entry
from icfleet_localnet.network import Network
from icfleet_localnet.profiles import MAINNET

LATER_NS = START_NS + 1_000 * S


def only(network: Network) -> Canister:
    """The one canister there is."""
    (found,) = network.applications[0].canisters.values()
    return found


def facts(network: Network) -> list[Any]:
    """What a canister's owner can see of it."""
    return [
        (one.id, one.cycles, one.version, one.query_stats, one.memory, [*one.log])
        for subnet in network.subnets
        for one in subnet.canisters.values()
    ]


@pytest.mark.parametrize("wait_s", [0, 9, 35])
def test_time_may_pass_before_there_is_a_canister(tmp_path: Path, wait_s: int) -> None:
    """As between a start and the first deployment; canisters pay from when they were made."""
    with recorded(tmp_path) as session:
        session.idle(wait_s)
        session.deploy(busy()).update("ping", 1)
        session.idle(12)
        before = facts(session.network)

    with recorded(tmp_path, now_ns=LATER_NS) as session:
        assert facts(session.network) == before


@pytest.mark.parametrize("executor", ["inprocess", "process"])
def test_queries_and_replicated_status_may_mix(tmp_path: Path, executor: str) -> None:
    """The status as an update tells of the queries, which are not recorded."""
    with recorded(tmp_path, executor=executor) as session:
        canister = session.deploy(busy())
        for round_number in range(3):
            canister.query("look", 10)
            canister.update("grow", 100)
            canister.query("look", 1_000)
            status = manage(session.client, "canister_status", canister_id=canister.id)
            assert status["query_stats"]["num_calls_total"] == 2 * round_number
            session.idle(11)
            session.jump(100)
        before = facts(session.network)
        assert only(session.network).query_stats.num_calls_total == 6

    with recorded(tmp_path, executor=executor, now_ns=LATER_NS) as session:
        assert facts(session.network) == before


def test_a_query_does_not_change_what_is_paid(tmp_path: Path) -> None:
    """Though it renews the estimate of the heap, which an update has just made larger."""
    with recorded(tmp_path) as session:
        canister = session.deploy(busy())
        canister.update("grow", 70_000)
        canister.query("look", 0)
        session.idle(25)
        canister.update("ping", 0)
        session.idle(25)
        assert only(session.network).memory.wasm_memory_size == 2 * HEAP_STEP
        before = facts(session.network)

    with recorded(tmp_path, now_ns=LATER_NS) as session:
        assert facts(session.network) == before


def test_a_replay_goes_by_the_figures_that_were_recorded(tmp_path: Path) -> None:
    """So an estimate that comes out otherwise in another process changes nothing."""
    with recorded(tmp_path) as session:
        canister = session.deploy(busy())
        canister.query("look", 0)
        session.idle(12)
    journal = tmp_path / "journal"
    entries = [entry for _, entry in decode_entries(memoryview(journal.read_bytes()))]
    other = Measured(canister.id.raw, 5 * HEAP_STEP, queries=77)
    changed = [
        msgspec.structs.replace(entry, measured=(other,))
        if isinstance(entry, Round) and entry.measured
        else entry
        for entry in entries
        if not isinstance(entry, Digest)
    ]
    journal.write_bytes(b"".join(map(encode_entry, changed)))

    with recorded(tmp_path, now_ns=LATER_NS) as session:
        found = only(session.network)
        assert found.memory.wasm_memory_size == 5 * HEAP_STEP
        assert found.query_stats.num_calls_total == 77


@pytest.mark.parametrize(
    ("estimate", "steps"), [(0, 1), (1, 1), (HEAP_STEP, 1), (HEAP_STEP + 1, 2)]
)
def test_heaps_count_in_whole_steps(estimate: int, steps: int) -> None:
    """At least one: Kybra puts an interpreter into each canister."""
    assert in_heap_steps(estimate) == steps * HEAP_STEP


def test_a_halted_subnet_fills_no_journal(tmp_path: Path) -> None:
    """It charges nobody, so its idle rounds change nothing."""
    with recorded(tmp_path) as session:
        session.deploy(busy())
        session.command(HaltSubnet(str(session.network.root.id)))
        before = (tmp_path / "journal").stat().st_size
        session.idle(60)
        assert (tmp_path / "journal").stat().st_size == before

    with recorded(tmp_path, now_ns=LATER_NS):
        pass


def test_the_refusal_names_the_rounds_and_the_canister(tmp_path: Path) -> None:
    """And says how to go on."""
    with recorded(tmp_path) as session:
        canister = session.deploy(busy())
        rounds = 3  # Creation, installation, and this one.
        canister.update("ping", 1)
        subnet = session.network.applications[0]
    journal = tmp_path / "journal"
    with journal.open("ab") as file:
        file.write(encode_entry(Digest(b"another", ((canister.id.raw, 7), (b"", 8)))))

    told = f"after its round {rounds}, at the latest by round {rounds}; what differs: "
    named = f"canister {canister.id} on subnet {subnet.id}, answers of the management canister"
    with (
        pytest.raises(StateDirectoryError) as caught,
        recorded(tmp_path, now_ns=LATER_NS),
    ):
        pytest.fail("it is another state")
    assert told in str(caught.value)
    assert named in str(caught.value)
    assert str(caught.value).endswith("choose another folder")


@pytest.mark.parametrize("seed", range(6))
def test_random_histories_repeat_themselves(tmp_path: Path, seed: int) -> None:
    """Updates, queries, calls between subnets, management, halts, leaps, drains, idle time."""
    play_at_random(tmp_path, Random(seed))


def test_a_random_history_repeats_itself_in_processes(tmp_path: Path) -> None:
    """One, for they are slower."""
    play_at_random(tmp_path, Random(1), executor="process")


def test_a_random_history_repeats_itself_by_the_mainnets_pace(tmp_path: Path) -> None:
    """Messages between subnets then take a drawn number of rounds, and threads fill up."""
    play_at_random(tmp_path, Random(2), profile=MAINNET)
