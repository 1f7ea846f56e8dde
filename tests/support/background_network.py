"""A local network that runs beside blocking clients, in a thread and event loop of its own."""

import asyncio
import contextlib
import threading
from collections.abc import Generator
from concurrent.futures import Future
from dataclasses import dataclass

from icfleet_localnet.server import LocalnetOptions, LocalnetServer

START_S = 30


@dataclass(frozen=True)
class Network:
    """Where a running network is, and the key to its certificates."""

    url: str
    root_key_der: bytes


@dataclass(frozen=True)
class _Started:
    network: Network
    loop: asyncio.AbstractEventLoop
    stop: asyncio.Event

    def end(self) -> None:
        # A network that has failed has closed its loop, and its thread tells why.
        with contextlib.suppress(RuntimeError):
            self.loop.call_soon_threadsafe(self.stop.set)


@contextlib.contextmanager
def run_network(*, subnets: int) -> Generator[Network]:
    """A network to the end of the block; from two subnets on there is a root besides."""
    future: Future[_Started] = Future()
    thread = threading.Thread(target=_run, args=(future, subnets), name="background network")
    thread.start()
    started = future.result(timeout=START_S)
    try:
        yield started.network
    finally:
        started.end()
        thread.join()


def _run(future: Future[_Started], subnets: int) -> None:
    try:
        asyncio.run(_serve(future, subnets))
    except BaseException as error:
        if future.done():
            raise
        future.set_exception(error)


async def _serve(future: Future[_Started], subnets: int) -> None:
    stop, options = asyncio.Event(), LocalnetOptions(subnets=subnets)
    async with LocalnetServer(port=0, seed=b"conformance", options=options) as server:
        network = Network(server.url, server.root_key_der)
        future.set_result(_Started(network, asyncio.get_running_loop(), stop))
        await stop.wait()
