"""Makes rounds as time goes by, and tells those who wait for an answer.

The only place where the network's core meets the event loop's time.
"""

import asyncio
import contextlib
from collections.abc import Callable

from icfleet_localnet.clock import NetworkClock
from icfleet_localnet.http_interface import Wait
from icfleet_localnet.network import Network
from icfleet_localnet.recorder import Recorder
from icfleet_localnet.subnet import RoundReport
from icfleet_protocol.principal import Principal
from icfleet_protocol.request_id import RequestId

__all__ = ["RoundDriver"]

_ROUND_IDLE_S = 1.0
"""A round at least this often: mainnet makes about one a second."""

_EVENTS_PER_ADVANCE_MAX = 100_000
"""Timers that one leap in time fires one by one: a timer a second for a day. The rest fire late,
as they do on a subnet that was halted."""

_EVENTS_PER_TURN = 32
"""Some milliseconds of rounds."""

_ROUNDS_PER_EVENT_MAX = 1_000
"""Canisters that call each other for ever do not stop time."""


class RoundDriver:
    """Runs the network's rounds.

    Args:
        network: What makes the rounds.
        clock: The network's time.
        recorder: Told of each round before it is made.
        interval_s: From one round to the next; 0 is a round as soon as there is work.
    """

    def __init__(
        self,
        network: Network,
        clock: NetworkClock,
        recorder: Recorder | None = None,
        *,
        interval_s: float = 0.0,
    ) -> None:
        self._network = network
        self._clock = clock
        self._recorder = recorder
        self._interval_s = interval_s
        self._waiting: dict[tuple[Principal, RequestId], list[asyncio.Future[bool]]] = {}
        self._wake = asyncio.Event()
        self._advancing = asyncio.Lock()
        self._listeners: list[Callable[[RoundReport], None]] = []

    def on_round(self, listener: Callable[[RoundReport], None]) -> None:
        """Call ``listener`` after each round of each subnet."""
        self._listeners.append(listener)

    def wake(self) -> None:
        """Note that there may be work."""
        due_ns = self._network.next_event_ns
        if self._network.has_work or (due_ns is not None and due_ns <= self._clock.now_ns()):
            self._wake.set()

    async def run(self) -> None:
        """Make rounds until cancelled."""
        while True:
            await self._pause()
            self._wake.clear()
            self.run_round()
            # Queries and new calls get their turn between two rounds.
            await asyncio.sleep(0)

    def run_round(self) -> None:
        """Make one round now."""
        self._run_round(self._clock.now_ns())

    async def advance(self, by_ns: int) -> None:
        """Let time pass in an instant, with every event on the way at its own time.

        Others get their turn now and then, for a day of timers takes a while to compute.
        """
        async with self._advancing:
            end_ns = self._clock.now_ns() + by_ns
            events = 0
            while (due_ns := self._network.next_event_ns) is not None and due_ns <= end_ns:
                events += 1
                if events > _EVENTS_PER_ADVANCE_MAX:
                    break
                self._clock.shift(max(0, due_ns - self._clock.now_ns()))
                self._settle()
                if events % _EVENTS_PER_TURN == 0:
                    await asyncio.sleep(0)
            self._clock.shift(max(0, end_ns - self._clock.now_ns()))
            self._settle()

    def _settle(self) -> None:
        """Make rounds until nothing waits that could be executed now."""
        for _ in range(_ROUNDS_PER_EVENT_MAX):
            self._run_round(self._clock.now_ns())
            if not self._network.has_work:
                return

    def _run_round(self, now_ns: int) -> None:
        if self._recorder is not None:
            self._recorder.round_begins(now_ns)
        reports = self._network.run_round(now_ns)
        if self._recorder is not None:
            self._recorder.round_ended(reports)
        for report in reports:
            self._publish(report)

    def _publish(self, report: RoundReport) -> None:
        """Tell of a round that was made."""
        for request in report.answered:
            for future in self._waiting.pop((report.subnet, request), []):
                if not future.done():
                    future.set_result(True)
        for listener in self._listeners:
            listener(report)

    async def await_answer(self, wait: Wait, *, timeout_s: float) -> bool:
        """Wait until a request has its final answer; false if that takes too long."""
        if wait.subnet.history.is_terminal(wait.request):
            return True
        key = wait.subnet.id, wait.request
        future: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(key, []).append(future)
        try:
            async with asyncio.timeout(timeout_s):
                return await future
        except TimeoutError:
            return False
        finally:
            waiting = self._waiting.get(key, [])
            if future in waiting:
                waiting.remove(future)
                if not waiting:
                    del self._waiting[key]

    def release_all(self) -> None:
        """Let nobody wait any longer."""
        for futures in self._waiting.values():
            for future in futures:
                if not future.done():
                    future.set_result(False)

    async def _pause(self) -> None:
        if self._interval_s > 0:
            await asyncio.sleep(self._interval_s)
        elif not self._network.has_work:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._idle_s()):
                    await self._wake.wait()

    def _idle_s(self) -> float:
        due_ns = self._network.next_event_ns
        if due_ns is None:
            return _ROUND_IDLE_S
        return min(_ROUND_IDLE_S, max(0.0, (due_ns - self._clock.now_ns()) / 1e9))
