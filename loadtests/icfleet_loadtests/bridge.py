"""From Locust's greenlets to one asyncio loop in a thread of its own, and back.

Locust patches the standard library, so that ``threading.Thread`` starts a greenlet. A second loop
cannot run among greenlets of one thread, therefore the loop gets a real thread, started with the
function that gevent kept. Answers return through the hub's async watcher, the one part of gevent
that another thread may touch.

The loop is asyncio's own. With uvloop, executors hang in that thread under the patch: their
threads are greenlets too, of a hub that only asyncio's patched selector runs (measured with Locust
2.47, gevent 26.9 and uvloop 0.22).
"""

from __future__ import annotations  # gevent's classes cannot be subscripted when run

import asyncio
import collections
from collections.abc import Callable, Coroutine
from contextlib import AbstractAsyncContextManager
from typing import Any, Generic, TypeVar

import gevent
import gevent.event
import gevent.monkey

from icfleet_loadtests.errors import BridgeBusyError, BridgeClosedError, BridgeTimeoutError

__all__ = ["CALLS_IN_FLIGHT_MAX", "CALL_TIMEOUT_S", "AsyncBridge"]

CALLS_IN_FLIGHT_MAX = 10_000
"""A greenlet waits for one call, so this is users per process; a core drives far fewer."""

CALL_TIMEOUT_S = 90.0
"""A backstop above every deadline of the fleet's own (30 s for an operation and its retries)."""

_START_TIMEOUT_S = 60.0
"""A thread and its loop start in milliseconds; the rest is for the resource, such as a fleet that
asks for its network's root key."""

_STOP_GRACE_S = 20.0
"""For cancelled calls and the resource to end, after the time given to ``close``: a fleet drains
its writes for 10 s."""

_R = TypeVar("_R")
_T = TypeVar("_T")


