"""Connections whose peers drag things out, or send what no client sends."""

import asyncio
import logging
from collections.abc import AsyncGenerator, Coroutine
from contextlib import asynccontextmanager
from typing import Any

import pytest

from icfleet_localnet.http_message import HttpAnswer, HttpRequest
from icfleet_localnet.http_response import HttpResponse
from icfleet_localnet.http_server import Handler, HttpLimits, HttpServer
from icfleet_localnet.local_origin import listen

LARGE = b"x" * (32 << 20)
POST = b"POST /echo HTTP/1.1\r\nhost: localhost\r\n"
GET = b"GET /path HTTP/1.1\r\nhost: localhost\r\n"
LIMITS = HttpLimits(
    body_size_max=1000,
    head_timeout_s=0.3,
    body_timeout_s=0.3,
    keep_alive_s=0.3,
    stall_timeout_s=0.3,
    linger_s=0.3,
    stop_timeout_s=0.3,
)

Reader = asyncio.StreamReader
Writer = asyncio.StreamWriter


async def later(answer: HttpAnswer | None, delay_s: float) -> HttpAnswer | None:
    await asyncio.sleep(delay_s)
    return answer


def echo(request: HttpRequest) -> HttpAnswer:
    match request.path:
        case "/large":
            return HttpAnswer(HttpResponse(200, LARGE))
        case "/echo":
            return HttpAnswer(HttpResponse(200, request.body))
        case path:
            return HttpAnswer(HttpResponse.text(200, f"{request.method} {path}"))


def slow(request: HttpRequest) -> Coroutine[Any, Any, HttpAnswer | None]:
    return later(echo(request), 0.1)


@asynccontextmanager
async def serving(
    handler: Handler = echo, limits: HttpLimits = LIMITS
) -> AsyncGenerator[tuple[Reader, Writer]]:
    """A connection to a server that is short of patience."""
    listener = listen("127.0.0.1", 0)
    async with HttpServer(handler, listener, limits), asyncio.timeout(20):
        reader, writer = await asyncio.open_connection(*listener.getsockname()[:2])
        try:
            yield reader, writer
        finally:
            writer.transport.abort()


async def trickle(writer: Writer, data: bytes) -> None:
    for byte in data:
        writer.write(bytes([byte]))
        await asyncio.sleep(0.02)


@pytest.mark.parametrize("kept_alive", [False, True], ids=["first-request", "second-request"])
async def test_headers_that_trickle_in_are_cut_off(kept_alive: bool) -> None:
    """The clock starts with the first byte and is not set back by the others."""
    async with serving() as (reader, writer):
        if kept_alive:
            writer.write(POST + b"content-length: 2\r\n\r\nok")
            assert (await reader.readuntil(b"ok")).startswith(b"HTTP/1.1 200")
        sending = asyncio.ensure_future(trickle(writer, POST * 10))
        assert await reader.read() == b""
        sending.cancel()


async def test_a_connection_that_never_speaks_is_closed() -> None:
    """No request, no connection."""
    async with serving() as (reader, _):
        assert await reader.read() == b""


async def test_a_connection_that_says_nothing_more_is_closed() -> None:
    """Keeping alive has an end."""
    async with serving() as (reader, writer):
        writer.write(GET + b"\r\n")
        assert (await reader.read()).endswith(b"GET /path")


async def test_a_body_that_trickles_in_is_cut_off() -> None:
    """However steady it comes."""
    async with serving() as (reader, writer):
        writer.write(POST + b"content-length: 1000\r\n\r\n")
        sending = asyncio.ensure_future(trickle(writer, b"x" * 1000))
        assert await reader.read() == b""
        sending.cancel()


async def test_a_peer_that_does_not_read_is_cut_off() -> None:
    """Its answer does not stay in memory."""
    async with serving() as (reader, writer):
        writer.write(b"GET /large HTTP/1.1\r\nhost: localhost\r\n\r\n")
        await asyncio.sleep(1.5)
        received = 0
        try:
            while chunk := await reader.read(1 << 20):
                received += len(chunk)
        except ConnectionResetError:
            pass
        assert received < len(LARGE)


