"""Where a command is stopped."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest

from libs.sandbox.command import Ended, Limits, Mount, Outcome

Shell = Callable[..., Coroutine[Any, Any, tuple[Outcome, str]]]
Waiting = Callable[[Callable[[], object]], Awaitable[None]]
Finder = Callable[[str], list[int]]


async def test_a_hanging_command_ends_at_the_wall(shell: Shell, marker: str, processes: Finder) -> None:
    outcome, text = await shell(
        f"echo started; trap '' TERM; sleep {marker} & sleep {marker}", limits=Limits(wall_s=1)
    )

    assert outcome.ended is Ended.WALL
    assert (outcome.exit_code, outcome.signal) == (None, None)
    assert outcome.duration_s >= 1
    assert text == "started\n"
    assert processes(marker) == []


async def test_a_memory_hog_ends_at_its_limit(shell: Shell) -> None:
    script = "exec python3 -c 'x = []\nwhile True: x.append(bytearray(2**20))'"
    outcome, _ = await shell(script, limits=Limits(memory_mb=100, wall_s=60))

    assert outcome.ended is Ended.MEMORY
    assert 95 < outcome.peak_memory_mb < 1024


async def test_the_memory_of_all_processes_counts_together(shell: Shell) -> None:
    hog = "python3 -c 'import time; x = b\"x\" * 40_000_000; time.sleep(60)' &"
    outcome, _ = await shell(hog * 4 + "wait", limits=Limits(memory_mb=120, wall_s=60))

    assert outcome.ended is Ended.MEMORY


async def test_memory_that_processes_share_counts_once(shell: Shell) -> None:
    script = (
        'exec python3 -c \'\nimport os, time\nx = b"x" * 40_000_000\n'
        "for _ in range(6):\n  if not os.fork(): time.sleep(1); os._exit(0)\n"
        "while True:\n  try: os.wait()\n  except ChildProcessError: break'"
    )
    outcome, _ = await shell(script, limits=Limits(memory_mb=150, wall_s=60))

    assert (outcome.ended, outcome.exit_code) == (Ended.EXITED, 0)


async def test_files_in_memory_count_as_memory(shell: Shell) -> None:
    fill = "for d in /tmp /dev/shm ~; do head -c 50000000 /dev/zero > $d/x; done; exec sleep 60"
    outcome, _ = await shell(fill, limits=Limits(memory_mb=100, wall_s=60))

    assert outcome.ended is Ended.MEMORY


async def test_empty_files_count_as_memory_too(shell: Shell) -> None:
    script = (
        'exec python3 -c \'import itertools\nfor n in itertools.count(): open(f"/tmp/{n}", "w").close()\''
    )
    outcome, _ = await shell(script, limits=Limits(memory_mb=32, wall_s=60))

    assert outcome.ended is Ended.MEMORY


#: Ways to have memory that is in no mapping, or in no file with a name.
HIDDEN = {
    "behind a descriptor": """
fd = os.memfd_create("x")
for _ in range(200): os.write(fd, bytes(1 << 20))
""",
    "in a file that was deleted": """
fd = os.open("/tmp/x", os.O_CREAT | os.O_RDWR)
os.unlink("/tmp/x")
try:
  for _ in range(200): os.write(fd, bytes(1 << 20))
except OSError:
  # The directory holds as much as the ceiling, and may be full before anybody has looked.
  pass
""",
    "in segments that nobody has attached": """
libc = ctypes.CDLL(None)
libc.shmat.restype = ctypes.c_void_p
for _ in range(10):
  place = libc.shmat(libc.shmget(0, ctypes.c_size_t(20 << 20), 0o1600), None, 0)
  ctypes.memset(place, 1, 20 << 20)
  libc.shmdt(ctypes.c_void_p(place))
""",
    "in a mapping that processes share": """
shared = mmap.mmap(-1, 200 << 20)
for _ in range(2): os.fork()
for place in range(0, 200 << 20, 4096): shared[place] = 1
""",
}


@pytest.mark.parametrize("way", HIDDEN.values(), ids=HIDDEN)
async def test_memory_that_is_hidden_counts_all_the_same(shell: Shell, way: str) -> None:
    script = f"exec python3 -c 'import ctypes, mmap, os, time\n{way}\ntime.sleep(60)'"
    outcome, text = await shell(script, limits=Limits(memory_mb=100, wall_s=60))

    assert outcome.ended is Ended.MEMORY, text
    assert outcome.peak_memory_mb >= 95


MAPPED = {
    "in a directory": 'fd = os.open("/dev/shm/x", os.O_CREAT | os.O_RDWR)',
    "without a name": 'fd = os.memfd_create("x")',
}


@pytest.mark.parametrize("made", MAPPED.values(), ids=MAPPED)
async def test_a_file_in_memory_that_processes_have_mapped_is_there_once(shell: Shell, made: str) -> None:
    script = f"""exec python3 -c '
