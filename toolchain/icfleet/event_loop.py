"""Runs what serves, on the fastest event loop there is."""

import asyncio
from collections.abc import Coroutine
from typing import Any

__all__ = ["run_served"]


def run_served(main: Coroutine[Any, Any, None]) -> None:
    """Run a server's main coroutine to its end."""
    try:
        import uvloop  # noqa: PLC0415 - not on every system
    except ImportError:
        asyncio.run(main)
        return
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(main)
