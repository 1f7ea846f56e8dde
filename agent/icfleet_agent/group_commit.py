"""Group commit: single items gathered into batches, several batches on their way at once."""

import asyncio
from collections.abc import Awaitable, Callable, Hashable, Iterable, Sequence
from types import TracebackType
from typing import Generic, Self, TypeVar

from icfleet_agent.batch_queue import Batch, BatchQueue, GroupCommitConfig, Linger
from icfleet_agent.clock import Clock, SystemClock
from icfleet_agent.errors import AbandonedError, ClosedError

__all__ = ["GroupCommit", "GroupCommitConfig"]

T = TypeVar("T")
R = TypeVar("R")


def _no_size(_: object) -> int:
    return 0


def _no_keys(_: object) -> frozenset[Hashable]:
    return frozenset()


class GroupCommit(Generic[T, R]):
    """Gathers single submissions into batches and flushes them; an async context manager.

    Leaving the context flushes what waits and sees every batch end; leaving it by an exception
    gives up what waits and what is on its way.

    Args:
        flush: Sends one batch and returns a result per item, in order. It should return only when
            every item's fate is known: until then their keys stay blocked. What it raises, each
            submitter of the batch gets.
        config: Limits.
        size_of: Bytes that an item adds to a batch.
        keys_of: What must not be in two batches at once.
        clock: Time.
    """

    def __init__(
        self,
        flush: Callable[[Sequence[T]], Awaitable[Sequence[R]]],
        *,
        config: GroupCommitConfig | None = None,
        size_of: Callable[[T], int] = _no_size,
        keys_of: Callable[[T], frozenset[Hashable]] = _no_keys,
        clock: Clock | None = None,
    ) -> None:
        self._flush = flush
        self._size_of = size_of
        self._keys_of = keys_of
        self._clock = clock or SystemClock()
        self._queue: BatchQueue[tuple[T, asyncio.Future[R]]]
        self._queue = BatchQueue(config or GroupCommitConfig())
        self._tasks = asyncio.TaskGroup()
        self._flushes: set[asyncio.Task[None]] = set()
        self._alarm: asyncio.Task[None] | None = None
        self._is_open = False

    async def __aenter__(self) -> Self:
        """Start to accept items."""
        await self._tasks.__aenter__()
        self._is_open = True
        return self

    async def __aexit__(
        self,
        _kind: type[BaseException] | None,
        error: BaseException | None,
        _traceback: TracebackType | None,
    ) -> None:
        """Flush what waits, or give it up after an exception; see every batch end."""
        self._is_open = False
        if self._alarm is not None:
            self._alarm.cancel()
        if error is None:
            self._pump()
        else:
            self._give_up_waiting()
            for task in self._flushes:
                task.cancel()
        try:
            # Not told of the exception, or it would come out wrapped in a group.
            await self._tasks.__aexit__(None, None, None)
        finally:
            self._give_up_waiting()
            self._give_up_in_flight()

    @property
    def waiting_count(self) -> int:
        """Items that have not left yet."""
        return len(self._queue)

    @property
    def batches_in_flight(self) -> int:
        """Batches that have left and not come back."""
        return self._queue.batches_in_flight

    async def submit(self, item: T) -> R:
        """Add an item to a coming batch, and wait for its result.

        A caller that is cancelled before the batch has left takes its item back; later, the item
        is on its way, and only the result is lost.

        Raises:
            ClosedError: If the context was left before the item had left.
            AbandonedError: If the context was left by an exception while it was on its way.
            QueueFullError: If too many items wait.
            SettingsError: If the item alone is too large.
            Exception: Whatever ``flush`` raised for this item's batch.
        """
        if not self._is_open:
            reason = "group commit outside of its context"
            raise ClosedError(reason)
        result: asyncio.Future[R] = asyncio.get_running_loop().create_future()
        entry = self._queue.add(
            (item, result),
            size=self._size_of(item),
            keys=self._keys_of(item),
            now_s=self._clock.now_s(),
        )
        if self._alarm is None or self._queue.may_fill_a_batch:
            self._pump()
        try:
            return await result
        except asyncio.CancelledError:
            self._queue.withdraw(entry)
            raise

    def _pump(self) -> None:
        """Let every batch leave that should, and set the alarm for the next."""
        while True:
            match self._queue.take(now_s=self._clock.now_s(), is_closing=not self._is_open):
                case Batch() as batch:
                    flush = self._tasks.create_task(self._run(batch))
                    self._flushes.add(flush)
                    flush.add_done_callback(self._flushes.discard)
                case Linger(delay_s):
                    if self._alarm is None:
                        self._alarm = self._tasks.create_task(self._wake_after(delay_s))
                    return
                case None:
                    return

    async def _wake_after(self, delay_s: float) -> None:
        await self._clock.sleep(delay_s)
        self._alarm = None
        self._pump()

    async def _run(self, batch: Batch[tuple[T, asyncio.Future[R]]]) -> None:
        waiters = [waiter for _, waiter in batch.items]
        try:
            results = await self._flush([item for item, _ in batch.items])
        except Exception as error:  # noqa: BLE001 - it belongs to the submitters, whatever it is
            _fail(waiters, error)
        else:
            assert len(results) == len(waiters), (len(results), len(waiters))
            for waiter, result in zip(waiters, results, strict=True):
                if not waiter.done():
                    waiter.set_result(result)
        self._queue.finish(batch)
        self._pump()

    def _give_up_waiting(self) -> None:
        reason = "closed before the item had left"
        _fail((waiter for _, waiter in self._queue.drop_waiting()), ClosedError(reason))

    def _give_up_in_flight(self) -> None:
        reason = "closed while the item was on its way"
        _fail((waiter for _, waiter in self._queue.drop_in_flight()), AbandonedError(reason))


def _fail(waiters: "Iterable[asyncio.Future[R]]", error: Exception) -> None:
    for waiter in waiters:
        if not waiter.done():
            waiter.set_exception(error)
            # Looked at here, because a submitter that is cancelled now will not look.
            waiter.exception()
