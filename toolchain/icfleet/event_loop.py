"""Runs what serves, on the fastest event loop there is, until a signal."""

import asyncio
import os
import signal
import sys
from collections.abc import Callable, Coroutine, Generator
from contextlib import contextmanager
from types import FrameType
from typing import Any

__all__ = ["run_served", "stopped_by_signals"]

_SIGNALS = (signal.SIGINT, signal.SIGTERM)
_EXIT_KILLED = 130
_AT_ONCE = b"\nicfleet: stopped at once; a canister may have held the network up\n"


def run_served(main: Coroutine[Any, Any, None]) -> None:
    """Run a server's main coroutine to its end."""
    try:
        import uvloop  # noqa: PLC0415 - not on every system
    except ImportError:
        asyncio.run(main)
        return
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(main)


@contextmanager
def stopped_by_signals(stop: Callable[[], object]) -> Generator[None]:
    """Call ``stop`` in the event loop at SIGINT or SIGTERM; a second signal ends the process.

    For code that never returns keeps the event loop from its turn, and then nothing polite helps.
    """
    loop = asyncio.get_running_loop()
    seen: list[int] = []

    def handle(number: int, _frame: FrameType | None) -> None:
        seen.append(number)
        if len(seen) > 1:
            os.write(sys.stderr.fileno(), _AT_ONCE)
            os._exit(_EXIT_KILLED)
        loop.call_soon_threadsafe(stop)

    before = {number: signal.signal(number, handle) for number in _SIGNALS}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
