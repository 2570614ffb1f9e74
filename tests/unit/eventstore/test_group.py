"""Group commit: one commit at a time, everything that waits goes together, each gets its own result."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest

from libs.eventstore.group import GroupCommit


class Ledger:
    """Commits groups when it is let; doubles each number."""

    def __init__(self) -> None:
        self.groups: list[list[int]] = []
        self.gate = asyncio.Event()
        self.under_way = 0

    async def commit(self, group: Sequence[int]) -> list[int]:
        assert self.under_way == 0
        self.under_way += 1
        self.groups.append(list(group))
        await self.gate.wait()
        self.under_way -= 1
        if 13 in group:
            raise OSError("thirteen")
        return [2 * number for number in group]


async def submit(group: GroupCommit[int, int], *numbers: int) -> list[asyncio.Task[int]]:
    tasks = [asyncio.create_task(group.submit(number)) for number in numbers]
    # Until each of them waits.
    for _ in range(5):
        await asyncio.sleep(0)
    return tasks


async def test_what_waits_goes_together() -> None:
    ledger = Ledger()
    group = GroupCommit(ledger.commit)
    tasks = await submit(group, 1)
    tasks += await submit(group, 2, 3, 4)
    ledger.gate.set()
    assert await asyncio.gather(*tasks) == [2, 4, 6, 8]
    assert ledger.groups == [[1], [2, 3, 4]]
    assert await group.submit(5) == 10


async def test_groups_have_a_limit() -> None:
    ledger = Ledger()
    ledger.gate.set()
    group = GroupCommit(ledger.commit, limit=2)
    assert await asyncio.gather(*await submit(group, *range(5))) == [0, 2, 4, 6, 8]
    assert max(len(members) for members in ledger.groups) == 2


async def test_failure_reaches_its_group_only() -> None:
    ledger = Ledger()
    group = GroupCommit(ledger.commit)
    tasks = await submit(group, 1)
    tasks += await submit(group, 13, 2)
    ledger.gate.set()
    results = await asyncio.gather(*tasks, return_exceptions=True)
    assert results[0] == 2
    assert [type(result) for result in results[1:]] == [OSError, OSError]
    assert await group.submit(3) == 6


async def test_cancelled_caller_leaves_the_others_alone() -> None:
    ledger = Ledger()
    group = GroupCommit(ledger.commit)
    tasks = await submit(group, 1, 2, 3)
    tasks[1].cancel()
    ledger.gate.set()
    results = await asyncio.gather(*tasks, return_exceptions=True)
    assert results[0] == 2
    assert isinstance(results[1], asyncio.CancelledError)
    assert results[2] == 6


async def test_nobody_waits_for_ever_when_the_loop_ends() -> None:
    ledger = Ledger()
    group = GroupCommit(ledger.commit, limit=1)
    tasks = await submit(group, 1, 2)
    assert group._worker is not None
    group._worker.cancel()
    for task in tasks:
        with pytest.raises(asyncio.CancelledError):
            await task