import mmap, os, time
{made}
os.ftruncate(fd, 60 << 20)
shared = mmap.mmap(fd, 60 << 20)
for _ in range(2): os.fork()
for place in range(0, 60 << 20, 4096): shared[place] = 1
time.sleep(1)'"""
    outcome, text = await shell(script, limits=Limits(memory_mb=110, wall_s=60))

    assert (outcome.ended, outcome.exit_code) == (Ended.EXITED, 0), text
    assert 60 <= outcome.peak_memory_mb <= 110


async def test_a_fork_bomb_is_bounded(shell: Shell, marker: str, processes: Finder) -> None:
    # Of root's, samples alone may see too late: one without an end once took all process numbers of the machine, and what ran
    # beside it failed. So this one ends by itself at two thousand.
    fork = "bomb $(($1 - 1)) | bomb $(($1 - 1)) &"
    bomb = f"bomb() {{ sleep {marker} & [ $1 = 0 ] || {{ {fork} }}; }}; bomb 9; sleep {marker}"
    outcome, _ = await shell(bomb, limits=Limits(processes=40, wall_s=3))

    # On a busy machine many are there before anybody looks, and then it is their memory that is seen first.
    assert outcome.ended in (Ended.PROCESSES, Ended.MEMORY, Ended.WALL, Ended.EXITED)
    assert processes(marker) == []


async def test_a_file_cannot_grow_beyond_its_limit(shell: Shell, tmp_path: Path) -> None:
    outcome, _ = await shell(
        "exec head -c 5000000 /dev/zero > /w/big",
        Mount(source=str(tmp_path), target="/w", writable=True),
        limits=Limits(file_mb=1),
    )

    assert outcome.exit_code == 128 + 25
    assert outcome.signal == 25  # SIGXFSZ
    assert (tmp_path / "big").stat().st_size == 2**20


async def test_a_flood_of_output_is_cut_drained_and_counted(shell: Shell) -> None:
    supervisors: set[int] = set()
    highest = 0

    async def watch() -> None:
        nonlocal highest
        while True:
            for pid in _children_of(os.getpid()):
                supervisors.add(pid)
                highest = max(highest, _high_water_kib(pid))
            await asyncio.sleep(0.005)

    watching = asyncio.create_task(watch())
    outcome, text = await shell(
        "yes 123456789 | head -c 100000000; echo end >&2; exit 3", limits=Limits(output_bytes=1_000_005)
    )
    watching.cancel()

    assert (outcome.ended, outcome.exit_code) == (Ended.EXITED, 3), "it was not held up"
    assert (outcome.output_bytes, outcome.truncated) == (100_000_004, True)
    assert text[:1_000_000] == "123456789\n" * 100_000
    assert text[1_000_000:] == "12345\n[output truncated: 98999999 bytes dropped]\n"
    assert supervisors
    assert highest < 40 * 1024


async def test_output_within_the_limit_is_whole(shell: Shell) -> None:
    outcome, text = await shell("printf 12345; printf 678 >&2", limits=Limits(output_bytes=8))

    assert (text, outcome.output_bytes, outcome.truncated) == ("12345678", 8, False)


async def test_what_an_ended_command_printed_last_is_kept(shell: Shell) -> None:
    _, text = await shell("head -c 200000 /dev/zero | tr '\\0' x; kill -9 $$")

    assert len(text) == 200_000


def _children_of(parent: int) -> list[int]:
    found = []
    for task in Path(f"/proc/{parent}/task").iterdir():
        found += [int(word) for word in (task / "children").read_text(encoding="ascii").split()]
    return found


def _high_water_kib(pid: int) -> int:
    try:
        lines = Path(f"/proc/{pid}/status").read_text(encoding="utf-8").splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) for line in lines if line.startswith("VmHWM:")), 0)


@pytest.mark.parametrize("background", ["", "& wait"], ids=["itself", "a child"])
async def test_processor_time_is_that_of_all_its_processes(shell: Shell, background: str) -> None:
    busy = "i=0; while [ $i -lt 300000 ]; do i=$((i+1)); done"
    idle, _ = await shell("sleep 0.3")
    worked, _ = await shell(f"sh -c '{busy}' {background}")
    assert idle.cpu_s < worked.cpu_s
    assert worked.cpu_s > 0.05


async def test_processor_time_of_what_nobody_waits_for_counts(shell: Shell) -> None:
    busy = "i=0; while [ $i -lt 300000 ]; do i=$((i+1)); done; echo done > /tmp/done"
    outcome, _ = await shell(f"(sh -c '{busy}' &) ; until test -e /tmp/done; do sleep 0.05; done")
    assert outcome.cpu_s > 0.05
