"""Whether a volume was full: how anything ended that needed room there then says nothing.

Tests that cannot write their files fail as if the change were wrong, and git calls a repository unreadable.
"""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

#: bytes with fewer of which a volume counts as full: less than git or a report of tests takes
LEAST = 2**20
#: seconds between two looks
LOOK_S = 0.25


def free_bytes(place: Path) -> int:
    """Return what may still be taken of a directory's volume; what is reserved for root is not among it."""
    return shutil.disk_usage(place).free


def is_full(place: Path) -> bool:
    """Tell whether a directory's volume is full; one that cannot be looked at is not known to be."""
    try:
        return free_bytes(place) < LEAST
    except OSError:
        return False


@asynccontextmanager
async def watched(place: Path) -> AsyncIterator[Callable[[], bool]]:
    """Watch a directory's volume; yields what tells whether it is full or was at any look since."""
    full = False

    def look() -> bool:
        nonlocal full
        full = full or is_full(place)
        return full

    async def keep() -> None:
        while not look():  # noqa: ASYNC110 - nobody tells of it
            await asyncio.sleep(LOOK_S)

    watch = asyncio.create_task(keep())
    try:
        yield look
    finally:
        watch.cancel()


async def room(place: Path, patience_s: float) -> None:
    """Wait until a directory's volume has room again, but no longer than that."""
    loop = asyncio.get_running_loop()
    end = loop.time() + patience_s
    while is_full(place) and loop.time() < end:  # noqa: ASYNC110
        await asyncio.sleep(LOOK_S)
