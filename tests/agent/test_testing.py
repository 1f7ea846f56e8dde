"""The fakes that users get behave as the real things where it matters."""

import pytest

from icfleet_agent.errors import ClosedError
from icfleet_agent.testing import MemoryTransport
from icfleet_agent.transport import HttpReply


async def test_a_memory_transport_answers_and_remembers() -> None:
    transport = MemoryTransport(lambda _method, url, body: HttpReply(200, body + url.encode()))

    reply = await transport.request("POST", "http://x", b"body ", timeout_s=1.0, size_max=10)

    assert reply == HttpReply(200, b"body http://x")
    assert transport.requests == [("POST", "http://x", b"body ")]


async def test_a_closed_memory_transport_says_so() -> None:
    transport = MemoryTransport(lambda _method, _url, _body: HttpReply(200, b""))
    await transport.aclose()
    await transport.aclose()

    with pytest.raises(ClosedError):
        await transport.request("GET", "http://x", b"", timeout_s=1.0, size_max=10)
