"""The running server: sockets on loopback, rounds by themselves, and a clean end."""

import asyncio
import gc
import logging
import resource
import socket
import time
import warnings
from collections.abc import Awaitable, Generator
from contextlib import AbstractContextManager, AsyncExitStack, contextmanager
from dataclasses import replace
from pathlib import Path

import httpx
import pytest
from live_network import DIARY, build_once, live, visited

from icfleet_agent import CertifiedRejectError, ManagementCanister
from icfleet_localnet.distributions import Fixed
from icfleet_localnet.errors import AddressError, PortInUseError, StateDirectoryError
from icfleet_localnet.fault_rules import (
    DrainCycles,
    Duplicate,
    FaultRule,
    FaultRuleError,
    HaltSubnet,
    Latency,
    LoseResponse,
    Match,
)
from icfleet_localnet.profiles import FAST
from icfleet_localnet.server import LocalnetOptions, LocalnetServer
from icfleet_localnet.state_directory import StateDirectory
from icfleet_protocol.cbor import decode_map


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


async def test_a_started_server_answers_and_a_stopped_one_does_not() -> None:
    """From ``async with`` to the end of the block."""
    async with LocalnetServer(port=0) as server, httpx.AsyncClient() as http:
        response = await http.get(f"{server.url}/api/v2/status")
        url = server.url

    status = decode_map(response.content, size_max=10_000)
    assert status["root_key"] == server.root_key_der
    async with httpx.AsyncClient() as http:
        with pytest.raises(httpx.ConnectError):
            await http.get(f"{url}/api/v2/status")


async def test_rounds_go_on_without_work_so_that_certificates_stay_fresh() -> None:
    """About one a second, as on the mainnet."""
    async with LocalnetServer(port=0) as server:
        first = server.network.root.time_ns
        await asyncio.sleep(1.2)

        assert server.network.root.time_ns - first > 900_000_000


@pytest.mark.parametrize("is_admin", [False, True])
async def test_a_port_in_use_is_named(is_admin: bool) -> None:
    """Nothing was started then, and the other port is free again."""
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        options = LocalnetOptions(admin_port=port if is_admin else None)
        server = LocalnetServer(port=0 if is_admin else port, options=options)

        with pytest.raises(PortInUseError, match=f"127.0.0.1:{port} is in use"):
            await server.__aenter__()


@pytest.mark.parametrize("host", ["0.0.0.0", "192.168.1.7", "::", "localhost"])
async def test_only_loopback_is_served(host: str) -> None:
    """Whoever can send code here can run it here."""
    with pytest.raises(AddressError, match="not a loopback address"):
        LocalnetServer(host=host, port=0)


async def test_an_ipv6_address_is_written_as_urls_want_it() -> None:
    """In brackets."""
    async with LocalnetServer(host="::1", port=0) as server, httpx.AsyncClient() as http:
        response = await http.get(f"{server.url}/api/v2/status")

    assert response.status_code == 200


async def test_a_seed_fixes_the_networks_identity() -> None:
    """Without one it is another each time."""
    keys = [LocalnetServer(port=0, seed=b"same").root_key_der for _ in range(2)]

    assert keys[0] == keys[1] != LocalnetServer(port=0).root_key_der


async def test_two_networks_live_in_one_process() -> None:
    """Each with its own canisters, keys and clock."""
    async with live(seed=b"one") as one, live(seed=b"two") as two:
        assert one.server.root_key_der != two.server.root_key_der
        assert one.id == two.id
        await one.server.advance(120)

        assert await one.canister.update("increment", 5) == 5
        assert await two.canister.update("increment", 2) == 2
        assert await one.read("now") - await two.read("now") > 119 * 10**9


async def test_a_stop_answers_calls_that_wait() -> None:
    """With 202: they were accepted, and the answer did not come in time."""
    async with AsyncExitStack() as clients, asyncio.TaskGroup() as tasks:
        options = LocalnetOptions(profile=replace(FAST, round_interval_s=0.5))
        async with LocalnetServer(port=0, options=options) as server:
            net = await clients.enter_async_context(visited(server))
            waiting = tasks.create_task(net.call(1))
            await asyncio.sleep(0.1)
            server.obey(HaltSubnet(str(server.network.root.id)))
            await asyncio.sleep(0.1)
            before_s = time.monotonic()

        response = await waiting

    assert (response.status_code, response.headers["connection"]) == (202, "close")
    assert time.monotonic() - before_s < 1


async def test_a_stop_drops_what_is_delayed() -> None:
    """A fault of minutes holds up nobody, nor does a duplicate that is still to come."""
    minute = Fixed(60)
    async with AsyncExitStack() as clients, asyncio.TaskGroup() as tasks:
        async with LocalnetServer(port=0) as server:
            net = await clients.enter_async_context(visited(server))
            server.faults.add(
                FaultRule(effect=Duplicate(delay=minute), match=Match(operation="call"))
            )
            server.faults.add(FaultRule(effect=Latency(minute), match=Match(operation="query")))
            assert (await net.call(1)).status_code == 200
            waiting = tasks.create_task(failure_of(net.ask()))
            await asyncio.sleep(0.2)
            before_s = time.monotonic()

        assert isinstance(await waiting, httpx.RemoteProtocolError | httpx.ReadError)
        assert time.monotonic() - before_s < 1


