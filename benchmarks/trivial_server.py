"""A server that parses nothing and answers always the same: what the generator itself can do.

Run by ``localnet_load.py``; prints its address as one JSON line, ends with its standard input.
"""

import asyncio
import json
import sys
from typing import cast

import uvloop

__all__ = ["main"]

_BODY = bytes(400)
"""About as long as the answer to a query."""
_ANSWER = (
    b"HTTP/1.1 200 OK\r\ncontent-type: application/cbor\r\ncontent-length: 400\r\n\r\n" + _BODY
)
_HEAD_END = b"\r\n\r\n"
_LENGTH = b"Content-Length: "


class _Trivial(asyncio.Protocol):
    """Knows where the generator's requests end, and nothing else of HTTP."""

    def __init__(self) -> None:
        self._transport: asyncio.Transport | None = None
        self._received = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # A cast, because uvloop's transports are no instances of asyncio's.
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        assert self._transport is not None
        received = self._received = self._received + data
        end = received.find(_HEAD_END)
        if end < 0:
            return
        start = received.find(_LENGTH) + len(_LENGTH)
        size = int(received[start : received.find(b"\r", start)])
        if len(received) >= end + len(_HEAD_END) + size:
            self._received = b""
            self._transport.write(_ANSWER)


async def _serve() -> None:
    loop = asyncio.get_running_loop()
    server = await loop.create_server(_Trivial, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    print(json.dumps({"url": f"http://127.0.0.1:{port}"}), flush=True)
    await loop.run_in_executor(None, sys.stdin.read)
    server.close()


def main() -> int:
    """Serve until standard input ends."""
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(_serve())
    return 0


if __name__ == "__main__":
    sys.exit(main())