async def test_a_slow_but_steady_answer_is_not_cut_off() -> None:
    """Only a stall counts: whoever reads gets everything."""
    async with serving() as (reader, writer):
        writer.write(b"GET /large HTTP/1.1\r\nhost: localhost\r\n\r\n")
        await reader.readuntil(b"\r\n\r\n")
        received = 0
        while received < len(LARGE):
            received += len(await reader.read(1 << 20))
            await asyncio.sleep(0.01)
        assert received == len(LARGE)


@pytest.mark.parametrize(
    ("request_", "status"),
    [
        (POST + b"x-long: " + b"y" * (LIMITS.head_size_max + 1), b"431"),
        (POST + b"x: y\r\n" * (LIMITS.headers_max + 1) + b"\r\n", b"431"),
        (POST + b"content-length: 1001\r\n\r\n" + b"x" * 1001, b"413"),
        (POST + b"transfer-encoding: chunked\r\n\r\n3e9\r\n" + b"x" * 1001, b"413"),
    ],
    ids=["headers-without-end", "many-headers", "long-body", "long-chunked-body"],
)
async def test_what_is_too_large_is_refused(request_: bytes, status: bytes) -> None:
    """The refusal arrives although the rest of the request was never read."""
    async with serving() as (reader, writer):
        writer.write(request_)
        answer = await reader.read()
        assert answer.startswith(b"HTTP/1.1 " + status)
        assert b"connection: close" in answer


async def test_a_refusal_reaches_a_client_that_still_sends() -> None:
    """The connection lingers, since closing it at once would destroy the answer on its way."""
    async with serving() as (reader, writer):
        writer.write(POST + b"content-length: 10000000\r\n\r\n" + bytes(10_000_000))
        assert (await reader.read()).startswith(b"HTTP/1.1 413")


@pytest.mark.parametrize(
    "head",
    [
        b"content-length: 5\r\ntransfer-encoding: chunked\r\n",
        b"content-length: 5\r\ncontent-length: 6\r\n",
        b"content-length: -1\r\n",
        b"content-length : 5\r\n",
        b"x-nul: a\x00b\r\n",
        b"transfer-encoding: xchunked\r\n",
    ],
    ids=["both-lengths", "two-lengths", "negative", "space-before-colon", "nul", "unknown-coding"],
)
async def test_ambiguous_requests_are_refused(head: bytes) -> None:
    """What two servers could read in two ways is read by neither."""
    async with serving() as (reader, writer):
        writer.write(POST + head + b"\r\nhello")
        assert (await reader.read()).startswith(b"HTTP/1.1 400")


@pytest.mark.parametrize("handler", [echo, slow])
async def test_requests_in_one_piece_are_answered_in_order(handler: Handler) -> None:
    """Pipelining, also where an answer has to be waited for; garbage afterwards is told last."""
    async with serving(handler) as (reader, writer):
        writer.write(GET + b"\r\n" + POST + b"content-length: 3\r\n\r\ntwo" + b"\x16\x03\x01")
        answers = await reader.read()

    statuses = [part[:3] for part in answers.split(b"HTTP/1.1 ")[1:]]
    assert statuses == [b"200", b"200", b"400"]
    assert answers.index(b"GET /path") < answers.index(b"two")


async def test_a_chunked_body_is_put_together() -> None:
    """In as many pieces as it comes."""
    async with serving() as (reader, writer):
        writer.write(POST + b"transfer-encoding: chunked\r\n\r\n")
        for piece in (b"3\r\none\r\n", b"3\r\ntwo\r\n", b"0\r\n\r\n"):
            writer.write(piece)
            await asyncio.sleep(0.01)
        assert (await reader.readuntil(b"onetwo")).startswith(b"HTTP/1.1 200")


