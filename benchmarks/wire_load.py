"""A closed-loop HTTP load generator that costs far less than what it measures.

Requests are complete byte strings made beforehand. Each connection sends one, waits for the whole
answer, and sends the next; all draw from one list. Answers are kept as bytes and judged afterwards,
so that between two requests nothing is done but to find an answer's end.
"""

import asyncio
import gc
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import cast

import uvloop

__all__ = ["Answer", "Load", "http_request", "run_load"]

_HEAD_END = b"\r\n\r\n"
_LENGTH = b"content-length:"
_TIMEOUT_S = 120.0

Answer = tuple[int, bytes]
"""HTTP status and body."""


@dataclass(slots=True)
class Load:
    """What one run of the generator saw."""

    elapsed_s: float
    """From the first request's sending to the last answer."""
    cpu_s: float
    """CPU time of this process meanwhile."""
    latencies_s: list[float]
    answers: list[Answer | None]
    """In the order of the requests; ``None`` where the connection broke."""

    @property
    def rate(self) -> float:
        """Answers per second."""
        return len(self.answers) / self.elapsed_s

    def latency_ms(self, share: float) -> float:
        """The latency that this share of the requests did not exceed, in milliseconds."""
        ordered = sorted(self.latencies_s)
        return ordered[min(len(ordered) - 1, int(share * len(ordered)))] * 1000


def http_request(host: str, path: str, body: bytes) -> bytes:
    """A whole POST as it goes over the wire."""
    head = (
        f"POST {path} HTTP/1.1\r\nHost: {host}\r\nContent-Type: application/cbor\r\n"
        f"Content-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


def run_load(address: tuple[str, int], requests: Sequence[bytes], connections: int) -> Load:
    """Send all requests over keep-alive connections, each waiting for its answer."""
    gc.collect()
    gc.disable()
    try:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            return runner.run(_run(address, requests, connections))
    finally:
        gc.enable()


@dataclass(slots=True)
class _Run:
    """What the connections share."""

    requests: Sequence[bytes]
    order: Iterator[int]
    latencies_s: list[float]
    answers: list[Answer | None]
    open: int
    done: asyncio.Future[None] = field(repr=False)

    def close_one(self) -> None:
        """One connection has nothing left to send, or broke."""
        self.open -= 1
        if not self.open and not self.done.done():
            self.done.set_result(None)


async def _run(address: tuple[str, int], requests: Sequence[bytes], connections: int) -> Load:
    loop = asyncio.get_running_loop()
    run = _Run(
        requests,
        iter(range(len(requests))),
        [0.0] * len(requests),
        [None] * len(requests),
        connections,
        loop.create_future(),
    )
    host, port = address
    users = [
        (await loop.create_connection(lambda: _Connection(run), host, port))[1]
        for _ in range(connections)
    ]
    started_s, cpu_s = time.perf_counter(), time.process_time()
    for user in users:
        user.send()
    async with asyncio.timeout(_TIMEOUT_S):
        await run.done
    elapsed_s = time.perf_counter() - started_s
    cpu_s = time.process_time() - cpu_s
    for user in users:
        user.close()
    return Load(elapsed_s, cpu_s, run.latencies_s, run.answers)


class _Connection(asyncio.Protocol):
    """One keep-alive connection in a closed loop."""

    def __init__(self, run: _Run) -> None:
        self._run = run
        self._transport: asyncio.Transport | None = None
        self._index = 0
        self._sent_s = 0.0
        self._received = b""
        self._is_sending = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # A cast, because uvloop's transports are no instances of asyncio's.
        self._transport = cast("asyncio.Transport", transport)

    def send(self) -> None:
        """Send the next request of the run, if there is one."""
        assert self._transport is not None
        index = next(self._run.order, None)
        self._is_sending = index is not None
        if index is None:
            self._run.close_one()
            return
        self._index = index
        self._sent_s = time.perf_counter()
        self._transport.write(self._run.requests[index])

    def data_received(self, data: bytes) -> None:
        received = self._received = self._received + data if self._received else data
        end = received.find(_HEAD_END)
        if end < 0:
            return
        size = _content_length(received[:end])
        if len(received) < end + len(_HEAD_END) + size:
            return
        self._received = b""
        run = self._run
        run.latencies_s[self._index] = time.perf_counter() - self._sent_s
        run.answers[self._index] = int(received[9:12]), received[end + len(_HEAD_END) :]
        self.send()

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - asyncio's signature
        if self._is_sending:
            self._is_sending = False
            self._run.close_one()

    def close(self) -> None:
        """Hang up."""
        assert self._transport is not None
        self._transport.close()


def _content_length(head: bytes) -> int:
    lowered = head.lower()
    start = lowered.find(_LENGTH)
    if start < 0:
        return 0
    start += len(_LENGTH)
    end = lowered.find(b"\r", start)
    return int(lowered[start : end if end >= 0 else len(lowered)])
