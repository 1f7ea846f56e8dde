"""An agent on the site's network, and a clear word when nobody is there."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

from icfleet.errors import NetworkError
from icfleet.site import Site
from icfleet_agent import Agent
from icfleet_agent.errors import NotSentError
from icfleet_protocol.identity import Identity

__all__ = ["open_agent"]


@asynccontextmanager
async def open_agent(site: Site, identity: Identity) -> AsyncGenerator[Agent]:
    """Open an agent to the end of the block; nothing is sent before the block does.

    Raises:
        NetworkError: If a call within the block found nobody at the network's address.
    """
    try:
        async with Agent(site.network.host, identity=identity) as agent:
            yield agent
    except NotSentError as error:
        way = "start it with 'icfleet up'" if site.network.is_ephemeral else "check the connection"
        message = (
            f"nobody answers at {site.network.host} (network {site.network.name!r}): {way}, or say "
            "where it is with --host"
        )
        raise NetworkError(message) from error
