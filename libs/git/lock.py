"""Lets one process at a time change a repository's metadata.

Git's own lock files make a second writer fail; this lock makes it wait. It is a kernel lock (`flock`), so a
dead holder frees it, and it is inherited by git (see `process.run`), so a holder's git that outlived it keeps
it. Whoever holds it may therefore remove git's own stale lock files.
"""

from __future__ import annotations

import asyncio
import errno
import fcntl
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from libs.git.error import LockTimeoutError

_PAUSE_S = 0.01


@asynccontextmanager
async def exclusive(path: Path, timeout_s: float) -> AsyncIterator[int]:
    """Holds the lock file `path` and yields its descriptor; raises LockTimeoutError.

    Waiting is by short polls: a blocking `flock` would hold the event loop or leak a thread on cancellation.
    """
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        try:
            async with asyncio.timeout(timeout_s):
                while not _taken(descriptor):  # noqa: ASYNC110 (no event crosses processes)
                    await asyncio.sleep(_PAUSE_S)
        except TimeoutError as error:
            raise LockTimeoutError(path, timeout_s) from error
        yield descriptor
    finally:
        os.close(descriptor)


def _taken(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno not in (errno.EWOULDBLOCK, errno.EACCES):
            raise
        return False
    return True
