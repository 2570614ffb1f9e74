"""The record is sealed beside everything else: how that goes is told, and nothing else depends on it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from autopilot.stack.journal import JournalKeeper

Tell = Callable[[str | None], None]


async def test_what_is_wrong_and_when_it_is_over_is_told_once_each() -> None:
    told: list[tuple[bool, str | None]] = []
    done = asyncio.Event()

    async def seal(tell: Tell) -> None:
        for error in (None, None, "the file is gone", "the file is gone", None):
            tell(error)
        done.set()
        await asyncio.Event().wait()

    def changed() -> None:
        assert keeper.status is not None
        told.append((keeper.status.ok, keeper.status.error))

    keeper = JournalKeeper(seal, on_change=changed)
    keeper.start()
    await done.wait()
    await keeper.stop()
    await keeper.stop()
    assert told == [(True, None), (False, "the file is gone"), (True, None)]


async def test_sealing_that_ends_by_itself_is_told_and_harms_nobody() -> None:
    changed = asyncio.Event()

    async def seal(tell: Tell) -> None:
        tell(None)
        raise ZeroDivisionError("a defect")

    keeper = JournalKeeper(seal, on_change=changed.set)
    keeper.start()
    await changed.wait()
    await asyncio.sleep(0)
    assert keeper.status is not None
    assert (keeper.status.ok, keeper.status.error) == (False, "ended with ZeroDivisionError: a defect")
    await keeper.stop()
