"""A network that is stopped and started again is the same network."""

import asyncio
import time
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from live_network import build_once, number, visited

from icfleet_agent import Canister, ManagementCanister
from icfleet_localnet.errors import StateDirectoryError
from icfleet_localnet.fault_rules import DrainCycles, HaltSubnet, ResumeSubnet
from icfleet_localnet.server import LocalnetOptions, LocalnetServer
from icfleet_localnet.state_directory import StateDirectory
from icfleet_protocol.cbor import decode_map

CALLER = """
from kybra import Async, Principal, Service, ic, nat64, query, service_update, update, void

state = {"answer": 0, "started": 0}


class Other(Service):
    @service_update
    def increment(self, by: nat64) -> nat64: ...


@update
def ask(other: Principal, by: nat64) -> Async[nat64]:
    state["started"] = state["started"] + 1
    answer = yield Other(other).increment(by)
    state["answer"] = answer.Ok
    return answer.Ok


@query
def started() -> nat64:
    return state["started"]


@query
def answer() -> nat64:
    return state["answer"]
"""

UNSTEADY = """
from kybra import text, update

@update
def read(path: text) -> text:
    with open(path) as file:
        return file.read()
"""


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@asynccontextmanager
async def kept(folder: Path, *, subnets: int = 1) -> AsyncGenerator[LocalnetServer]:
    """A network that goes on where the last one in this folder stopped."""
    fields: dict[str, Any] = {"profile": "fast", "executor": "inprocess"}
    opened = StateDirectory.open(folder, subnets=subnets, now_ns=time.time_ns(), **fields)
    with opened as state:
        options = LocalnetOptions(subnets=subnets, state=state)
        server = LocalnetServer(port=0, options=options)
        server.restore()
        async with server:
            yield server


def facts(server: LocalnetServer) -> list[tuple[object, ...]]:
    """What must be the same after a restart; cycles are charged for time that passes."""
    return [
        (one.id, one.status, one.version, one.module_hash, one.stable_bytes, one.log)
        for one in server.report().canisters
    ]


async def test_canisters_are_as_they_were(tmp_path: Path) -> None:
    """Globals, stable maps, logs, code, settings, ids, cycles, and the root key."""
    async with kept(tmp_path) as server, visited(server) as net:
        for by in (1, 2, 3):
            await net.canister.update("increment", by)
        await net.canister.update("say", "hello")
        second = await ManagementCanister(net.agent).create(cycles=5 * 10**12)
        await ManagementCanister(net.agent).stop(second)
        before, root_key = facts(server), server.root_key_der
        cycles = [one.cycles for one in server.report().canisters]

    async with kept(tmp_path) as server, visited(server, net.id) as again:
        assert (facts(server), server.root_key_der) == (before, root_key)
        after = [one.cycles for one in server.report().canisters]
        assert all(0 <= old - new < 10**8 for old, new in zip(cycles, after, strict=True))
        assert await again.count() == 6
        assert await again.canister.query("kept") == ["note 1", "note 2", "note 3"]
        assert await again.canister.update("increment", 4) == 10
        third = await ManagementCanister(again.agent).create()

    async with kept(tmp_path) as server, visited(server, net.id) as again:
        assert await again.count() == 10
        assert {one.id for one in server.report().canisters} == {
            str(net.id),
            str(second),
            str(third),
        }


async def test_requests_are_remembered(tmp_path: Path) -> None:
    """The same request again is not executed again, and its outcome can still be read."""
    async with kept(tmp_path) as server, visited(server) as net:
        request = net.sign("increment", number(5))
        first = await net.post("call", request, version="v4")

    async with kept(tmp_path) as server, visited(server, net.id) as again:
        second = await again.post("call", request, version="v4")
        assert decode_map(second.content, size_max=10**6)["status"] == "replied"
        assert (first.status_code, await again.count()) == (200, 5)


async def test_timers_go_on(tmp_path: Path) -> None:
    """What fell due meanwhile fires at the start; time does not go back."""
    async with kept(tmp_path) as server, visited(server) as net:
        await server.advance(3 * 3600 + 1800)
        stopped_ns = await net.read("now")
        assert await net.read("ticks") == 3

    async with kept(tmp_path) as server, visited(server, net.id) as again:
        assert await again.read("ticks") == 3
        await again.canister.update("increment", 1)
        assert await again.read("now") >= stopped_ns
        await server.advance(1800)
        assert await again.read("ticks") == 4


async def test_time_that_passed_without_events_does_not_come_back(tmp_path: Path) -> None:
    """Clients saw it in certificates."""
    async with kept(tmp_path) as server:
        await server.advance(1000)
        stopped_ns = server.network.root.time_ns

    async with kept(tmp_path) as server:
        await asyncio.sleep(1.1)
        assert server.network.root.time_ns >= stopped_ns


