"""A limit that is set late is a limit all the same."""

from __future__ import annotations

import asyncio

import pytest

from libs.runtime.patience import NoDecisionError, within


async def test_what_does_not_wait_gives_its_result() -> None:
    async def seven() -> int:
        return 7

    assert await within(0.0, seven()) == 7


async def test_what_waits_and_is_in_time_gives_its_result() -> None:
    async def told() -> str:
        for _ in range(3):
            await asyncio.sleep(0)
        future: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        asyncio.get_running_loop().call_soon(future.set_result, "yes")
        return await future

    assert await within(20.0, told()) == "yes"


@pytest.mark.parametrize("steps", [0, 1, 3])
async def test_what_waits_too_long_is_ended_where_it_waits(steps: int) -> None:
    ended: list[bool] = []

    async def hang() -> None:
        for _ in range(steps):
            await asyncio.sleep(0)
        try:
            await asyncio.Event().wait()
        finally:
            ended.append(True)

    with pytest.raises(NoDecisionError):
        await within(0.001, hang())
    assert ended == [True]


async def test_a_time_limit_of_its_own_is_its_own_error() -> None:
    async def impatient() -> None:
        async with asyncio.timeout(0.001):
            await asyncio.Event().wait()

    with pytest.raises(TimeoutError):
        await within(20.0, impatient())


@pytest.mark.parametrize("waits", [False, True])
async def test_errors_come_through(waits: bool) -> None:
    async def fail() -> None:
        if waits:
            await asyncio.sleep(0)
        raise ValueError("of no use")

    with pytest.raises(ValueError, match="of no use"):
        await within(20.0, fail())


async def test_an_error_thrown_in_may_be_caught_inside() -> None:
    async def stubborn() -> str:
        future: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        asyncio.get_running_loop().call_soon(future.set_exception, KeyError("lost"))
        try:
            return await future
        except KeyError:
            await asyncio.sleep(0)
            return "caught"

    assert await within(20.0, stubborn()) == "caught"


async def test_whoever_cancels_is_obeyed() -> None:
    entered = asyncio.Event()

    async def hang() -> None:
        entered.set()
        await asyncio.Event().wait()

    task = asyncio.create_task(within(20.0, hang()))
    await entered.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
