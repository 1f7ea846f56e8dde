"""Single submissions leave in batches, and each gets its own result or the batch's failure."""

import asyncio
from collections.abc import Hashable, Sequence

import pytest

from icfleet_agent.errors import AbandonedError, ClosedError, QueueFullError
from icfleet_agent.group_commit import GroupCommit, GroupCommitConfig

CONFIG = GroupCommitConfig(linger_s=0.01, items_max=5, batches_in_flight_max=3)


class Flusher:
    """Remembers batches; holds each back until it may end, if told to."""

    def __init__(self, *, is_held: bool = False) -> None:
        self.batches: list[list[int]] = []
        self.in_flight = 0
        self.in_flight_peak = 0
        self.may_end = asyncio.Event()
        self.error: Exception | None = None
        if not is_held:
            self.may_end.set()

    async def __call__(self, items: Sequence[int]) -> list[int]:
        self.batches.append(list(items))
        self.in_flight += 1
        self.in_flight_peak = max(self.in_flight, self.in_flight_peak)
        try:
            await self.may_end.wait()
            if self.error is not None:
                raise self.error
            return [item * 10 for item in items]
        finally:
            self.in_flight -= 1


async def submit_all(commit: GroupCommit[int, int], items: range) -> list[int]:
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(commit.submit(item)) for item in items]
    return [task.result() for task in tasks]


async def test_everyone_gets_their_own_result() -> None:
    flush = Flusher()
    async with GroupCommit(flush, config=CONFIG) as commit:
        results = await submit_all(commit, range(23))

    assert results == [item * 10 for item in range(23)]
    assert [len(batch) for batch in flush.batches] == [5, 5, 5, 5, 3]


async def test_items_that_come_close_together_leave_together() -> None:
    flush = Flusher()
    async with GroupCommit(flush, config=CONFIG) as commit:
        await submit_all(commit, range(3))
        await submit_all(commit, range(3, 5))

    assert flush.batches == [[0, 1, 2], [3, 4]]


async def test_several_batches_are_on_their_way_at_once_but_not_more_than_allowed() -> None:
    flush = Flusher(is_held=True)
    async with GroupCommit(flush, config=CONFIG) as commit, asyncio.TaskGroup() as group:
        task = group.create_task(submit_all(commit, range(30)))
        await asyncio.sleep(0.05)
        assert flush.in_flight == 3
        assert commit.batches_in_flight == 3
        assert commit.waiting_count == 15
        flush.may_end.set()

    assert task.result() == [item * 10 for item in range(30)]
    assert flush.in_flight_peak == 3


async def test_no_key_is_in_two_batches_at_once() -> None:
    flush = Flusher(is_held=True)

    def parity(item: int) -> frozenset[Hashable]:
        return frozenset({item % 2})

    commit = GroupCommit(flush, config=CONFIG, keys_of=parity)
    async with commit, asyncio.TaskGroup() as group:
        group.create_task(submit_all(commit, range(0, 4, 2)))
        await asyncio.sleep(0.03)
        group.create_task(submit_all(commit, range(4, 12)))
        await asyncio.sleep(0.03)
        assert flush.batches == [[0, 2], [5, 7, 9, 11]]
        flush.may_end.set()

    assert flush.batches[2:] == [[4, 6, 8, 10]]


async def test_sizes_are_counted() -> None:
    flush = Flusher()
    config = GroupCommitConfig(linger_s=0.01, size_max=10)
    async with GroupCommit(flush, config=config, size_of=lambda item: item) as commit:
        await submit_all(commit, range(4, 8))

    assert flush.batches == [[4, 5], [6], [7]]


async def test_a_failed_batch_fails_only_its_own_submitters() -> None:
    flush = Flusher()
    async with GroupCommit(flush, config=CONFIG) as commit:
        flush.error = ValueError("down")
        with pytest.raises(ExceptionGroup) as caught:
            await submit_all(commit, range(3))
        flush.error = None
        results = await submit_all(commit, range(3, 6))

    assert all(isinstance(error, ValueError) for error in caught.value.exceptions)
    assert results == [30, 40, 50]


