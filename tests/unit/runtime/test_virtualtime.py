"""The loop of the simulation: time is a number, order is that of asyncio, processes stop and die in mid-air."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any

import pytest

from libs.testing.virtualtime import Owner, VirtualLoop, owner


def run(main: Coroutine[Any, Any, Any]) -> tuple[Any, float]:
    loop = VirtualLoop()
    return loop.run(main), loop.time()


async def tick(log: list[float], seconds: float = 1.0) -> None:
    loop = asyncio.get_running_loop()
    try:
        while True:
            await asyncio.sleep(seconds)
            log.append(loop.time())
    except asyncio.CancelledError:
        log.append(-loop.time())
        raise


def start(job: Coroutine[Any, Any, Any]) -> tuple[Owner, VirtualLoop]:
    loop, process = asyncio.get_running_loop(), Owner()
    assert isinstance(loop, VirtualLoop)
    loop.create_task(job, context=process.context())
    return process, loop


def test_waiting_takes_no_time_and_happens_in_order() -> None:
    async def main() -> list[str]:
        told: list[str] = []

        async def say(after: float, what: str) -> None:
            await asyncio.sleep(after)
            told.append(what)

        async with asyncio.TaskGroup() as group:
            for after, what in ((3600.0, "late"), (1.0, "first"), (1.0, "second"), (0.0, "at once")):
                group.create_task(say(after, what))
        return told

    assert run(main()) == (["at once", "first", "second", "late"], 3600.0)


def test_a_time_out_comes_when_it_is_due() -> None:
    async def main() -> bool:
        try:
            async with asyncio.timeout(5):
                await asyncio.Event().wait()
        except TimeoutError:
            return True
        return False

    assert run(main()) == (True, 5.0)


def test_what_blocks_is_run_in_place() -> None:
    async def main() -> int:
        with pytest.raises(ZeroDivisionError):
            await asyncio.to_thread(lambda: 1 // 0)
        return await asyncio.to_thread(len, "abc")

    assert run(main())[0] == 3


def test_waiting_for_nothing_is_an_error_and_no_hang() -> None:
    with pytest.raises(RuntimeError, match="nothing is going to happen"):
        run(asyncio.Event().wait())


def test_what_goes_in_circles_at_one_moment_ends_by_an_error() -> None:
    async def circle() -> None:
        while True:
            await asyncio.sleep(0)

    with pytest.raises(RuntimeError, match="goes in circles"):
        VirtualLoop(most_steps=1_000).run(circle())


def test_a_process_that_is_stopped_does_nothing_and_goes_on_when_it_is_woken() -> None:
    async def main() -> list[float]:
        log: list[float] = []
        process, loop = start(tick(log))
        await asyncio.sleep(1.5)
        process.pause()
        await asyncio.sleep(5)
        assert log == [1.0]
        process.resume(loop)
        await asyncio.sleep(1.1)
        return [*log]

    assert run(main())[0] == [1.0, 6.5, 7.5]


def test_a_process_that_is_killed_ends_even_while_it_is_stopped() -> None:
    async def main() -> list[float]:
        log: list[float] = []
        process, loop = start(tick(log))
        await asyncio.sleep(1.5)
        process.pause()
        process.kill(loop)
        await asyncio.sleep(0.1)
        return log

    assert run(main())[0] == [1.0, -1.5]


def test_what_a_process_starts_belongs_to_it_and_what_it_starts_too_late_never_runs() -> None:
    async def main() -> list[str]:
        told: list[str] = []

        async def child() -> None:
            told.append("child")
            await asyncio.Event().wait()

        async def parent() -> None:
            assert owner() is process
            task = asyncio.create_task(child())
            try:
                await task
            finally:
                late = asyncio.create_task(child())
                assert not late.done()

        process, loop = start(parent())
        await asyncio.sleep(1)
        process.kill(loop)
        await asyncio.sleep(1)
        assert owner() is None
        return told

    assert run(main())[0] == ["child"]


def test_an_error_that_nobody_caught_is_told() -> None:
    loop, told = VirtualLoop(), list[Any]()
    loop.on_error = told.append

    async def main() -> None:
        loop.call_soon(lambda: 1 // 0)
        await asyncio.sleep(0)

    loop.run(main())
    assert isinstance(told[0]["exception"], ZeroDivisionError)