async def test_open_calls_are_answered_after_the_restart(tmp_path: Path) -> None:
    """A canister that waits for another on a halted subnet waits on, and goes on."""
    async with kept(tmp_path, subnets=2) as server, visited(server) as net:
        management = ManagementCanister(net.agent)
        one, two = server.network.applications
        caller_id = await management.create(effective_canister=two.plan.first_canister)
        await management.install(caller_id, build_once(CALLER))
        caller = await Canister.from_metadata(net.agent, caller_id)
        server.obey(HaltSubnet(str(one.id)))
        arg = caller.interface.encode_args("ask", (net.id, 7))
        request = net.sign("ask", arg, canister=caller_id)
        path = f"/api/v2/canister/{caller_id}/call"
        assert (await net.http.post(path, content=request.body)).status_code == 202
        await asyncio.sleep(0.2)
        assert await caller.query("started") == 1

    async with kept(tmp_path, subnets=2) as server, visited(server, net.id) as again:
        one = server.network.applications[0]
        assert one.is_halted
        server.obey(ResumeSubnet(str(one.id)))
        await asyncio.sleep(0.2)
        caller = await Canister.from_metadata(again.agent, caller_id)
        assert (await caller.query("started"), await caller.query("answer")) == (1, 7)
        assert await again.count() == 7


async def test_commands_are_repeated(tmp_path: Path) -> None:
    """Drained cycles stay drained."""
    async with kept(tmp_path) as server, visited(server) as net:
        server.obey(DrainCycles(str(net.id), leave=1_000))

    async with kept(tmp_path) as server:
        assert server.report().canisters[0].cycles <= 1_000


async def test_a_call_that_was_recorded_and_not_executed_is_executed(tmp_path: Path) -> None:
    """The end came between the two."""
    async with kept(tmp_path) as server, visited(server) as net:
        request = net.sign("increment", number(5))
        before = (tmp_path / "journal").stat().st_size
        await net.post("call", request, version="v4")

    journal = (tmp_path / "journal").read_bytes()
    first_frame = before + 12 + int.from_bytes(journal[before : before + 4], "little")
    (tmp_path / "journal").write_bytes(journal[:first_frame])

    async with kept(tmp_path) as server, visited(server, net.id) as again:
        await asyncio.sleep(0.1)
        assert await again.count() == 5


async def test_the_journal_can_end_anywhere(tmp_path: Path) -> None:
    """After each cut the network starts, with as many updates as were whole."""
    async with kept(tmp_path) as server, visited(server) as net:
        installed = (tmp_path / "journal").stat().st_size
        for _ in range(3):
            await net.canister.update("increment", 1)
    journal = (tmp_path / "journal").read_bytes()

    counts: list[int] = []
    for size in range(len(journal), installed, -50):
        (tmp_path / "journal").write_bytes(journal[:size])
        async with kept(tmp_path) as server, visited(server, net.id) as again:
            await asyncio.sleep(0.02)
            counts.append(await again.count())

    assert (counts[0], counts[-1]) == (3, 0)
    assert counts == sorted(counts, reverse=True)


async def test_a_canister_that_does_something_else_is_found(tmp_path: Path) -> None:
    """Such as one that reads a file, which is another by then."""
    file = tmp_path / "weather.txt"
    file.write_text("sun")
    async with kept(tmp_path / "state") as server, visited(server, source=UNSTEADY) as net:
        assert await net.canister.update("read", str(file)) == "sun"

    file.write_text("rain")
    with pytest.raises(StateDirectoryError, match="came to another state") as caught:
        await restart(tmp_path / "state")
    assert "PYTHONHASHSEED" in str(caught.value)


async def test_a_restored_state_is_checked_against_the_recorded_one(tmp_path: Path) -> None:
    """Every 256 rounds and at the end, over restarts too."""
    for _ in range(3):
        async with kept(tmp_path) as server, visited(server) as net:
            for _ in range(100):
                await net.call(1)
    async with kept(tmp_path) as server:
        assert len(server.report().canisters) == 3


async def test_events_of_the_past_are_not_told_again(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """The log tells what happens now."""
    async with kept(tmp_path) as server, visited(server) as net:
        await net.canister.update("say", "hello")
    caplog.clear()
    with caplog.at_level("INFO", "icfleet_localnet"):
        async with kept(tmp_path):
            pass

    events = [record.getMessage() for record in caplog.records]
    assert events == ["the local network started", "the local network stopped"]


async def restart(folder: Path) -> None:
    async with kept(folder):
        pass