async def test_a_submitter_that_leaves_in_time_takes_its_item_back() -> None:
    flush = Flusher()
    async with GroupCommit(flush, config=CONFIG) as commit, asyncio.TaskGroup() as group:
        leaving = group.create_task(commit.submit(1))
        staying = group.create_task(commit.submit(2))
        await asyncio.sleep(0)
        leaving.cancel()

    assert staying.result() == 20
    assert flush.batches == [[2]]


async def test_a_submitter_that_leaves_late_loses_only_the_result() -> None:
    flush = Flusher(is_held=True)
    async with GroupCommit(flush, config=CONFIG) as commit, asyncio.TaskGroup() as group:
        leaving = group.create_task(commit.submit(1))
        staying = group.create_task(commit.submit(2))
        await asyncio.sleep(0.05)
        leaving.cancel()
        await asyncio.sleep(0)
        flush.may_end.set()

    assert staying.result() == 20
    assert flush.batches == [[1, 2]]


async def test_leaving_the_context_flushes_what_waits_and_sees_it_end() -> None:
    flush = Flusher()
    config = GroupCommitConfig(linger_s=3600.0)
    async with asyncio.TaskGroup() as group, GroupCommit(flush, config=config) as commit:
        task = group.create_task(commit.submit(1))
        await asyncio.sleep(0)

    assert task.result() == 10


async def test_an_error_in_the_context_gives_up_what_waits_and_what_is_on_its_way() -> None:
    """Nobody waits forever, and each learns whether its item had left."""
    flush = Flusher(is_held=True)
    config = GroupCommitConfig(linger_s=0.01, batches_in_flight_max=1)
    outcomes: list[BaseException] = []

    async def submit(commit: GroupCommit[int, int], item: int) -> None:
        try:
            await commit.submit(item)
        except (ClosedError, AbandonedError) as error:
            outcomes.append(error)

    async def run(group: asyncio.TaskGroup) -> None:
        async with GroupCommit(flush, config=config) as commit:
            group.create_task(submit(commit, 1))
            await asyncio.sleep(0.05)
            group.create_task(submit(commit, 2))
            await asyncio.sleep(0.05)
            reason = "the server stops"
            raise OSError(reason)

    async with asyncio.TaskGroup() as group:
        with pytest.raises(OSError, match="the server stops"):
            await run(group)

    assert [type(outcome) for outcome in outcomes] == [ClosedError, AbandonedError]
    assert outcomes[0].is_without_effect  # type: ignore[attr-defined]  # by the line above
    assert not outcomes[1].is_without_effect  # type: ignore[attr-defined]  # by the line above


async def test_a_cancelled_context_ends_its_batches_and_stays_cancelled() -> None:
    flush = Flusher(is_held=True)

    async def run() -> None:
        async with GroupCommit(flush, config=CONFIG) as commit:
            await commit.submit(1)

    async with asyncio.TaskGroup() as group:
        task = group.create_task(run())
        await asyncio.sleep(0.05)
        task.cancel()

    assert task.cancelled()
    assert (flush.batches, flush.in_flight) == ([[1]], 0)


async def test_outside_of_its_context_nothing_is_accepted() -> None:
    commit = GroupCommit(Flusher(), config=CONFIG)
    with pytest.raises(ClosedError):
        await commit.submit(1)

    async with commit:
        pass

    with pytest.raises(ClosedError):
        await commit.submit(1)


async def test_a_full_queue_refuses_and_recovers() -> None:
    flush = Flusher(is_held=True)
    config = GroupCommitConfig(linger_s=0.0, batches_in_flight_max=1, waiting_max=2)
    async with GroupCommit(flush, config=config) as commit, asyncio.TaskGroup() as group:
        for item in range(3):
            group.create_task(commit.submit(item))
            await asyncio.sleep(0.01)
        with pytest.raises(QueueFullError):
            await commit.submit(3)
        flush.may_end.set()
        await asyncio.sleep(0.05)
        assert await commit.submit(4) == 40
