"""The repeated check of the bus's topology."""

from __future__ import annotations

import asyncio

import pytest

from autopilot.stack.errors import PartFailedError
from autopilot.stack.topology import TopologyKeeper, outcome_of


async def _fails() -> None:
    raise ConnectionError("no bus there")


async def _succeeds() -> None:
    return None


async def test_a_failing_first_check_is_raised_with_its_reason() -> None:
    keeper = TopologyKeeper(_fails, bus_is_ready=lambda: True, on_change=lambda: None)
    with pytest.raises(PartFailedError, match="ConnectionError: no bus there"):
        await keeper.first()


async def test_a_restarted_bus_is_checked_without_waiting() -> None:
    checks: asyncio.Queue[None] = asyncio.Queue()

    async def check() -> None:
        checks.put_nowait(None)

    keeper = TopologyKeeper(check, bus_is_ready=lambda: True, on_change=lambda: None, every_s=3600)
    keeper.start()
    keeper.soon()
    await checks.get()
    await keeper.stop()
    await keeper.stop()


async def test_a_later_failure_is_told_once_and_tried_again() -> None:
    answers = [_succeeds, _fails, _fails, _succeeds]
    told: list[bool] = []
    done = asyncio.Event()

    async def check() -> None:
        if not answers:
            done.set()
            return
        await answers.pop(0)()

    def tell() -> None:
        assert keeper.status is not None
        told.append(keeper.status.ok)

    keeper = TopologyKeeper(check, bus_is_ready=lambda: True, on_change=tell, every_s=0.001)
    keeper.start()
    await done.wait()
    await keeper.stop()
    assert told == [True, False, True]


async def test_work_that_hangs_is_given_up() -> None:
    assert await outcome_of(asyncio.Event().wait(), 0.01) == "not done within 0 s"  # type: ignore[arg-type]
