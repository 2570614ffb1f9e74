"""The kernel's own limits around a sandbox, and what is left of them."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from collections.abc import Callable, Coroutine
from contextlib import ExitStack
from pathlib import Path
from subprocess import PIPE
from typing import Any

import pytest

from libs.sandbox import groups
from libs.sandbox.command import Ended, Limits, Outcome
from libs.sandbox.groups import Groups

Shell = Callable[..., Coroutine[Any, Any, tuple[Outcome, str]]]

#: takes memory in one go, faster than it could be sampled
_AT_ONCE = (
    "python3 -c 'import mmap; m = mmap.mmap(-1, 300 << 20, mmap.MAP_PRIVATE); m.write(bytes(300 << 20))'"
)
_ROOT = Path(__file__).parents[3]


@pytest.fixture
def kernel(held_by: Groups) -> Groups:
    """The machine's control groups; a test that needs them is skipped where only samples are asked for."""
    if held_by.memory is None or held_by.pids is None:
        pytest.skip("about control groups")
    return held_by


def left(found: Groups) -> list[str]:
    """List the groups of this process."""
    return [
        name
        for parent in (found.memory, found.pids)
        if parent
        for name in os.listdir(parent.path)
        if name.startswith(f"autopilot-{os.getpid()}-")
    ]


async def test_memory_that_is_taken_at_once_ends_at_the_ceiling(kernel: Groups, shell: Shell) -> None:
    outcome, _ = await shell(f"exec {_AT_ONCE}", limits=Limits(memory_mb=64, wall_s=60))

    assert outcome.ended is Ended.MEMORY
    # What it maps of files was there before and belongs to nobody's group: a few MiB.
    assert 60 <= outcome.peak_memory_mb < 80
    assert left(kernel) == []


async def test_a_command_that_survives_the_death_of_its_child_has_exceeded_its_ceiling_all_the_same(
    kernel: Groups, shell: Shell
) -> None:
    outcome, _ = await shell(f"{_AT_ONCE}; exit 0", limits=Limits(memory_mb=64, wall_s=60))

    assert (outcome.ended, outcome.exit_code) == (Ended.MEMORY, None)


async def test_a_fork_bomb_is_never_more_than_its_limit(kernel: Groups, shell: Shell, marker: str) -> None:
    highest = 0

    async def watch() -> None:
        nonlocal highest
        while True:
            assert kernel.pids
            for path in Path(kernel.pids.path).glob(f"autopilot-{os.getpid()}-*"):
                highest = max(highest, int((path / "pids.current").read_text(encoding="ascii")))
            await asyncio.sleep(0.001)

    watching = asyncio.create_task(watch())
    bomb = f"bomb() {{ sleep {marker} & bomb | bomb & }}; bomb; sleep {marker}"
    outcome, _ = await shell(bomb, limits=Limits(processes=40, wall_s=60, memory_mb=1024))
    watching.cancel()

    assert outcome.ended is Ended.PROCESSES
    assert 1 < highest <= 41, "process 1 of the namespace is ours"
    assert left(kernel) == []


async def test_many_small_processes_are_one_large_one(shell: Shell) -> None:
    small = "python3 -c 'import time; x = b\"x\" * 8_000_000; time.sleep(60)' &"
    outcome, _ = await shell(small * 12 + "wait", limits=Limits(memory_mb=96, wall_s=60))

    assert outcome.ended is Ended.MEMORY
    assert outcome.peak_memory_mb >= 90


async def test_the_peak_counts_what_processes_share_once(shell: Shell) -> None:
    script = (
        'exec python3 -c \'\nimport os, time\nx = b"x" * 60_000_000\n'
        "for _ in range(6):\n  if not os.fork(): time.sleep(1); os._exit(0)\n"
        "while True:\n  try: os.wait()\n  except ChildProcessError: break'"
    )
    outcome, _ = await shell(script, limits=Limits(memory_mb=1024, wall_s=60))

    assert outcome.ended is Ended.EXITED
    assert 60 < outcome.peak_memory_mb < 120, "seven processes have it, there is one of it"


async def test_where_samples_alone_tell_no_process_can_reserve_more_than_four_times_its_ceiling(
    held_by: Groups, shell: Shell
) -> None:
    reserve = 'python3 -c "import mmap; mmap.mmap(-1, {} << 20, mmap.MAP_PRIVATE)"'
    within, _ = await shell(reserve.format(300), limits=Limits(memory_mb=100, wall_s=60))
    beyond, text = await shell(reserve.format(500), limits=Limits(memory_mb=100, wall_s=60))

    assert within.exit_code == 0
    # With a control group nothing needs to be reserved against: what is not touched is not memory.
    assert beyond.exit_code == (0 if held_by.memory else 1), text


def test_a_group_that_somebody_is_still_in_goes_with_the_next(kernel: Groups) -> None:
    with kernel.made(64 << 20, 8) as (memory, _):
        assert memory
        dying = subprocess.Popen(["cat"], stdin=PIPE, stdout=PIPE)
        Path(memory["folder"], "cgroup.procs").write_text(str(dying.pid), encoding="ascii")
    assert left(kernel) == [Path(memory["folder"]).name]

    dying.communicate()
    with kernel.made(64 << 20, 8):
        pass
    assert left(kernel) == []


async def test_what_a_killed_maker_left_is_removed_and_what_others_have_is_not(
    kernel: Groups,
) -> None:
    made = (
        "import sys; from libs.sandbox import groups\n"
        "with groups.find().made(64 << 20, 8) as places:\n"
        "  print(*(place['folder'] for place in places), flush=True); sys.stdin.read()"
    )
    with ExitStack() as stack:
        makers = [
            stack.enter_context(
                subprocess.Popen([sys.executable, "-c", made], cwd=_ROOT, stdin=PIPE, stdout=PIPE, text=True)
            )
            for _ in range(2)
        ]
        folders = [maker.stdout.readline().split() for maker in makers if maker.stdout]
        assert len({*folders[0], *folders[1]}) == 4, "two stacks do not clash"

        makers[0].kill()
        makers[0].wait()
        swept = groups.sweep(kernel)

        assert set(folders[0]) <= set(swept)
        assert not any(Path(folder).exists() for folder in folders[0])
        assert all(Path(folder).exists() for folder in folders[1])
    assert not any(Path(folder).exists() for folder in folders[1])
