"""What a verified query costs the client, against ic-py, which verifies nothing.

The local network runs in a process of its own, so its work is not counted.
"""

import asyncio
import tempfile
from collections.abc import Iterator
from pathlib import Path

from comparison import Result, compare, repeat
from ic.agent import Agent as IcPyAgent
from ic.client import Client as IcPyClient
from ic.identity import Identity as IcPyIdentity
from running_fleet import RunningFleet, copy_project, start_fleet

from icfleet_agent import Agent
from icfleet_protocol.candid import parse_did
from icfleet_protocol.identity import Ed25519Identity
from icfleet_protocol.principal import Principal

METHOD = "market"


def results() -> Iterator[Result]:
    """Start a fleet, compare, stop it."""
    with (
        tempfile.TemporaryDirectory() as folder,
        start_fleet(copy_project(Path(folder))) as fleet,
        asyncio.Runner() as runner,
    ):
        yield _query(fleet, runner)


def _query(fleet: RunningFleet, runner: asyncio.Runner) -> Result:
    main = fleet.ids["main"]
    arg = parse_did(fleet.did).encode_args(METHOD, [])
    peer = IcPyAgent(IcPyIdentity(privkey="01" * 32), IcPyClient(fleet.url))
    agent = Agent(fleet.url, identity=Ed25519Identity.from_seed(b"\x01" * 32))
    runner.run(agent.__aenter__())
    try:
        return compare(
            "query, CPU of the client (ours verifies, ic-py does not)",
            "ic-py 1.0.1",
            lambda calls: runner.run(_queries(agent, main, arg, calls)),
            repeat(lambda: peer.query_raw(str(main), METHOD, arg)),
            calls=(200, 10),
        )
    finally:
        runner.run(agent.aclose())


async def _queries(agent: Agent, canister: Principal, arg: bytes, calls: int) -> None:
    for _ in range(calls):
        await agent.query(canister, METHOD, arg)
