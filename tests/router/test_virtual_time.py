"""Time that jumps."""

import asyncio
from random import Random

import pytest

from icfleet_router.drain import DrainLimit
from icfleet_router.testing import VirtualClock, run_in_virtual_time


async def _race() -> list[int]:
    finished: list[int] = []

    async def runner(number: int) -> None:
        await asyncio.sleep(5.0)
        finished.append(number)

    await asyncio.gather(*(runner(number) for number in range(8)))
    return finished


def test_the_same_seed_gives_the_same_order_and_others_give_others() -> None:
    """What is ready at once runs in an order that the seed decides."""
    first, again, *others = (run_in_virtual_time(_race, Random(seed)) for seed in (1, 1, 2, 3, 4))

    assert first == again
    assert any(other != first for other in others)


def test_waiting_takes_no_real_time() -> None:
    """A day passes at once, and the clock says so."""
    clock = VirtualClock()

    async def wait() -> tuple[float, int]:
        start_ns = clock.now_ns()
        await clock.sleep(86_400.0)
        return clock.now_s(), clock.now_ns() - start_ns

    elapsed_s, elapsed_ns = run_in_virtual_time(wait, Random(1))

    assert elapsed_s == pytest.approx(86_400.0, abs=0.01)
    assert elapsed_ns == pytest.approx(86_400e9, rel=1e-6)


def test_waiting_for_ever_is_an_error() -> None:
    """A test that hangs should say so."""

    async def hang() -> None:
        await asyncio.get_running_loop().create_future()

    with pytest.raises(RuntimeError, match="for ever"):
        run_in_virtual_time(hang, Random(1))


def test_a_task_left_behind_is_an_error() -> None:
    """No task may outlive what it was started for."""

    async def leave() -> None:
        task = asyncio.get_running_loop().create_task(asyncio.sleep(10.0), name="forgotten")
        assert not task.done()

    with pytest.raises(RuntimeError, match="forgotten"):
        run_in_virtual_time(leave, Random(1))


def test_a_callback_that_fails_is_an_error() -> None:
    """Such as an observer's."""

    async def fail() -> None:
        asyncio.get_running_loop().call_soon(lambda: 1 / 0)
        await asyncio.sleep(1.0)

    with pytest.raises(RuntimeError, match="division"):
        run_in_virtual_time(fail, Random(1))


def test_a_drain_limit_holds_for_what_runs_and_what_begins() -> None:
    """Nothing is limited before; then everything ends together."""

    async def drain() -> list[float]:
        limit = DrainLimit()
        ended: list[float] = []

        async def work(delay_s: float) -> None:
            await asyncio.sleep(delay_s)
            with pytest.raises(TimeoutError):
                async with limit.scope():
                    await asyncio.sleep(1000.0)
            ended.append(round(asyncio.get_running_loop().time(), 1))

        async with asyncio.TaskGroup() as tasks:
            for delay_s in (0.0, 10.5):
                tasks.create_task(work(delay_s))
            await asyncio.sleep(10.0)
            states = [limit.is_over]
            limit.start(2.0)
        assert [*states, limit.is_over] == [False, True]
        return ended

    assert run_in_virtual_time(drain, Random(1)) == [12.0, 12.0]
