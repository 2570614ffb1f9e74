"""Ends this process when its event loop has stood still for too long; whoever keeps the process starts another.

For processes that nobody asks from outside: a container engine acts on an end, and not on a failed health check. The time
is kept by a thread of `faulthandler`, which runs without the interpreter's lock, so a loop that spins, waits for ever or
holds that lock is ended too. Standard error tells where every thread was: files, lines and names, no values.
"""

from __future__ import annotations

import asyncio
import faulthandler
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

#: The end is put off so many times within the patience.
_BEATS = 6
#: It comes no sooner after the start than so many times the patience: much is built there in one go, and a machine may be slow.
_FIRST = 4


@asynccontextmanager
async def ended_when_hung(seconds: float) -> AsyncIterator[None]:
    """End this process with status 1 once its loop has not run for so many seconds, at the start four times as many; zero: never."""
    beating = asyncio.create_task(_beat(seconds), name="hanging") if seconds else None
    try:
        yield
    finally:
        if beating is not None:
            beating.cancel()
            faulthandler.cancel_dump_traceback_later()


async def _beat(seconds: float) -> None:
    now = asyncio.get_running_loop().time
    began = now()
    while True:
        # Each call replaces the one before.
        faulthandler.dump_traceback_later(max(seconds, began + _FIRST * seconds - now()), exit=True)
        await asyncio.sleep(seconds / _BEATS)