async def test_a_stop_frees_the_ports_and_leaves_no_task() -> None:
    """So that the same port can be served again at once."""
    tasks = asyncio.all_tasks()
    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always", ResourceWarning)
        port = 0
        for _ in range(3):
            async with LocalnetServer(port=port) as server, httpx.AsyncClient() as http:
                assert (await http.get(f"{server.url}/api/v2/status")).status_code == 200
                port = httpx.URL(server.url).port or 0
        gc.collect()

    assert asyncio.all_tasks() == tasks
    assert [str(one.message) for one in warned if one.category is ResourceWarning] == []


async def test_a_call_that_cannot_be_recorded_is_not_accepted(tmp_path: Path) -> None:
    """The journal is as it was, and the client learns that it is the network's fault."""
    with opened_state(tmp_path / "state") as state:
        options = LocalnetOptions(state=state)
        async with LocalnetServer(port=0, options=options) as server, visited(server) as net:
            size = state.size_bytes
            with limited_files(size + 10):
                refused = await net.call(1)
            assert (refused.status_code, state.size_bytes) == (500, size)
            assert (await net.call(1)).status_code == 200


async def test_a_command_that_cannot_be_recorded_is_not_obeyed(tmp_path: Path) -> None:
    """Else the next start would come to another state; what makes no sense is not recorded."""
    with opened_state(tmp_path / "state") as state:
        server = LocalnetServer(port=0, options=LocalnetOptions(state=state))
        async with server, visited(server) as net:
            size, cycles = state.size_bytes, server.report().canisters[0].cycles
            with (
                limited_files(size),
                pytest.raises(StateDirectoryError, match="cannot be written"),
            ):
                server.obey(DrainCycles(str(net.id), leave=0))
            assert server.report().canisters[0].cycles == cycles
            with pytest.raises(FaultRuleError, match="there is no canister"):
                server.obey(DrainCycles("aaaaa-aa", leave=0))
            assert state.size_bytes == size


async def test_a_round_that_cannot_be_recorded_ends_the_network(tmp_path: Path) -> None:
    """Whoever runs it learns why: to go on would be to forget."""
    with opened_state(tmp_path / "state") as state:
        server = LocalnetServer(port=0, options=LocalnetOptions(state=state))
        with pytest.raises(StateDirectoryError, match="cannot be written"):
            await run_without_room(server, state)


async def run_without_room(server: LocalnetServer, state: StateDirectory) -> None:
    async with server, visited(server):
        server.clock.shift(3600 * 10**9)
        with limited_files(state.size_bytes):
            await asyncio.sleep(5)


async def test_events_are_told_and_requests_are_not(caplog: pytest.LogCaptureFixture) -> None:
    """Start, stop, what becomes of canisters, what they print and why they trap."""
    with caplog.at_level(logging.INFO, "icfleet_localnet"):
        async with live() as net:
            await net.canister.update("say", "hello\nthere")
            for _ in range(3):
                await net.count()
            with pytest.raises(CertifiedRejectError):
                await net.canister.update("fail", "no\nway")
            management = ManagementCanister(net.agent)
            await management.install(net.id, build_once(DIARY), mode="upgrade")
            await management.stop(net.id)
            await management.start(net.id)
            await net.server.advance(10)

    told = [(record.getMessage(), getattr(record, "fields", {})) for record in caplog.records]
    canister = str(net.id)
    assert [event for event, _ in told] == [
        "the local network started",
        "canister created",
        "canister code installed",
        "canister printed",
        "canister trapped",
        "canister code installed",
        "canister stopped",
        "canister started",
        "time passed",
        "the local network stopped",
    ]
    assert told[3][1] == {"canister": canister, "text": "hello\nthere"}
    assert told[4][1] == {"canister": canister, "method": "fail", "reason": "no"}
    assert (told[2][1]["mode"], told[5][1]["mode"]) == ("install", "upgrade")
    assert told[0][1]["url"] == net.server.url


async def test_the_seed_is_never_told(caplog: pytest.LogCaptureFixture, tmp_path: Path) -> None:
    """Whoever knows it can sign for the network."""
    seed = b"canary-0123456789"
    with caplog.at_level(logging.DEBUG), opened_state(tmp_path / "state") as state:
        async with live(seed=seed) as net:
            net.server.faults.add(FaultRule(effect=LoseResponse(), match=Match(operation="query")))
            await failure_of(net.ask())
            shown = repr(net.server) + str(net.server.report())
        options = LocalnetOptions(state=state)
        async with LocalnetServer(port=0, options=options) as server:
            shown += repr(server) + repr(options) + str(server.report())

    told = shown + "".join(f"{record.getMessage()} {record.__dict__}" for record in caplog.records)
    assert "a fault struck" in told
    for secret in (seed, state.seed):
        assert secret.hex() not in told
        assert repr(secret)[2:-1] not in told


async def failure_of(request: Awaitable[object]) -> Exception | None:
    """What a request fails with."""
    try:
        await request
    except httpx.HTTPError as error:
        return error
    return None


@contextmanager
def limited_files(size_max: int) -> Generator[None]:
    """Let no file of this process grow beyond a size, as on a disk that is full."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size_max, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def opened_state(path: Path) -> AbstractContextManager[StateDirectory]:
    return StateDirectory.open(
        path, subnets=1, profile="fast", executor="inprocess", now_ns=time.time_ns()
    )
