"""Whoever asks at the same time shares one piece of work, and nobody's leaving harms another."""

import asyncio
import gc

import pytest

from icfleet_agent.single_flight import SingleFlight


class Work:
    """Work that ends when it is told to."""

    def __init__(self) -> None:
        self.started = 0
        self.cancelled = 0
        self.may_end = asyncio.Event()
        self.error: Exception | None = None

    async def __call__(self) -> str:
        self.started += 1
        try:
            await self.may_end.wait()
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        if self.error is not None:
            raise self.error
        return f"result {self.started}"


async def settle() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


async def test_callers_at_the_same_time_share_one_result() -> None:
    flights: SingleFlight[str, str] = SingleFlight()
    work = Work()

    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(flights.run("key", work)) for _ in range(50)]
        await settle()
        assert len(flights) == 1
        work.may_end.set()

    assert {task.result() for task in tasks} == {"result 1"}
    assert len(flights) == 0


async def test_different_keys_do_not_wait_for_each_other() -> None:
    flights: SingleFlight[str, str] = SingleFlight()
    slow, quick = Work(), Work()
    quick.may_end.set()

    async with asyncio.TaskGroup() as group:
        waiting = group.create_task(flights.run("slow", slow))
        assert await flights.run("quick", quick) == "result 1"
        assert not waiting.done()
        slow.may_end.set()


async def test_a_later_caller_starts_anew() -> None:
    flights: SingleFlight[str, str] = SingleFlight()
    work = Work()
    work.may_end.set()

    assert await flights.run("key", work) == "result 1"
    assert await flights.run("key", work) == "result 2"


async def test_the_first_callers_cancellation_leaves_the_others_their_result() -> None:
    flights: SingleFlight[str, str] = SingleFlight()
    work = Work()

    async with asyncio.TaskGroup() as group:
        first = group.create_task(flights.run("key", work))
        second = group.create_task(flights.run("key", work))
        await settle()
        first.cancel()
        await settle()
        assert first.cancelled()
        work.may_end.set()

    assert second.result() == "result 1"
    assert (work.started, work.cancelled) == (1, 0)


async def test_when_the_last_caller_leaves_the_work_ends_with_it() -> None:
    """Nothing is left behind: the work is cancelled, and has ended when the caller has."""
    flights: SingleFlight[str, str] = SingleFlight()
    work = Work()

    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(flights.run("key", work)) for _ in range(3)]
        await settle()
        for task in tasks:
            task.cancel()

    assert (work.started, work.cancelled) == (1, 1)
    assert len(flights) == 0


async def test_after_everybody_left_the_next_caller_starts_anew() -> None:
    flights: SingleFlight[str, str] = SingleFlight()
    abandoned, work = Work(), Work()
    work.may_end.set()
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.01):
            await flights.run("key", abandoned)

    assert await flights.run("key", work) == "result 1"


async def test_a_caller_that_comes_while_the_work_is_being_given_up_starts_anew() -> None:
    """It must not join work that is already being cancelled."""
    flights: SingleFlight[str, str] = SingleFlight()
    is_cleaning, may_finish = asyncio.Event(), asyncio.Event()

    async def stubborn() -> str:
        try:
            await asyncio.sleep(60)
        finally:
            is_cleaning.set()
            await may_finish.wait()
        return "never"

    work = Work()
    work.may_end.set()
    async with asyncio.TaskGroup() as group:
        first = group.create_task(flights.run("key", stubborn))
        await settle()
        first.cancel()
        await is_cleaning.wait()
        assert await flights.run("key", work) == "result 1"
        may_finish.set()


async def test_a_failure_reaches_everybody_and_is_not_kept() -> None:
    flights: SingleFlight[str, str] = SingleFlight()
    work = Work()
    work.error = ValueError("no")

    results: list[object] = []
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(attempt(flights, work, results)) for _ in range(3)]
        await settle()
        work.may_end.set()
    work.error = None

    assert len(tasks) == len(results) == 3
    assert all(isinstance(result, ValueError) for result in results)
    assert await flights.run("key", work) == "result 2"


async def attempt(flights: SingleFlight[str, str], work: Work, results: list[object]) -> None:
    try:
        results.append(await flights.run("key", work))
    except ValueError as error:
        results.append(error)


async def test_a_failure_that_nobody_sees_is_not_reported_by_the_loop() -> None:
    flights: SingleFlight[str, str] = SingleFlight()
    reported: list[object] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: reported.append(context))

    async def fails_when_cancelled() -> str:
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError as error:
            reason = "broken clean-up"
            raise ValueError(reason) from error
        return ""

    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.01):
            await flights.run("key", fails_when_cancelled)
    gc.collect()
    await settle()

    assert reported == []
