"""The port between the agent and the network: one method sends a request and takes the reply."""

from dataclasses import dataclass
from typing import Literal, Protocol

__all__ = [
    "CONNECTIONS_MAX",
    "CONNECT_TIMEOUT_S",
    "KEEPALIVE_S",
    "REQUEST_HEADERS",
    "HttpMethod",
    "HttpReply",
    "Transport",
    "describe",
    "parse_retry_after",
]

HttpMethod = Literal["GET", "POST"]

CONNECTIONS_MAX = 256
"""Open at once, per transport: a synchronous update holds one for seconds, so 50 (agent-rs) stall
a game server's queries; a boundary node takes a thousand."""

KEEPALIVE_S = 60.0
"""An idle connection is kept that long, in seconds. Less than nginx and the boundary nodes allow,
so that we rather than they close it."""

CONNECT_TIMEOUT_S = 10.0
"""For a free connection or a new one, in seconds. A limit of its own, below the whole's, because
a request that found no connection is known not to have been sent."""

REQUEST_HEADERS = {
    "Content-Type": "application/cbor",
    # A compressed reply could grow without bound; CBOR of hashes and keys hardly shrinks anyway.
    "Accept-Encoding": "identity",
    "User-Agent": "icfleet",
}

_RETRY_AFTER_MAX_S = 3600.0
"""A server that asks for more is not waited for, and the number stays a sane one."""


@dataclass(frozen=True, slots=True)
class HttpReply:
    """What came back, whatever its status."""

    status: int
    body: bytes
    retry_after_s: float | None = None
    """The ``Retry-After`` header, when it gave seconds."""


class Transport(Protocol):
    """Sends requests; keeps connections open between them."""

    async def request(
        self, method: HttpMethod, url: str, body: bytes, *, timeout_s: float, size_max: int
    ) -> HttpReply:
        """Send one request and read the whole reply.

        Redirects are not followed, and compressed replies not asked for.

        Args:
            method: GET is sent without ``body``.
            url: The whole address.
            body: CBOR.
            timeout_s: For everything: connecting, sending, and the reply's last byte.
            size_max: Bytes of the reply's body that are accepted.

        Raises:
            NotSentError: If nothing was sent.
            TransportTimeoutError: If the reply was not complete in time.
            ReplyTooLargeError: If its body is longer than ``size_max``.
            TransportError: If the connection broke.
            ClosedError: After ``aclose``.
        """
        ...

    async def aclose(self) -> None:
        """Close all connections; a second time does nothing."""
        ...


def parse_retry_after(header: str | None) -> float | None:
    """Read ``Retry-After`` in seconds; the rarely used date is taken for no answer."""
    if header is None or not header.isascii() or not header.isdigit():
        return None
    return min(float(header), _RETRY_AFTER_MAX_S)


def describe(error: BaseException) -> str:
    """Say what failed, also where a library left the message empty."""
    return str(error) or type(error).__name__
