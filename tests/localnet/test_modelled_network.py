"""Nodes that lag behind, and answers that come when the modelled network would have given them."""

import asyncio
import time
from collections.abc import AsyncIterator
from dataclasses import replace
from fractions import Fraction
from typing import Any

import pytest
from live_network import DIARY, Live, build_once, live

from icfleet_agent import ManagementCanister
from icfleet_localnet.distributions import Fixed
from icfleet_localnet.fault_rules import FaultRule, StaleNode
from icfleet_localnet.profiles import MAINNET, Capacity
from icfleet_protocol.cbor import decode_map

QUICK = replace(
    MAINNET,
    round_interval_s=0.05,
    network=Fixed(0.2),
    update_consensus=Fixed(0.1),
    certification=Fixed(0.1),
    node_count=3,
)
"""The mainnet's shape, in a hurry."""


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
async def net() -> AsyncIterator[Live]:
    async with live() as found:
        yield found


def add(net: Live, **staleness: Any) -> None:
    net.server.faults.add(FaultRule(effect=StaleNode(**staleness)))


async def increment_each_round(net: Live, times: int) -> None:
    for _ in range(times):
        await net.canister.update("increment", 1)


@pytest.mark.parametrize("rounds", [1, 2, 3])
async def test_a_stale_node_answers_as_many_rounds_behind(net: Live, rounds: int) -> None:
    """Each update is a round of its own, so the count tells how old the answer is."""
    add(net, rounds=rounds)
    await increment_each_round(net, 6)

    assert await net.canister.query("read") == 6 - rounds


async def test_the_newest_state_returns_when_the_rule_goes(net: Live) -> None:
    add(net, rounds=2)
    await increment_each_round(net, 4)

    net.server.faults.clear()

    assert await net.canister.query("read") == 4


async def test_a_node_that_is_seconds_behind(net: Live) -> None:
    add(net, seconds=30)
    await increment_each_round(net, 2)
    for _ in range(6):
        await net.server.advance(10)
    await increment_each_round(net, 1)

    assert await net.canister.query("read") == 2


async def test_a_stale_answer_bears_the_time_of_its_state(net: Live) -> None:
    """So that a client who looks can tell, as it can on the Internet Computer."""
    add(net, rounds=3)
    await increment_each_round(net, 5)

    response = await net.ask()

    (signed,) = decode_map(response.content, size_max=10**6)["signatures"]
    assert signed["timestamp"] < net.server.network.root.time_ns


async def test_an_upgraded_canister_is_never_answered_for_by_its_old_code(net: Live) -> None:
    """What the old code held went with it."""
    add(net, rounds=1)
    await increment_each_round(net, 3)
    module = build_once(DIARY)
    await ManagementCanister(net.agent).install(net.id, module, mode="upgrade")

    assert await net.canister.query("read") == 0


async def test_an_update_takes_its_way_its_block_and_its_certificate() -> None:
    async with live(profile=QUICK) as net:
        before_s = time.monotonic()
        await net.canister.update("increment", 1)

        assert time.monotonic() - before_s >= 0.2 + 0.1 + 0.1


async def test_a_query_waits_for_a_thread_of_its_node() -> None:
    """Two threads a node, a query each at a hundredth of the speed: the third must wait."""
    profile = replace(QUICK, node_count=1, network=Fixed(0.0))
    async with live(profile=profile) as net:
        await net.canister.query("read")
        before_s = time.monotonic()
        await asyncio.gather(*(net.canister.query("read") for _ in range(8)))

        # 0.5 ms of a thread at full speed, 50 ms at 1/100; four turns for two threads.
        assert time.monotonic() - before_s >= 4 * 0.05 - 0.02


async def test_queries_are_answered_by_several_nodes() -> None:
    async with live(profile=replace(QUICK, network=Fixed(0.0))) as net:
        identities: set[bytes] = set()
        for _ in range(20):
            response = await net.ask()
            (signed,) = decode_map(response.content, size_max=10**6)["signatures"]
            identities.add(signed["identity"])

        assert len(identities) == 3


async def test_a_node_that_is_full_sheds_load() -> None:
    profile = replace(
        QUICK,
        node_count=1,
        network=Fixed(0.0),
        scale=Fraction(1, 1000),
        capacity=Capacity(queries_in_flight_max=2),
    )
    async with live(profile=profile) as net:
        answers = await asyncio.gather(*(net.ask() for _ in range(6)))

        assert sorted({answer.status_code for answer in answers}) == [200, 429]


async def test_what_the_host_did_not_keep_up_with_is_said() -> None:
    """A run in which this machine was the bottleneck says nothing about the model."""
    async with live(profile=QUICK) as net:
        await net.canister.query("read")

        assert "host kept up" in net.server.report().label or "bottleneck" in (
            net.server.report().label
        )
        assert "not the Internet Computer" in net.server.report().label


async def test_a_stale_node_of_a_modelled_network_answers() -> None:
    """Rounds go by while a query travels; it is answered by what the node has when it arrives."""
    async with live(profile=QUICK) as net:
        add(net, rounds=4)

        async def write() -> None:
            for _ in range(6):
                await net.canister.update("increment", 1)

        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(write())
            answers = [await net.ask() for _ in range(8)]

        assert {answer.status_code for answer in answers} == {200}


async def test_what_one_node_answers_does_not_wait_for_a_block() -> None:
    """An asynchronous call is accepted after the way there and back, and executed later."""
    profile = replace(QUICK, network=Fixed(0.0), update_consensus=Fixed(1.0))
    async with live(profile=profile) as net:
        before_s = time.monotonic()
        response = await net.call(version="v2")
        taken_s = time.monotonic() - before_s

        assert response.status_code == 202
        assert taken_s < 1.0
        assert await net.count() == 0
        await asyncio.sleep(1.5)
        assert await net.count() == 1
