"""The local network as a running HTTP server on loopback.

Rounds run in the event loop: as soon as there is work, when a canister timer is due, and at least
once a second so that certificates stay fresh.
"""

import asyncio
import contextlib
import errno
import ipaddress
import secrets
import socket
import time
from collections.abc import Awaitable, Callable, Generator, Iterable, MutableMapping
from types import TracebackType
from typing import Any, Self, cast
from urllib.parse import urlsplit

import structlog
import uvicorn

from icfleet_localnet.errors import AddressError, PortInUseError
from icfleet_localnet.executor import Executor
from icfleet_localnet.http_interface import HttpInterface, HttpResponse, Wait
from icfleet_localnet.kybra_host.inprocess import InProcessExecutor
from icfleet_localnet.subnet import Subnet
from icfleet_protocol.envelope import ENVELOPE_SIZE_MAX
from icfleet_protocol.principal import Principal
from icfleet_protocol.request_id import RequestId

__all__ = ["DEFAULT_PORT", "LocalnetServer", "is_local_request"]

DEFAULT_PORT = 4943
"""Where ``dfx start`` listens too, so that the same commands reach either."""

_ROUND_IDLE_S = 1.0
"""A round at least this often: mainnet makes about one a second."""

_SYNC_CALL_WAIT_S = 10.0
"""How long a synchronous call is held. Source: dfinity/ic."""

_BODY_TIMEOUT_S = 30.0
_STOP_TIMEOUT_S = 5
_FORBIDDEN = 403
_CORS = [
    (b"vary", b"origin"),
    (b"access-control-allow-methods", b"POST, GET"),
    (b"access-control-allow-headers", b"Accept, Authorization, Content-Type"),
]

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]

_log = structlog.get_logger(__name__)


class LocalnetServer:
    """A local network, from ``async with`` to the end of the block.

    Args:
        host: A loopback address: the server runs the code that it is sent.
        port: TCP port; 0 picks a free one.
        executor: What runs the canisters.
        seed: Fixes the network's keys; random when not given.
    """

    def __init__(
        self,
        *,
        host: str = "127.0.0.1",
        port: int = DEFAULT_PORT,
        executor: Executor | None = None,
        seed: bytes | None = None,
    ) -> None:
        if not _is_loopback(host):
            raise AddressError(host)
        self._host = host
        self._port = port
        self.subnet = Subnet(
            InProcessExecutor() if executor is None else executor,
            seed=secrets.token_bytes(32) if seed is None else seed,
            now_ns=time.time_ns(),
        )
        self._app = _App(self.subnet)
        self._tasks = asyncio.TaskGroup()
        self._server: _Server | None = None
        self._rounds: asyncio.Task[None] | None = None

    @property
    def url(self) -> str:
        """Base URL, without a slash at the end."""
        host = f"[{self._host}]" if ":" in self._host else self._host
        return f"http://{host}:{self._port}"

    @property
    def root_key_der(self) -> bytes:
        """The key that all certificates lead to."""
        return self.subnet.public_key_der

    @property
    def subnet_id(self) -> Principal:
        """The one subnet's id."""
        return self.subnet.id

    async def __aenter__(self) -> Self:
        listener = _listen(self._host, self._port)
        self._port = int(listener.getsockname()[1])
        config = uvicorn.Config(
            self._app,
            lifespan="off",
            access_log=False,
            log_config=None,
            ws="none",
            http="httptools",
            timeout_graceful_shutdown=_STOP_TIMEOUT_S,
        )
        self._server = _Server(config)
        await self._tasks.__aenter__()
        self._rounds = self._tasks.create_task(self._app.run_rounds())
        self._tasks.create_task(self._server.serve(sockets=[listener]))
        await self._server.is_listening.wait()
        _log.info("localnet started", url=self.url, subnet=str(self.subnet_id))
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        assert self._server is not None
        assert self._rounds is not None
        self._server.should_exit = True
        self._rounds.cancel()
        await self._tasks.__aexit__(kind, error, traceback)
        _log.info("localnet stopped", url=self.url)


