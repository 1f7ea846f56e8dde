"""HTTP/1.1 for the network's two applications, with a limit on all that a peer can drag out.

The whole request is here before the application sees it, and its answer leaves in one write. So an
application is a function of a request, and answers at once where there is nothing to wait for.

Source: RFC 9112; the parser is Node's, by ``httptools``.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from functools import partial
from socket import socket
from types import TracebackType
from typing import Any, Self, cast
from urllib.parse import unquote

import httptools

from icfleet_localnet.event_log import EventLog
from icfleet_localnet.http_message import Header, HttpAnswer, HttpRequest, encode_answer
from icfleet_localnet.http_response import HttpResponse

__all__ = ["Handler", "HttpLimits", "HttpServer"]

_CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"

_log = EventLog(__name__)

Handler = Callable[[HttpRequest], HttpAnswer | Coroutine[Any, Any, HttpAnswer | None]]
"""Answers a request; ``None`` drops the connection without an answer."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HttpLimits:
    """What a peer may send, and how long it may take."""

    head_size_max: int = 64 * 1024
    """Bytes of request line and headers. The largest real client sends less than 1 KiB."""
    headers_max: int = 100
    body_size_max: int = 64 * 1024
    head_timeout_s: float = 10.0
    """From the connection, or the first byte of a further request, to the end of its headers."""
    body_timeout_s: float = 30.0
    """From the end of the headers to the end of the body."""
    keep_alive_s: float = 60.0
    """From an answer to the first byte of a further request. Game servers keep their connections:
    opening one costs more than a query."""
    stall_timeout_s: float = 10.0
    """How long a peer may leave its answer unread."""
    linger_s: float = 2.0
    """How long to take in what follows a refused request: closing at once may destroy the answer
    on its way. Source: RFC 9112, section 9.6."""
    stop_timeout_s: float = 5.0
    """How long requests may still be answered when the server stops."""


class HttpServer:
    """Serves one application at one socket, from ``async with`` to the end of the block.

    Args:
        handler: Answers the requests.
        listener: A listening socket; the server closes it.
        limits: What peers may do.
    """

    def __init__(
        self, handler: Handler, listener: socket, limits: HttpLimits | None = None
    ) -> None:
        self._handler = handler
        self._listener = listener
        self._limits = limits or HttpLimits()
        self._connections: set[_Connection] = set()
        self._server: asyncio.Server | None = None

    async def __aenter__(self) -> Self:
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(self._connect, sock=self._listener)
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        assert self._server is not None
        self._server.close()
        connections = [*self._connections]
        for connection in connections:
            connection.stop()
        try:
            async with asyncio.timeout(self._limits.stop_timeout_s):
                for connection in connections:
                    await connection.closed.wait()
        except TimeoutError:
            for connection in connections:
                connection.drop()
            for connection in connections:
                await connection.closed.wait()

    def _connect(self) -> "_Connection":
        return _Connection(self._handler, self._limits, self._connections)


