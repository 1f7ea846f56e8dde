"""The second transport: httpx, for those who want its proxies, mounts and event hooks."""

import asyncio
import ssl

import httpx

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

__all__ = ["HttpxTransport"]

_STEP_LIMITS = httpx.Timeout(None, connect=CONNECT_TIMEOUT_S, pool=CONNECT_TIMEOUT_S)


class HttpxTransport:
    """One pooled client: ours, made on first use, or the user's own, left for them to close."""

    def __init__(
        self,
        client: httpx.AsyncClient | None = None,
        *,
        connections_max: int = CONNECTIONS_MAX,
        tls_context: ssl.SSLContext | None = None,
    ) -> None:
        self._client = client
        self._is_owner = client is None
        self._connections_max = connections_max
        self._tls_context = tls_context
        self._is_closed = False

    async def request(
        self, method: HttpMethod, url: str, body: bytes, *, timeout_s: float, size_max: int
    ) -> HttpReply:
        """See ``Transport.request``."""
        if self._is_closed:
            reason = "the transport is closed"
            raise ClosedError(reason)
        client = self._client or self._open()
        try:
            # httpx limits single steps, so that a trickled reply never ends; we limit the whole.
            async with asyncio.timeout(timeout_s):
                return await _exchange(client, method, url, body, size_max)
        except (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout) as error:
            reason = f"no connection: {describe(error)}"
            raise NotSentError(reason) from error
        except (TimeoutError, httpx.TimeoutException) as error:
            reason = f"no complete answer within {timeout_s:.1f} s"
            raise TransportTimeoutError(reason) from error
        except (httpx.HTTPError, httpx.InvalidURL, httpx.StreamError) as error:
            reason = f"the connection broke: {describe(error)}"
            raise TransportError(reason) from error

    async def aclose(self) -> None:
        """See ``Transport.aclose``; a client that was passed in is left open."""
        self._is_closed = True
        if self._client is not None and self._is_owner:
            await self._client.aclose()

    def _open(self) -> httpx.AsyncClient:
        self._client = httpx.AsyncClient(
            verify=self._tls_context or True,
            limits=httpx.Limits(
                max_connections=self._connections_max,
                max_keepalive_connections=self._connections_max,
                keepalive_expiry=KEEPALIVE_S,
            ),
            trust_env=False,
        )
        return self._client


async def _exchange(
    client: httpx.AsyncClient, method: HttpMethod, url: str, body: bytes, size_max: int
) -> HttpReply:
    content = body if method == "POST" else None
    async with client.stream(
        method,
        url,
        content=content,
        headers=REQUEST_HEADERS,
        follow_redirects=False,
        timeout=_STEP_LIMITS,
    ) as response:
        chunks: list[bytes] = []
        size = 0
        async for chunk in response.aiter_raw():
            chunks.append(chunk)
            size += len(chunk)
            if size > size_max:
                reason = f"a reply of more than {size_max} bytes"
                raise ReplyTooLargeError(reason)
        retry_after_s = parse_retry_after(response.headers.get("Retry-After"))
        return HttpReply(response.status_code, b"".join(chunks), retry_after_s)