class AsyncBridge(Generic[_R]):
    """Runs coroutines for greenlets of the thread that made it, around one resource in the loop.

    Make it after any fork: a thread does not survive one.

    Args:
        resource: Opened before the first call and closed after the last one, by the same task.
        calls_max: Calls in flight at once, at most.
    """

    def __init__(
        self,
        resource: Callable[[], AbstractAsyncContextManager[_R]],
        *,
        calls_max: int = CALLS_IN_FLIGHT_MAX,
    ) -> None:
        self._resource = resource
        self._calls_max = calls_max
        self._pending: set[gevent.event.AsyncResult[Any]] = set()
        self._inbox: collections.deque[Callable[[], None]] = collections.deque()
        self._is_closing = False
        self._opened: gevent.event.AsyncResult[_R] = gevent.event.AsyncResult()
        self._ended = gevent.event.Event()
        self._failure: Exception | None = None
        self._watcher = gevent.get_hub().loop.async_()
        # Written by the loop's thread before ``_opened`` is set, only read afterwards.
        self._loop: asyncio.AbstractEventLoop | None = None
        # From here on, only the loop's thread uses them.
        self._tasks = asyncio.TaskGroup()
        self._stop = asyncio.Event()
        self._deadline = asyncio.Timeout(None)

    def start(self) -> _R:
        """Start the thread and its loop, and open the resource.

        Raises:
            BridgeTimeoutError: If that takes longer than a minute.
            Exception: Whatever opening the resource raised.
        """
        self._watcher.start(self._deliver)
        gevent.monkey.get_original("_thread", "start_new_thread")(self._run, ())
        try:
            return self._opened.get(timeout=_START_TIMEOUT_S)
        except gevent.Timeout as error:
            raise BridgeTimeoutError(_START_TIMEOUT_S) from error

    @property
    def is_running(self) -> bool:
        """Whether calls are accepted."""
        return self._loop is not None and not self._is_closing and not self._ended.is_set()

    def call(
        self,
        function: Callable[..., Coroutine[Any, Any, _T]],
        *args: object,
        timeout_s: float = CALL_TIMEOUT_S,
    ) -> _T:
        """Run ``function(*args)`` in the loop while this greenlet waits.

        A greenlet that is killed, or gives up, does not cancel the call: an operation on its way
        is better brought to its end, and ``close`` waits for it.

        Raises:
            BridgeClosedError: If the bridge does not run, or ends first.
            BridgeBusyError: If too many calls are in flight.
            BridgeTimeoutError: If there is no answer after ``timeout_s`` seconds.
            Exception: Whatever the coroutine raised.
        """
        if self._loop is None or not self.is_running:
            raise BridgeClosedError
        if len(self._pending) >= self._calls_max:
            raise BridgeBusyError(self._calls_max)
        answer: gevent.event.AsyncResult[_T] = gevent.event.AsyncResult()

        async def work() -> None:
            try:
                value = await function(*args)
            except asyncio.CancelledError:
                self._post(lambda: self._fail(answer, BridgeClosedError()))
                raise
            except Exception as error:  # noqa: BLE001 - the greenlet raises it again
                failure = error
                self._post(lambda: self._fail(answer, failure))
            else:
                self._post(lambda: self._succeed(answer, value))

        self._pending.add(answer)
        self._loop.call_soon_threadsafe(self._spawn, work)
        try:
            return answer.get(timeout=timeout_s)
        except gevent.Timeout as error:
            raise BridgeTimeoutError(timeout_s) from error

    def close(self, timeout_s: float) -> None:
        """Accept nothing more, let calls in flight end for ``timeout_s`` seconds, cancel the rest.

        Closing a bridge that is closed, or was never started, does nothing.

        Raises:
            Exception: Whatever closing the resource raised.
        """
        if self._loop is None or self._ended.is_set():
            return
        if not self._is_closing:
            self._is_closing = True
            self._loop.call_soon_threadsafe(self._begin_closing, timeout_s)
        if self._ended.wait(timeout_s + _STOP_GRACE_S):
            self._watcher.stop()
            self._watcher.close()
        if self._failure is not None:
            raise self._failure

    def _run(self) -> None:
        """Be the thread."""
        failure: Exception | None = None
        try:
            with asyncio.Runner(loop_factory=asyncio.new_event_loop) as runner:
                runner.run(self._serve())
        except Exception as error:  # noqa: BLE001 - start or close raise it again
            failure = error
        finally:
            self._post(lambda: self._end(failure))

    async def _serve(self) -> None:
        async with self._resource() as resource:
            try:
                async with self._deadline, self._tasks:
                    self._loop = asyncio.get_running_loop()
                    self._post(lambda: self._opened.set(resource))
                    await self._stop.wait()
            except TimeoutError:
                # The time given to ``close`` is over: the group has cancelled what was left.
                return

    def _begin_closing(self, timeout_s: float) -> None:
        self._stop.set()
        self._deadline.reschedule(asyncio.get_running_loop().time() + timeout_s)

    def _spawn(self, work: Callable[[], Coroutine[Any, Any, None]]) -> None:
        self._tasks.create_task(work())

    def _post(self, delivery: Callable[[], None]) -> None:
        """Hand something over to the hub, from the loop's thread."""
        self._inbox.append(delivery)
        self._watcher.send()

    def _deliver(self) -> None:
        """Run by the hub: everything here must return at once."""
        while self._inbox:
            self._inbox.popleft()()

    def _succeed(self, answer: gevent.event.AsyncResult[_T], value: _T) -> None:
        self._pending.discard(answer)
        answer.set(value)

    def _fail(self, answer: gevent.event.AsyncResult[_T], error: Exception) -> None:
        self._pending.discard(answer)
        answer.set_exception(error)

    def _end(self, failure: Exception | None) -> None:
        """Leave no greenlet waiting, whatever ended the loop."""
        self._failure = failure
        while self._pending:
            self._pending.pop().set_exception(BridgeClosedError())
        if not self._opened.ready():
            self._opened.set_exception(BridgeClosedError() if failure is None else failure)
        self._ended.set()
