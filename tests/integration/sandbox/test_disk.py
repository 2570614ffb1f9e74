"""A command that failed on a full disk has not failed: it had no room."""

from __future__ import annotations

from pathlib import Path

import pytest

from libs.sandbox import disk
from libs.sandbox.command import Command, Outcome
from libs.sandbox.disk import LEAST
from libs.sandbox.errors import SandboxError, SandboxUnavailableError
from libs.sandbox.runner import run


async def outcome(script: str, place: Path) -> Outcome:
    command = Command(script=script, cwd="/tmp", env={"PATH": "/usr/bin:/bin"}, mounts=())
    try:
        return await run(command, place / "output")
    except SandboxUnavailableError as error:
        pytest.skip(str(error))


@pytest.fixture
def left(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """What the next looks at the disk find, bytes; the last of them from then on."""
    found: list[int] = []
    monkeypatch.setattr(disk, "free_bytes", lambda _: found.pop(0) if len(found) > 1 else found[0])
    return found


@pytest.mark.parametrize("looks", [[0], [0, LEAST]], ids=["all the time", "for a moment"])
async def test_a_failure_on_a_full_disk_is_none_of_the_command(
    left: list[int], looks: list[int], tmp_path: Path
) -> None:
    left += looks
    with pytest.raises(SandboxError, match="was full while the command ran"):
        await outcome("exit 1", tmp_path)


async def test_what_succeeds_on_a_full_disk_had_what_it_needed(left: list[int], tmp_path: Path) -> None:
    left += [0]
    assert (await outcome("exit 0", tmp_path)).exit_code == 0


async def test_with_room_a_failure_is_the_commands(left: list[int], tmp_path: Path) -> None:
    left += [LEAST]
    assert (await outcome("exit 1", tmp_path)).exit_code == 1


def test_a_volume_is_measured_and_one_that_is_gone_is_not_known_to_be_full(tmp_path: Path) -> None:
    assert disk.free_bytes(tmp_path) > LEAST
    assert not disk.is_full(tmp_path)
    assert not disk.is_full(tmp_path / "gone")
