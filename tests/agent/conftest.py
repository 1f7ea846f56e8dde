"""A scripted replica, and the address of a real HTTP server that it answers at."""

from collections.abc import AsyncIterator

import pytest
from replica_server import serve
from tiny_replica import TinyReplica


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
def replica() -> TinyReplica:
    return TinyReplica()


@pytest.fixture
async def url(replica: TinyReplica) -> AsyncIterator[str]:
    """The address at which ``replica`` answers."""
    async with serve(replica) as address:
        yield address
