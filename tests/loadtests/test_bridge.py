import asyncio
import os
import subprocess
import sys
import threading
import time
from collections.abc import AsyncGenerator, Iterator
from contextlib import asynccontextmanager, nullcontext
from typing import NoReturn

import gevent
import pytest

from icfleet_loadtests.bridge import AsyncBridge
from icfleet_loadtests.errors import BridgeBusyError, BridgeClosedError, BridgeTimeoutError


@pytest.fixture
def bridge() -> Iterator[AsyncBridge[None]]:
    bridge = AsyncBridge(nullcontext)
    bridge.start()
    yield bridge
    bridge.close(timeout_s=0)


async def _double(value: int) -> int:
    await asyncio.sleep(0.01)
    return 2 * value


async def _thread() -> int:
    return threading.get_ident()


async def _fail() -> NoReturn:
    message = "no such canister"
    raise LookupError(message)


async def _forever() -> NoReturn:
    await asyncio.Event().wait()
    raise AssertionError


def test_greenlets_wait_side_by_side_for_one_loop(bridge: AsyncBridge[None]) -> None:
    """Fifty calls of 10 ms take far less than half a second, and each gets its own answer."""
    started_s = time.perf_counter()

    greenlets = [gevent.spawn(bridge.call, _double, number) for number in range(50)]
    gevent.joinall(greenlets, timeout=5)

    assert [greenlet.value for greenlet in greenlets] == [2 * number for number in range(50)]
    assert time.perf_counter() - started_s < 0.4


def test_the_loop_has_a_thread_of_its_own(bridge: AsyncBridge[None]) -> None:
    assert bridge.call(_thread) != threading.get_ident()


def test_an_error_reaches_the_greenlet_that_called(bridge: AsyncBridge[None]) -> None:
    with pytest.raises(LookupError, match="no such canister"):
        bridge.call(_fail)

    assert bridge.call(_double, 4) == 8


def test_a_call_has_a_backstop(bridge: AsyncBridge[None]) -> None:
    with pytest.raises(BridgeTimeoutError, match=r"0\.05 s"):
        bridge.call(_forever, timeout_s=0.05)


def test_calls_in_flight_are_bounded() -> None:
    bridge = AsyncBridge(nullcontext, calls_max=1)
    bridge.start()
    first = gevent.spawn(bridge.call, _double, 1)
    gevent.sleep(0)

    with pytest.raises(BridgeBusyError):
        bridge.call(_double, 2)

    assert first.get(timeout=5) == 2
    assert bridge.call(_double, 3) == 6
    bridge.close(timeout_s=0)


def test_closing_lets_calls_in_flight_end() -> None:
    bridge = AsyncBridge(nullcontext)
    bridge.start()
    waiting = gevent.spawn(bridge.call, _double, 21)
    gevent.sleep(0)

    bridge.close(timeout_s=5)

    assert waiting.get(timeout=1) == 42
    assert not bridge.is_running


def test_closing_cancels_what_outlasts_its_time() -> None:
    bridge = AsyncBridge(nullcontext)
    bridge.start()
    waiting = gevent.spawn(bridge.call, _forever)
    gevent.sleep(0)

    bridge.close(timeout_s=0.05)

    waiting.join(timeout=1)
    assert isinstance(waiting.exception, BridgeClosedError)


def test_a_killed_greenlet_leaves_its_call_running(bridge: AsyncBridge[None]) -> None:
    """A player who leaves does not take back what was sent."""
    done: list[int] = []

    async def write() -> None:
        await asyncio.sleep(0.05)
        done.append(1)

    waiting = gevent.spawn(bridge.call, write)
    gevent.sleep(0.01)
    waiting.kill()

    bridge.close(timeout_s=5)

    assert done == [1]


@pytest.mark.parametrize("is_started", [False, True], ids=["never-started", "closed"])
def test_a_bridge_that_does_not_run_refuses_calls(*, is_started: bool) -> None:
    bridge = AsyncBridge(nullcontext)
    if is_started:
        bridge.start()
    bridge.close(timeout_s=0)

    with pytest.raises(BridgeClosedError):
        bridge.call(_double, 1)


def test_the_resource_lives_in_one_task_around_all_calls() -> None:
    """It may hold a task group, which must be left by the task that entered it."""
    seen: list[object] = []

    @asynccontextmanager
    async def resource() -> AsyncGenerator[str]:
        entered = asyncio.current_task()
        async with asyncio.TaskGroup():
            yield "a fleet"
            seen.append(asyncio.current_task() is entered)

    bridge = AsyncBridge(resource)
    opened = bridge.start()
    answer = bridge.call(_double, 2)
    bridge.close(timeout_s=1)

    assert (opened, answer, seen) == ("a fleet", 4, [True])


@pytest.mark.parametrize("when", ["opening", "closing"])
def test_an_error_of_the_resource_is_told(when: str) -> None:
    @asynccontextmanager
    async def resource() -> AsyncGenerator[None]:
        if when == "opening":
            await _fail()
        yield
        await _fail()

    bridge = AsyncBridge(resource)

    def live() -> None:
        bridge.start()
        bridge.close(timeout_s=0)

    with pytest.raises(LookupError, match="no such canister"):
        live()

    assert not bridge.is_running


UNDER_LOCUST = """
import asyncio, sys
import locust
import gevent
from gevent import monkey
from contextlib import nullcontext
from icfleet_loadtests.bridge import AsyncBridge

async def in_executor(number):
    return await asyncio.to_thread(lambda: number + 1)

async def over_tcp(number):
    async def echo(reader, writer):
        writer.write(await reader.readexactly(1))
        writer.close()
    async with await asyncio.start_server(echo, "127.0.0.1", 0) as server:
        reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
        writer.write(bytes([number]))
        answer = await reader.readexactly(1)
        writer.close()
        return answer[0]

assert monkey.is_module_patched("threading")
bridge = AsyncBridge(nullcontext)
bridge.start()
for function in (in_executor, over_tcp):
    greenlets = [gevent.spawn(bridge.call, function, number) for number in range(20)]
    gevent.joinall(greenlets, timeout=20)
    print([greenlet.value for greenlet in greenlets])
bridge.close(timeout_s=5)
print(bridge.is_running)
"""


def test_it_works_under_locusts_patches() -> None:
    """Executors and sockets of the loop work where the standard library is gevent's."""
    environment = {k: v for k, v in os.environ.items() if k != "LOCUST_SKIP_MONKEY_PATCH"}

    finished = subprocess.run(
        [sys.executable, "-c", UNDER_LOCUST],
        env=environment,
        capture_output=True,
        text=True,
        timeout=50,
        check=False,
    )

    expected = f"{[n + 1 for n in range(20)]}\n{list(range(20))}\nFalse\n"
    assert (finished.stdout, finished.stderr, finished.returncode) == (expected, "", 0)
