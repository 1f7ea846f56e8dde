"""A local network in a process of its own, for the load test.

Run by ``localnet_load.py``; prints its address as one JSON line, ends with its standard input.
"""

import asyncio
import json
import sys
from collections.abc import Callable

import uvloop

from icfleet_localnet.executor import Executor
from icfleet_localnet.kybra_host.inprocess import InProcessExecutor
from icfleet_localnet.process_host.executor import ProcessExecutor
from icfleet_localnet.server import LocalnetServer

__all__ = ["EXECUTORS", "main"]

EXECUTORS: dict[str, Callable[[], Executor]] = {
    "inprocess": InProcessExecutor,
    "process": ProcessExecutor,
}
"""By the name that ``icfleet localnet --executor`` takes."""


async def _serve(executor: Executor) -> None:
    async with LocalnetServer(port=0, executor=executor) as server:
        line = {"url": server.url, "root_key": server.root_key_der.hex()}
        print(json.dumps(line), flush=True)
        await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)


def main() -> int:
    """Serve until standard input ends."""
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(_serve(EXECUTORS[sys.argv[1]]()))
    return 0


if __name__ == "__main__":
    sys.exit(main())
