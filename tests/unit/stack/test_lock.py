"""One supervisor per data directory."""

from __future__ import annotations

import os
from pathlib import Path

import msgspec
import pytest

from autopilot.stack.errors import AlreadyRunningError
from autopilot.stack.lock import Holder, InstanceLock, holder_of


async def test_a_second_supervisor_is_refused_and_told_by_whom(tmp_path: Path) -> None:
    lock = await InstanceLock.acquire(tmp_path / "lock")
    with pytest.raises(AlreadyRunningError, match=f"process {os.getpid()}") as refused:
        await InstanceLock.acquire(tmp_path / "lock")
    lock.release()
    assert (refused.value.pid, refused.value.data_dir) == (os.getpid(), tmp_path)


async def test_a_released_directory_is_free(tmp_path: Path) -> None:
    lock = await InstanceLock.acquire(tmp_path / "lock")
    assert holder_of(tmp_path / "lock") is not None
    lock.release()
    lock.release()
    assert holder_of(tmp_path / "lock") is None
    (await InstanceLock.acquire(tmp_path / "lock")).release()


async def test_a_file_that_a_dead_supervisor_left_is_no_lock(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    path.write_bytes(msgspec.json.encode(Holder(pid=os.getpid(), identity="an earlier process")))
    assert holder_of(path) is None
    lock = await InstanceLock.acquire(path)
    assert (held := holder_of(path)) is not None
    assert held.identity != "an earlier process"
    lock.release()


def test_a_directory_that_never_ran_has_no_holder(tmp_path: Path) -> None:
    assert holder_of(tmp_path / "lock") is None
