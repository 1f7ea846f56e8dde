"""The default transport: aiohttp, ten times httpx's throughput at 32 requests at a time."""

import io
import os
import ssl

import aiohttp

from icfleet_agent.errors import (
    ClosedError,
    NotSentError,
    ReplyTooLargeError,
    TransportError,
    TransportTimeoutError,
)
from icfleet_agent.transport import (
    CONNECT_TIMEOUT_S,
    CONNECTIONS_MAX,
    KEEPALIVE_S,
    REQUEST_HEADERS,
    HttpMethod,
    HttpReply,
    describe,
    parse_retry_after,
)

__all__ = ["AiohttpTransport"]


_BYTES_MAX = 1 << 20
"""aiohttp warns of a longer body that is not a file."""


class AiohttpTransport:
    """One pooled session, made on first use and bound to that event loop."""

    def __init__(
        self,
        *,
        connections_max: int = CONNECTIONS_MAX,
        tls_context: ssl.SSLContext | None = None,
    ) -> None:
        self._connections_max = connections_max
        self._tls_context = tls_context
        self._session: aiohttp.ClientSession | None = None
        self._is_closed = False

    async def request(
        self, method: HttpMethod, url: str, body: bytes, *, timeout_s: float, size_max: int
    ) -> HttpReply:
        """See ``Transport.request``."""
        if self._is_closed:
            reason = "the transport is closed"
            raise ClosedError(reason)
        session = self._session or self._open()
        try:
            async with session.request(
                method,
                url,
                data=_payload(body) if method == "POST" else None,
                headers=REQUEST_HEADERS,
                allow_redirects=False,
                timeout=_limit(timeout_s),
            ) as response:
                content = await _read(response, size_max)
                retry_after_s = parse_retry_after(response.headers.get("Retry-After"))
                return HttpReply(response.status, content, retry_after_s)
        except (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError) as error:
            raise NotSentError(_no_connection(error)) from error
        except TimeoutError as error:
            reason = f"no complete answer within {timeout_s:.1f} s"
            raise TransportTimeoutError(reason) from error
        except (aiohttp.ClientError, OSError) as error:
            reason = f"the connection broke: {describe(error)}"
            raise TransportError(reason) from error

    async def aclose(self) -> None:
        """See ``Transport.aclose``."""
        self._is_closed = True
        if self._session is not None:
            await self._session.close()

    def _open(self) -> aiohttp.ClientSession:
        connector = aiohttp.TCPConnector(
            limit=self._connections_max,
            keepalive_timeout=KEEPALIVE_S,
            # True is the context that aiohttp made once, at import.
            ssl=self._tls_context or True,
        )
        # Replicas set no cookies and their replies are CBOR: nothing to remember or to unpack.
        self._session = aiohttp.ClientSession(
            connector=connector, cookie_jar=aiohttp.DummyCookieJar(), auto_decompress=False
        )
        return self._session


def _payload(body: bytes) -> bytes | io.BytesIO:
    return body if len(body) <= _BYTES_MAX else io.BytesIO(body)


def _limit(timeout_s: float) -> aiohttp.ClientTimeout:
    # The earlier limit tells whether there was a connection when time ran out.
    return aiohttp.ClientTimeout(total=timeout_s, connect=min(CONNECT_TIMEOUT_S, timeout_s * 0.9))


def _no_connection(error: aiohttp.ClientError) -> str:
    """Say why in plain words: aiohttp's own speak of TLS settings, also where there is no TLS."""
    if not isinstance(error, aiohttp.ClientConnectorError) or error.os_error.errno is None:
        return f"no connection: {describe(error)}"
    if isinstance(error, aiohttp.ClientSSLError):
        return f"no connection: {describe(error)}"
    return f"no connection to {error.host}:{error.port}: {os.strerror(error.os_error.errno)}"


async def _read(response: aiohttp.ClientResponse, size_max: int) -> bytes:
    size = response.content_length
    if size is not None and size <= size_max:
        # The announced length is also where the parser stops, so nothing longer can come.
        return await response.read()
    chunks: list[bytes] = []
    size = size or 0
    if size <= size_max:
        async for chunk in response.content.iter_any():
            chunks.append(chunk)
            size += len(chunk)
            if size > size_max:
                break
    if size > size_max:
        reason = f"a reply of more than {size_max} bytes"
        raise ReplyTooLargeError(reason)
    return b"".join(chunks)
