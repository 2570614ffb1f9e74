"""How a sandbox begins and ends, whoever dies first."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import Awaitable, Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest

from libs.sandbox import orphans
from libs.sandbox.command import Channel, Command, Ended, Limits, Mount, Outcome
from libs.sandbox.errors import SandboxError
from libs.sandbox.launch import Backend
from libs.sandbox.runner import run
from tests.integration.sandbox.conftest import PATIENCE_S

Shell = Callable[..., Coroutine[Any, Any, tuple[Outcome, str]]]
Waiting = Callable[[Callable[[], object]], Awaitable[None]]
Finder = Callable[[str], list[int]]


@pytest.mark.parametrize(
    ("script", "code", "number"),
    [
        ("true", 0, None),
        ("exit 1", 1, None),
        ("exit 127", 127, None),
        ("exit 255", 255, None),
        ("kill -9 $$", 137, 9),
        ("sh -c 'kill -SEGV $$'; exit $?", 139, 11),
        ("/no/such/program", 127, None),
    ],
)
async def test_the_exit_code_is_the_commands(
    shell: Shell, script: str, code: int, number: int | None
) -> None:
    outcome, _ = await shell(script)

    assert (outcome.ended, outcome.exit_code, outcome.signal) == (Ended.EXITED, code, number)
    assert outcome.peak_memory_mb > 0


async def test_no_process_outlives_the_command(shell: Shell, marker: str, processes: Finder) -> None:
    outcome, text = await shell(
        f"setsid sleep {marker} & (setsid sh -c 'sleep {marker} & exec sleep {marker}' &) &"
        f" nohup sleep {marker} & until test $(pgrep -c sleep) -ge 4; do :; done; echo 4; exit 0"
    )

    assert (outcome.exit_code, text.splitlines()[-1]) == (0, "4")
    assert processes(marker) == []


async def test_cancelling_kills_the_whole_tree_and_raises(
    shell: Shell, tmp_path: Path, marker: str, processes: Finder, until: Waiting
) -> None:
    asked = tmp_path / "asked"
    asked.mkdir()
    running = asyncio.create_task(
        shell(
            f"trap 'touch /asked/first' TERM INT; setsid sleep {marker} & sleep {marker} & wait; wait",
            Mount(source=str(asked), target="/asked", writable=True),
        )
    )
    await until(lambda: len(processes(marker)) >= 2)

    running.cancel()
    async with asyncio.timeout(PATIENCE_S):
        with pytest.raises(asyncio.CancelledError):
            await running

    assert processes(marker) == []
    assert list(asked.iterdir()) == [], "nobody is asked to end, and waited for, before it is killed"


async def test_cancelling_at_once_leaves_nothing(shell: Shell, marker: str, processes: Finder) -> None:
    running = asyncio.create_task(shell(f"sleep {marker}"))
    await asyncio.sleep(0)

    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running

    assert processes(marker) == []


async def test_passed_descriptors_reach_the_command_and_its_children(shell: Shell) -> None:
    reader, channel = Channel.open()
    try:
        outcome, text = await shell(
            f"python3 -c \"import os; os.write({channel.fd}, b'from a child')\"; ls /proc/self/fd",
            pass_fds=(channel.fd,),
        )
        os.close(channel.fd)
        received = os.read(reader, 100)
        assert os.read(reader, 100) == b""
    finally:
        os.close(reader)

    assert received == b"from a child"
    assert str(channel.fd) in text.split()
    assert outcome.exit_code == 0


async def test_the_reader_sees_the_end_when_the_command_closes_its_descriptor(shell: Shell) -> None:
    reader, channel = Channel.open()
    running = asyncio.create_task(
        shell(
            f"exec python3 -c \"import os, time; os.write({channel.fd}, b'done');"
            f' os.close({channel.fd}); time.sleep(60)"',
            pass_fds=(channel.fd,),
        )
    )
    await asyncio.sleep(0)
    os.close(channel.fd)

    received = await asyncio.to_thread(_read_all, reader)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running

    assert received == b"done"


async def test_twenty_at_once(shell: Shell) -> None:
    results = await asyncio.gather(
        *(shell(f"test ! -e /tmp/x && echo {n} | tee /tmp/x; exit {n}") for n in range(20))
    )

    assert [(outcome.exit_code, text) for outcome, text in results] == [(n, f"{n}\n") for n in range(20)]


async def test_it_leaves_no_descriptor_behind(shell: Shell) -> None:
    await shell("true")
    before = set(os.listdir("/proc/self/fd"))

    await shell("true")
    with pytest.raises(SandboxError):
        await shell("true", cwd="/nowhere")

    assert set(os.listdir("/proc/self/fd")) == before


@pytest.fixture
def elsewhere(tmp_path: Path, backend: Backend) -> Callable[[str, str], subprocess.Popen[bytes]]:
    """Starts a process of its own that runs a script in a sandbox, as a service would."""

    def start(script: str, cookie: str) -> subprocess.Popen[bytes]:
        program = (
            "import asyncio, pathlib\n"
            "from libs.sandbox.command import Command\n"
            "from libs.sandbox.launch import Backend, launch\n"
            f"backend = Backend(kind={backend.kind!r}, bwrap={backend.bwrap!r})\n"
            f"command = Command(script={script!r}, cwd='/tmp', env={{}}, mounts=(), cookie={cookie!r})\n"
            f"asyncio.run(launch(command, pathlib.Path({str(tmp_path / 'elsewhere')!r}), backend))\n"
        )
        environment = {
            **os.environ,
            "PYTHONPATH": os.pathsep.join([str(Path(__file__).parents[3]), *sys.path]),
        }
        return subprocess.Popen([sys.executable, "-c", program], env=environment)

    return start


async def test_it_ends_when_the_process_that_wanted_it_is_killed(
    elsewhere: Callable[[str, str], subprocess.Popen[bytes]], marker: str, processes: Finder, until: Waiting
) -> None:
    parent = elsewhere(f"setsid sleep {marker} & sleep {marker}", "")
    await until(lambda: len(processes(marker)) >= 2)

    parent.kill()
    parent.wait()

    await until(lambda: not processes(marker))


async def test_it_ends_when_its_supervisor_is_killed_and_that_is_no_exit(
    shell: Shell, marker: str, processes: Finder, until: Waiting
) -> None:
    cookie = f"supervisor-{marker}"
    running = asyncio.create_task(shell(f"sleep {marker}", cookie=cookie))
    await until(lambda: processes(marker))
    children = Path(f"/proc/self/task/{os.getpid()}/children").read_text(encoding="ascii").split()
    ours = [pid for pid in children if cookie.encode() in Path(f"/proc/{pid}/environ").read_bytes()]

    for pid in ours:
        os.kill(int(pid), signal.SIGKILL)
    with pytest.raises(SandboxError, match="supervisor"):
        await running

    await until(lambda: not processes(marker))


async def test_orphans_are_found_by_their_cookie_and_others_are_left_alone(
    marker: str, processes: Finder, until: Waiting
) -> None:
    cookie = f"cookie-{marker}"
    theirs = subprocess.Popen(["sleep", marker], env={"AUTOPILOT_COOKIE": cookie}, start_new_session=True)
    others = subprocess.Popen(
        ["sleep", marker], env={"AUTOPILOT_COOKIE": cookie + "0"}, start_new_session=True
    )
    try:
        await until(lambda: set(processes(marker)) == {theirs.pid, others.pid})

        assert orphans.sweep("of nobody", cookie) == [theirs.pid]
        assert orphans.sweep(cookie) == []

        assert theirs.wait() == -signal.SIGKILL
        assert others.poll() is None
    finally:
        others.kill()
        others.wait()


async def test_sweeping_ends_a_whole_sandbox(
    elsewhere: Callable[[str, str], subprocess.Popen[bytes]], marker: str, processes: Finder, until: Waiting
) -> None:
    cookie = f"cookie-{marker}"
    # The command hides its own cookie; its sandbox's supervisor still carries it.
    parent = elsewhere(f"env -i setsid sleep {marker} & exec env -i sleep {marker}", cookie)
    await until(lambda: len(processes(marker)) >= 2)

    killed = await asyncio.to_thread(orphans.sweep, cookie)
    parent.wait()

    assert killed
    await until(lambda: not processes(marker))


async def test_run_finds_the_kind_of_sandbox_by_itself(backend: Backend, tmp_path: Path) -> None:
    output = tmp_path / "output"

    outcome = await run(Command(script="echo $$", cwd="/", env={}, mounts=(), limits=Limits()), output)

    assert outcome.exit_code == 0
    assert int(output.read_text(encoding="ascii")) < 10


def _read_all(fd: int) -> bytes:
    with open(fd, "rb") as file:
        return file.read()