class _Connection(asyncio.Protocol):
    """One connection: parses requests, and answers them one after the other."""

    def __init__(
        self, handler: Handler, limits: HttpLimits, connections: "set[_Connection]"
    ) -> None:
        self.closed = asyncio.Event()
        self._handler = handler
        self._limits = limits
        self._connections = connections
        self._loop = asyncio.get_running_loop()
        self._parser: Any = httptools.HttpRequestParser(self)
        self._deadline_s: float | None = None
        self._timer: asyncio.TimerHandle | None = None
        """Rings at the deadline or before."""
        self._stall: asyncio.TimerHandle | None = None
        self._requests: deque[tuple[HttpRequest, bool]] = deque()
        """What waits to be answered, and whether the connection goes on afterwards."""
        self._task: asyncio.Task[HttpAnswer | None] | None = None
        self._is_unread = False
        """The peer leaves so much unread that nothing more is written."""
        self._is_last = False
        """No further request is taken; the connection ends when all is answered."""
        self._is_lingering = False
        self._is_paused = False
        self._refusal: HttpResponse | None = None
        """Answers what could not be understood, after all that could."""
        self._is_in_head = True
        self._head_size = 0
        self._url: list[bytes] = []
        self._headers: list[Header] = []
        self._body: list[bytes] = []
        self._body_size = 0

    # Called by the event loop

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Wait for the first request."""
        self._transport = cast("asyncio.Transport", transport)
        self._connections.add(self)
        self._set_deadline(self._limits.head_timeout_s)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - asyncio's signature
        """Stop what was computed for this peer."""
        if self._timer is not None:
            self._timer.cancel()
        self._stop_watching()
        self._requests.clear()
        self._connections.discard(self)
        if self._task is None:
            self.closed.set()
        else:
            self._task.cancel()

    def data_received(self, data: bytes) -> None:
        """Parse what came."""
        if self._is_last:
            return
        was_in_head, parsed = self._is_in_head, len(self._requests)
        if was_in_head and self._head_size == 0 and not self._is_busy:
            self._set_deadline(self._limits.head_timeout_s)
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            # What follows would be another protocol; the request itself is answered by this one.
            self._is_last = True
        except httptools.HttpParserError:
            self._refuse(HttpResponse.text(400, "this is not HTTP/1.1"))
        # What ended a request was no head, or not only.
        if was_in_head and self._is_in_head and len(self._requests) == parsed:
            self._head_size += len(data)
            if self._head_size > self._limits.head_size_max:
                self._refuse(HttpResponse.text(431, "the headers are too large"))
        if self._requests or self._is_last:
            self._proceed()
        if self._requests and not self._is_paused:
            self._is_paused = True
            self._transport.pause_reading()

    def eof_received(self) -> bool:
        """The peer sends nothing more, but may still read what it waits for."""
        self._is_last = True
        return self._is_busy or self._is_unread

    def pause_writing(self) -> None:
        """Give a peer that does not read some time."""
        self._is_unread = True
        self._watch_reader()

    def resume_writing(self) -> None:
        """The peer reads again."""
        self._is_unread = False
        self._stop_watching()
        self._proceed()

    # Called by the parser

    def on_message_begin(self) -> None:
        """Start with an empty request."""
        self._url, self._headers, self._body = [], [], []
        self._body_size = 0

    def on_url(self, url: bytes) -> None:
        """Keep a piece of the request's target."""
        self._url.append(url)

    def on_header(self, name: bytes, value: bytes) -> None:
        """Keep a header, up to a number of them."""
        self._headers.append((name.lower(), value))
        if len(self._headers) > self._limits.headers_max:
            self._refuse(HttpResponse.text(431, "there are too many headers"))

    def on_headers_complete(self) -> None:
        """Start the clock for the body, unless it is too large anyway."""
        self._is_in_head = False
        self._set_deadline(self._limits.body_timeout_s)
        fields = dict(self._headers)
        if int(fields.get(b"content-length", b"0")) > self._limits.body_size_max:
            self._refuse_body()
        elif fields.get(b"expect", b"").lower() == b"100-continue" and not self._is_busy:
            self._transport.write(_CONTINUE)

    def on_body(self, part: bytes) -> None:
        """Keep a piece of the body, up to a size."""
        self._body_size += len(part)
        if self._body_size > self._limits.body_size_max:
            self._refuse_body()
        else:
            self._body.append(part)

    def on_message_complete(self) -> None:
        """Everything is here: from now on the peer waits for us."""
        self._is_in_head = True
        self._head_size = 0
        if self._refusal is not None:
            return
        self._clear_deadline()
        path = _path(b"".join(self._url))
        if path is None:
            self._refuse(HttpResponse.text(400, "the request's target is no path"))
            return
        body = self._body[0] if len(self._body) == 1 else b"".join(self._body)
        request = HttpRequest(self._parser.get_method().decode(), path, self._headers, body)
        is_kept = (
            self._parser.should_keep_alive()
            and self._parser.get_http_version() == "1.1"
            and not self._parser.should_upgrade()
        )
        self._requests.append((request, is_kept))

    # The server's end

    def stop(self) -> None:
        """Answer what is here, then close."""
        self._is_last = True
        self._proceed()

    def drop(self) -> None:
        """Close now."""
        self._transport.abort()

    # Answering

    @property
    def _is_busy(self) -> bool:
        return self._task is not None or bool(self._requests)

    def _proceed(self) -> None:
        """Answer what waits, as long as nothing has to be waited for; then rest."""
        while self._requests and self._task is None and not self._is_unread:
            request, is_kept = self._requests.popleft()
            try:
                answer = self._handler(request)
            except Exception:  # noqa: BLE001 - one request fails, and not the network
                answer = _failed()
            if isinstance(answer, HttpAnswer):
                self._write(request, answer, is_kept=is_kept)
            else:
                self._task = self._loop.create_task(answer)
                self._task.add_done_callback(partial(self._on_answer, request, is_kept))
        if not (self._is_busy or self._is_unread or self._transport.is_closing()):
            self._rest()

    def _on_answer(
        self,
        request: HttpRequest,
        is_kept: bool,  # noqa: FBT001 - a callback gets its arguments in order
        task: asyncio.Task[HttpAnswer | None],
    ) -> None:
        self._task = None
        if task.cancelled():
            self.closed.set()
            return
        try:
            answer = task.result()
        except Exception:  # noqa: BLE001 - one request fails, and not the network
            answer = _failed()
        if self._transport.is_closing():
            self.closed.set()
        elif answer is None:
            self._transport.abort()
        else:
            self._write(request, answer, is_kept=is_kept)
            self._proceed()

    def _write(self, request: HttpRequest, answer: HttpAnswer, *, is_kept: bool) -> None:
        if not is_kept:
            self._is_last = True
            self._requests.clear()
            self._refusal = None
        is_last = self._is_last and not self._requests and self._refusal is None
        has_body = request.method != "HEAD"
        self._transport.write(encode_answer(answer, has_body=has_body, is_last=is_last))

    def _rest(self) -> None:
        """All is answered: wait for more, or end."""
        if self._refusal is not None:
            refusal, self._refusal = HttpAnswer(self._refusal), None
            self._transport.write(encode_answer(refusal, has_body=True, is_last=True))
            self._transport.write_eof()
            self._is_lingering = True
            self._set_deadline(self._limits.linger_s)
            self._resume_reading()
        elif self._is_last:
            if not self._is_lingering:
                self._transport.close()
        else:
            self._resume_reading()
            if self._is_in_head:
                is_idle = self._head_size == 0
                limits = self._limits
                self._set_deadline(limits.keep_alive_s if is_idle else limits.head_timeout_s)

    # Limits

    def _refuse(self, response: HttpResponse) -> None:
        """Read nothing more; say why when all before is answered."""
        if self._refusal is None and not self._is_last:
            self._refusal = response
        self._is_last = True

    def _refuse_body(self) -> None:
        reason = f"the body is larger than {self._limits.body_size_max} bytes"
        self._refuse(HttpResponse.text(413, reason))

    def _resume_reading(self) -> None:
        if self._is_paused:
            self._is_paused = False
            self._transport.resume_reading()

    def _set_deadline(self, timeout_s: float) -> None:
        """Give the peer so long for what it does next.

        A timer that rings early enough is left as it is, and sets itself again: so most requests
        need none of their own.
        """
        self._deadline_s = deadline_s = self._loop.time() + timeout_s
        if self._timer is not None:
            if self._timer.when() <= deadline_s:
                return
            self._timer.cancel()
        self._timer = self._loop.call_at(deadline_s, self._on_timer)

    def _clear_deadline(self) -> None:
        self._deadline_s = None

    def _on_timer(self) -> None:
        self._timer = None
        if self._deadline_s is None:
            return
        if self._deadline_s <= self._loop.time():
            self._transport.abort()
        else:
            self._timer = self._loop.call_at(self._deadline_s, self._on_timer)

    def _watch_reader(self, unread_before: int | None = None) -> None:
        """Look again and again whether the peer has read anything of its answer."""
        unread = self._transport.get_write_buffer_size()
        if unread == unread_before:
            self._transport.abort()
            return
        timeout_s = self._limits.stall_timeout_s
        self._stall = self._loop.call_later(timeout_s, self._watch_reader, unread)

    def _stop_watching(self) -> None:
        if self._stall is not None:
            self._stall.cancel()
            self._stall = None


def _failed() -> HttpAnswer:
    """What a client gets for our own mistake; called where the exception is handled."""
    _log.exception("a request could not be answered")
    return HttpAnswer(HttpResponse.text(500, "the local network failed: its log tells more"))


def _path(target: bytes) -> str | None:
    """The path of a request's target: without its query, decoded."""
    if not target.startswith(b"/"):
        try:
            target = httptools.parse_url(target).path or b"/"
        except httptools.HttpParserInvalidURLError:
            return None
    path = target.partition(b"?")[0].decode("ascii", "replace")
    return unquote(path) if "%" in path else path
