"""Removes what tasks leave below `<data-dir>/work`, and what the mirrors know of it.

First the task's directory is renamed out of the way, which is one step: whatever is made under the old name
from then on belongs to a task that was taken up again, and stays.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import stat
from contextlib import suppress
from pathlib import Path

import structlog

from contracts.message import stream_name, wire_type
from contracts.task import TaskRetried, TaskSubmitted
from libs.eventstore.store import Store
from libs.git.broker import Broker
from libs.git.error import GitError
from services.cleanup.ports import RemovalError

log = structlog.get_logger(__name__)


class TaskWorkspaces:
    """The workspaces of one data directory."""

    def __init__(self, data_dir: Path, broker: Broker, store: Store) -> None:
        self._work, self._broker, self._store = data_dir.absolute() / "work", broker, store

    async def remove(self, task_id: str, ended: int) -> int | None:
        """Remove a task's workspace unless the task goes on; see the port.

        The record is asked, not this service's own view of it: news of a retry may still be on its way.
        """
        stream = stream_name("task", task_id)
        if await self._store.read_stream(stream, ended, types=(wire_type(TaskRetried),)):
            return None
        urls = await self._repositories(stream)
        doomed = self._work / ".removed" / f"{task_id}-{ended}"
        try:
            freed = await asyncio.to_thread(_remove_and_move, self._work / task_id, doomed)
            for url in urls:
                mirror = self._broker.existing(url)
                if mirror is not None:
                    # The directory is gone already; this ends the registration of every worktree that was in
                    # it.
                    await mirror.remove_worktree(self._work / task_id)
            return freed + (await asyncio.to_thread(_remove, doomed) if doomed.exists() else 0)
        except (GitError, OSError) as error:
            raise RemovalError(str(error)) from error

    async def _repositories(self, stream: str) -> tuple[str, ...]:
        submitted = await self._store.read_stream(stream, types=(wire_type(TaskSubmitted),), upto=1)
        return tuple(
            repo.url
            for recorded in submitted
            if isinstance(recorded.event, TaskSubmitted)
            for repo in recorded.event.spec.repos
        )


def _remove_and_move(place: Path, doomed: Path) -> int:
    freed = _remove(doomed)  # of a process that died in the middle
    doomed.parent.mkdir(parents=True, exist_ok=True)
    with suppress(FileNotFoundError):
        place.rename(doomed)
    return freed


def _remove(path: Path) -> int:
    """Remove a tree without following a symlink; returns the bytes freed."""
    if path.is_symlink() or path.is_file():
        path.unlink()
        return 0
    freed = _occupied(path)
    try:
        shutil.rmtree(path)
    except FileNotFoundError:
        if path.exists():
            raise
    except PermissionError:
        # Tests and builds leave directories that even their owner may not change.
        for folder, folders, _ in os.walk(path):
            for place in (folder, *(os.path.join(folder, name) for name in folders)):
                if not os.path.islink(place):
                    os.chmod(place, stat.S_IRWXU)
        shutil.rmtree(path)
    return freed


def _occupied(path: Path) -> int:
    """Count the bytes that a tree occupies on disk; hard links once."""
    blocks: dict[tuple[int, int], int] = {}
    for folder, folders, files in os.walk(path):
        for name in (*folders, *files):
            with suppress(OSError):
                found = os.lstat(os.path.join(folder, name))
                blocks[found.st_dev, found.st_ino] = found.st_blocks
    return 512 * sum(blocks.values())
