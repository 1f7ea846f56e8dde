"""Rounds as time goes by, without a server: wake-ups, waits, and leaps in time."""

import asyncio
import time

import pytest
from localnet_client import COUNTER, START_NS, Client

from icfleet.build import build
from icfleet_localnet.clock import NetworkClock
from icfleet_localnet.http_interface import HttpInterface, Wait
from icfleet_localnet.kybra_host.inprocess import InProcessExecutor
from icfleet_localnet.network import Network
from icfleet_localnet.round_driver import RoundDriver
from icfleet_localnet.subnet import RoundReport
from icfleet_protocol.candid import encode
from icfleet_protocol.candid.types import nat64
from icfleet_protocol.principal import Principal


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(scope="module")
def wasm(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    folder = tmp_path_factory.mktemp("counter")
    (folder / "main.py").write_text(COUNTER)
    return build(folder / "main.py", search_path=(folder,), out=None).wasm


def start(wasm: bytes) -> tuple[Client, Principal, RoundDriver]:
    """A network with a counter whose time is now, and what drives it."""
    network = Network(InProcessExecutor(), seed=b"driver", now_ns=START_NS)
    client = Client(HttpInterface(network), network, now_ns=time.time_ns())
    canister = client.create()
    client.install(canister, wasm)
    return client, canister, RoundDriver(network, NetworkClock())


def submit(client: Client, canister: Principal) -> Wait:
    client.now_ns = time.time_ns()
    wait = client.submit(canister, "increment", encode([nat64], [1]))
    assert isinstance(wait, Wait)
    return wait


async def test_whoever_waits_is_told_when_the_round_is_made(wasm: bytes) -> None:
    """Several may wait for the same request; who asks later is told at once."""
    client, canister, driver = start(wasm)
    wait = submit(client, canister)
    waiting = [asyncio.ensure_future(driver.await_answer(wait, timeout_s=5)) for _ in range(3)]
    await asyncio.sleep(0)

    driver.run_round()

    assert await asyncio.gather(*waiting) == [True, True, True]
    assert await driver.await_answer(wait, timeout_s=0)


async def test_a_wait_ends_in_time_and_when_all_are_released(wasm: bytes) -> None:
    """Without the round having been made."""
    client, canister, driver = start(wasm)
    wait = submit(client, canister)

    assert not await driver.await_answer(wait, timeout_s=0.01)
    waiting = asyncio.ensure_future(driver.await_answer(wait, timeout_s=5))
    await asyncio.sleep(0)
    driver.release_all()
    assert not await waiting


async def test_work_wakes_a_driver_that_rests(wasm: bytes) -> None:
    """It does not wait for its next regular round."""
    client, canister, driver = start(wasm)
    seen: list[RoundReport] = []
    driver.on_round(seen.append)
    running = asyncio.ensure_future(driver.run())
    await asyncio.sleep(0.05)
    wait = submit(client, canister)
    driver.wake()

    before_s = time.monotonic()
    assert await driver.await_answer(wait, timeout_s=5)
    running.cancel()

    assert time.monotonic() - before_s < 0.5
    assert any(wait.request in report.answered for report in seen)


async def test_a_leap_takes_no_time_and_leaves_none_out(wasm: bytes) -> None:
    """A year without events is one round."""
    client, _, driver = start(wasm)
    seen: list[RoundReport] = []
    driver.on_round(seen.append)
    before_ns = client.network.root.time_ns
    year_ns = 365 * 24 * 3600 * 10**9

    await driver.advance(year_ns)

    assert client.network.root.time_ns - before_ns >= year_ns
    assert len(seen) == 1