async def test_who_asks_whether_to_go_on_is_told_to() -> None:
    """curl does for bodies from a megabyte on."""
    async with serving() as (reader, writer):
        writer.write(POST + b"content-length: 2\r\nexpect: 100-continue\r\n\r\n")
        assert await reader.readuntil(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
        writer.write(b"ok")
        assert (await reader.readuntil(b"ok")).startswith(b"HTTP/1.1 200")


@pytest.mark.parametrize(
    "request_",
    [
        GET + b"connection: close\r\n\r\n",
        b"GET /path HTTP/1.0\r\nhost: localhost\r\n\r\n",
        GET + b"connection: upgrade\r\nupgrade: h2c\r\n\r\n",
    ],
    ids=["asked-to", "http-1.0", "upgrade"],
)
async def test_the_connection_ends_where_it_must(request_: bytes) -> None:
    """The answer says so too."""
    async with serving() as (reader, writer):
        writer.write(request_)
        answer = await reader.read()
        assert answer.endswith(b"GET /path")
        assert b"connection: close" in answer


async def test_a_peer_that_sends_nothing_more_still_gets_its_answer() -> None:
    """Half a connection is enough to read."""
    async with serving(slow) as (reader, writer):
        writer.write(GET + b"\r\n")
        writer.write_eof()
        assert (await reader.read()).endswith(b"GET /path")


async def test_a_head_request_gets_no_body() -> None:
    """Its length is told all the same."""
    async with serving() as (reader, writer):
        writer.write(b"HEAD /path HTTP/1.1\r\nhost: localhost\r\n\r\n")
        answer = await reader.read()
        assert answer.endswith(b"\r\n\r\n")
        assert b"content-length: 10\r\n" in answer


@pytest.mark.parametrize(
    ("target", "path"),
    [
        (b"/a%20b?query=1", b"GET /a b"),
        (b"http://localhost/path", b"GET /path"),
        (b"/%ff", "GET /\N{REPLACEMENT CHARACTER}".encode()),
    ],
)
async def test_a_target_is_read_as_a_path(target: bytes, path: bytes) -> None:
    """Decoded, without query and origin."""
    async with serving() as (reader, writer):
        writer.write(b"GET " + target + b" HTTP/1.1\r\nhost: localhost\r\n\r\n")
        assert (await reader.read()).endswith(path)


@pytest.mark.parametrize("is_late", [False, True])
async def test_our_own_mistake_costs_one_request(
    is_late: bool, caplog: pytest.LogCaptureFixture
) -> None:
    """The client learns that it is ours, the log learns all, and the connection goes on."""

    async def fail_later() -> HttpAnswer:
        await asyncio.sleep(0)
        raise ZeroDivisionError

    def handle(request: HttpRequest) -> HttpAnswer | Coroutine[Any, Any, HttpAnswer | None]:
        if request.path != "/path":
            return echo(request)
        if is_late:
            return fail_later()
        raise ZeroDivisionError

    with caplog.at_level(logging.ERROR):
        async with serving(handle) as (reader, writer):
            writer.write(GET + b"\r\n")
            assert b"the local network failed" in await reader.readuntil(b"more")
            writer.write(POST + b"content-length: 2\r\n\r\nok")
            assert (await reader.readuntil(b"ok")).startswith(b"HTTP/1.1 200")

    (record,) = caplog.records
    assert record.exc_info is not None
    assert record.exc_info[0] is ZeroDivisionError


async def test_no_answer_is_a_closed_connection() -> None:
    """For requests that get lost."""
    async with serving(lambda _request: later(None, 0)) as (reader, writer):
        writer.write(GET + b"\r\n")
        assert await reader.read() == b""


async def test_a_stop_lets_open_requests_finish() -> None:
    """And tells that the connection ends with them."""
    listener = listen("127.0.0.1", 0)
    async with HttpServer(slow, listener, LIMITS):
        reader, writer = await asyncio.open_connection(*listener.getsockname()[:2])
        writer.write(GET + b"\r\n")
        await asyncio.sleep(0.05)

    answer = await reader.read()
    writer.close()
    assert b"connection: close" in answer
    assert answer.endswith(b"GET /path")


async def test_a_stop_does_not_wait_for_ever() -> None:
    """What takes longer than the limit is dropped, and its task with it."""
    tasks = asyncio.all_tasks()
    listener = listen("127.0.0.1", 0)
    async with HttpServer(lambda _request: later(None, 60), listener, LIMITS):
        reader, writer = await asyncio.open_connection(*listener.getsockname()[:2])
        writer.write(GET + b"\r\n")
        await asyncio.sleep(0.05)

    assert await reader.read() == b""
    writer.close()
    assert asyncio.all_tasks() == tasks
