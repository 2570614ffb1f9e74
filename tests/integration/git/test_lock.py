"""One process at a time changes a repository, and a lock lasts as long as the work done under it."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from libs.git.broker import Broker
from libs.git.environment import hardened
from libs.git.error import LockTimeoutError, OversizeError
from libs.git.lock import exclusive
from libs.git.process import run

if TYPE_CHECKING:
    from tests.integration.git.conftest import Source


async def test_a_lock_that_stays_held_is_named(tmp_path: Path) -> None:
    file = tmp_path / "x.lock"
    async with exclusive(file, 1):
        with pytest.raises(LockTimeoutError, match=r"x\.lock was held by another process") as caught:
            async with exclusive(file, 0.05):
                pass
    assert caught.value.transient
    async with exclusive(file, 0.05):
        pass


async def test_a_git_that_outlives_its_caller_keeps_the_lock(tmp_path: Path) -> None:
    """What a caller that was killed leaves running still writes; nobody else may start then."""
    file, pipe = tmp_path / "x.lock", tmp_path / "pipe"
    os.mkfifo(pipe)
    async with exclusive(file, 1) as held:
        git = asyncio.create_task(
            run(
                ["hash-object", str(pipe)],
                cwd=tmp_path,
                environment=hardened(tmp_path),
                timeout_s=30,
                inherit=(held,),
            )
        )
        writer = await asyncio.to_thread(os.open, pipe, os.O_WRONLY)  # returns once git reads
    with pytest.raises(LockTimeoutError):
        async with exclusive(file, 0.05):
            pass
    os.close(writer)
    assert (await git).code == 0
    async with exclusive(file, 5):
        pass


async def test_removing_waits_for_whoever_still_writes_in_the_folder(
    broker: Broker, source: Source, tmp_path: Path
) -> None:
    mirror = await broker.mirror(source.url)
    path = tmp_path / "data/work/t"
    await mirror.add_worktree(path, await mirror.resolve("main"))
    async with mirror.repository.placed(path):
        removal = asyncio.create_task(mirror.remove_worktree(path))
        await asyncio.wait({removal}, timeout=0.05)
        assert path.exists()
    await removal
    assert not path.exists()


async def test_output_beyond_the_cap_ends_the_call(tmp_path: Path) -> None:
    with pytest.raises(OversizeError) as caught:
        await run(
            ["help", "-a"],
            cwd=tmp_path,
            environment=hardened(tmp_path),
            timeout_s=30,
            output_limit=100,
        )
    assert caught.value.limit == 100