class _Server(uvicorn.Server):
    """uvicorn inside somebody else's program: signals are not its business."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.is_listening = asyncio.Event()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets=sockets)
        self.is_listening.set()

    @contextlib.contextmanager
    def capture_signals(self) -> Generator[None]:
        yield


class _App:
    """The ASGI application and the clock of rounds."""

    def __init__(self, subnet: Subnet) -> None:
        self._subnet = subnet
        self._interface = HttpInterface(subnet)
        self._waiting: dict[RequestId, list[asyncio.Future[None]]] = {}
        self._wake = asyncio.Event()

    async def run_rounds(self) -> None:
        """Run rounds until cancelled."""
        while True:
            if not self._subnet.has_work:
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(self._idle_s()):
                        await self._wake.wait()
            self._wake.clear()
            report = self._subnet.run_round(time.time_ns())
            for request in report.answered:
                for future in self._waiting.pop(request, []):
                    if not future.done():
                        future.set_result(None)
            # Queries and new calls get their turn between two rounds.
            await asyncio.sleep(0)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one HTTP request."""
        assert scope["type"] == "http", scope["type"]
        method: str = scope["method"]
        path: str = scope["path"]
        headers = dict(cast("Iterable[tuple[bytes, bytes]]", scope["headers"]))
        origin = headers.get(b"origin")
        if not is_local_request(headers.get(b"host"), origin):
            # Any web page can post to loopback, and what is posted here is code that gets run.
            response = HttpResponse.text(
                _FORBIDDEN, "only programs and pages of this computer may call"
            )
        elif method == "OPTIONS":
            response = HttpResponse.text(200, "")
        elif method == "GET" and path == "/api/v2/status":
            response = self._interface.status()
        elif method == "POST":
            response = await self._post(path, receive)
        else:
            response = HttpResponse.text(404, f"unknown path {path}")
        answered = [
            (b"content-type", response.content_type.encode()),
            (b"content-length", str(len(response.body)).encode()),
            *_CORS,
        ]
        if origin is not None and response.status != _FORBIDDEN:
            answered.append((b"access-control-allow-origin", origin))
        start = {"status": response.status, "headers": answered}
        await send({"type": "http.response.start", **start})
        await send({"type": "http.response.body", "body": response.body})

    async def _post(self, path: str, receive: Receive) -> HttpResponse:
        try:
            async with asyncio.timeout(_BODY_TIMEOUT_S):
                body = await _read_body(receive)
        except TimeoutError:
            return HttpResponse.text(408, "the request's body did not arrive in time")
        if body is None:
            return HttpResponse.text(413, f"the body is larger than {ENVELOPE_SIZE_MAX} bytes")
        answer = self._interface.post(path, body, now_ns=time.time_ns())
        if self._subnet.has_work:
            self._wake.set()
        return await self._await_round(answer) if isinstance(answer, Wait) else answer

    async def _await_round(self, wait: Wait) -> HttpResponse:
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(wait.request, []).append(future)
        try:
            async with asyncio.timeout(_SYNC_CALL_WAIT_S):
                await future
        except TimeoutError:
            return wait.timeout
        finally:
            waiting = self._waiting.get(wait.request, [])
            if future in waiting:
                waiting.remove(future)
                if not waiting:
                    del self._waiting[wait.request]
        return self._interface.finished(wait.request)

    def _idle_s(self) -> float:
        due_ns = self._subnet.next_timer_ns
        if due_ns is None:
            return _ROUND_IDLE_S
        return min(_ROUND_IDLE_S, max(0.0, (due_ns - time.time_ns()) / 1e9))


def is_local_request(host: bytes | None, origin: bytes | None) -> bool:
    """Whether a request was made to this computer by its name, and not for a page from elsewhere.

    ``Host`` guards against names that are made to resolve to loopback, ``Origin`` against pages.
    """
    named = [] if host is None else [b"http://" + host]
    named += [] if origin is None else [origin]
    return all(_is_local_url(url.decode("ascii", "replace")) for url in named)


def _is_local_url(url: str) -> bool:
    try:
        name = urlsplit(url).hostname or ""
    except ValueError:
        return False
    return name == "localhost" or name.endswith(".localhost") or _is_loopback(name)


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


async def _read_body(receive: Receive) -> bytes | None:
    """The whole body, or ``None`` if it is too large."""
    parts: list[bytes] = []
    size = 0
    while True:
        message = await receive()
        part: bytes = message.get("body", b"")
        size += len(part)
        if size > ENVELOPE_SIZE_MAX:
            return None
        parts.append(part)
        if not message.get("more_body", False):
            return b"".join(parts)


def _listen(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
    except OSError as error:
        listener.close()
        if error.errno != errno.EADDRINUSE:
            raise
        raise PortInUseError(host, port) from error
    listener.listen(1024)
    listener.setblocking(False)  # noqa: FBT003 - the standard library's signature
    return listener
