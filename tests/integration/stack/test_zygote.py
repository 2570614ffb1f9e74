"""Processes forked from one that has loaded everything: what they are, what they do not share, what happens without it."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import subprocess
import sys
import uuid
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import msgspec
import pytest

from autopilot.stack import processes
from autopilot.stack.child import Child
from autopilot.stack.config import SERVICES, module_of
from autopilot.stack.lock import InstanceLock
from autopilot.stack.restart import RestartPolicy
from autopilot.stack.supervisor import Supervisor
from autopilot.stack.watchdog import Watchdog
from autopilot.stack.zygote import Zygote
from tests.integration.stack.fakes import PROGRAMS, eventually, running

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="elsewhere services are started one by one")

#: Loaded by the zygote; what a module makes at import is made once.
LOADED = "import os\nloader = os.getpid()\n"

#: What a child becomes: it tells what it is, then waits, or ends as it is told.
SERVICE = """
import gc, hashlib, json, os, random, signal, sys, time, uuid
import loaded
def links(folder):
    return sorted({os.path.realpath(f"{folder}/{name}") for name in os.listdir(folder)} - {folder})
print(json.dumps({
    "pid": os.getpid(), "parent": os.getppid(), "loader": loaded.loader,
    "environment": dict(os.environ), "arguments": sys.argv[1:], "cwd": os.getcwd(), "input": sys.stdin.read(),
    "group": os.getpgrp(), "session": os.getsid(0),
    "files": [os.readlink(f"/proc/self/fd/{fd}").partition(":")[0] for fd in (0, 1, 2)],
    "open": sum(os.path.exists(f"/proc/self/fd/{fd}") for fd in range(3, 64)),
    "threads": len(os.listdir("/proc/self/task")), "collects": gc.isenabled(),
    "dispositions": [str(signal.getsignal(number)) for number in (signal.SIGTERM, signal.SIGINT, signal.SIGPIPE)],
    "blocked": [int(number) for number in signal.pthread_sigmask(signal.SIG_BLOCK, ())],
    "chance": [random.random(), random.SystemRandom().random(), str(uuid.uuid4())],
}), flush=True)
if code := os.environ.get("CODE"):
    sys.exit(int(code))
time.sleep(600)
"""

REQUIRED = {
    f"AUTOPILOT_{name}": "x"
    for name in (
        *("DATA_DIR", "POSTGRES_DSN", "NATS_URL", "NATS_USER", "NATS_PASSWORD"),
        *("API_TOKEN", "SCRAPE_TOKEN", "SESSION_KEY"),
    )
} | {"AUTOPILOT_HTTP_PORT": "1"}


#: By child.
SECRETS = {name: f"{name}:{uuid.uuid4()}" for name in ("one", "another", "ending")}


class Told(msgspec.Struct):
    """What a child says of itself."""

    pid: int
    parent: int
    loader: int
    environment: dict[str, str]
    arguments: list[str]
    cwd: str
    input: str
    group: int
    session: int
    files: list[str]
    open: int
    threads: int
    collects: bool
    dispositions: list[str]
    blocked: list[int]
    chance: list[float | str]


class Bench:
    """Supervised children that a zygote forks."""

    def __init__(self, folder: Path, lock: InstanceLock, modules: Sequence[str] = ("loaded",)) -> None:
        self.folder, self.run = folder, f"test-{os.getpid()}"
        self.watchdog = Watchdog(self.run, lock.fd)
        self.watchdog.start()
        (folder / "loaded.py").write_text(LOADED)
        (folder / "pretended.py").write_text(SERVICE)
        self.zygote = Zygote(
            modules,
            run_id=self.run,
            watchdog=self.watchdog,
            cwd=folder,
            log_file=folder / "zygote.log",
            policy=RestartPolicy(first_s=0.01),
        )
        self.supervisor = Supervisor(
            [self.child("one"), self.child("another"), self.child("ending", CODE="3")],
            run_id=self.run,
            watchdog=self.watchdog,
            on_change=lambda *_: None,
            policy=RestartPolicy(first_s=0.01, crashes=2),
            zygote=self.zygote,
        )

    def child(self, name: str, **more: str) -> Child:
        place = self.folder / name
        place.mkdir()
        return Child(
            name=name,
            # Unlike the fork it says so.
            argv=(sys.executable, "-c", "import time; print('plain', flush=True); time.sleep(600)"),
            env={
                "PYTHONPATH": str(self.folder),
                "AUTOPILOT_SERVICE": name,
                "SECRET": SECRETS[name],
                **REQUIRED,
                **more,
            },
            cwd=place,
            log_file=self.folder / f"{name}.log",
            ready=_yes,
            orders=("pretended",),
        )

    def log(self, name: str) -> str:
        path = self.folder / f"{name}.log"
        return path.read_text() if path.exists() else ""

    async def said(self, name: str, times: int = 1) -> str:
        """Wait until a child has said as many lines; return the last one."""
        # Loading what services load takes a second of processor time, which a busy machine may be long in giving.
        async with asyncio.timeout(120):
            while self.log(name).count("\n") < times:
                await asyncio.sleep(0.02)
        return self.log(name).splitlines()[times - 1]

    async def told(self, name: str, times: int = 1) -> Told:
        return msgspec.json.decode(await self.said(name, times), type=Told)

    async def start(self, *names: str) -> list[Told]:
        self.zygote.start()
        self.supervisor.start(names)
        return [await self.told(name) for name in names]

    async def stop(self) -> None:
        await self.supervisor.stop()
        await self.zygote.stop()
        await self.watchdog.stop()


async def _yes() -> bool:
    return True


@pytest.fixture(autouse=True)
def _patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """On a busy machine, too, everything here is about forks: a zygote that is slow is otherwise done without."""
    monkeypatch.setattr("autopilot.stack.zygote._LOAD_S", 600.0)
    monkeypatch.setattr("autopilot.stack.zygote._FORK_S", 600.0)


@pytest.fixture
def paths(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the zygote find this project and what the tests write."""
    monkeypatch.setattr(
        "autopilot.stack.environment._python",
        lambda: {"PYTHONPATH": f"{Path(processes.__file__).parents[2]}:{tmp_path}"},
    )


@pytest.fixture
async def lock(tmp_path: Path) -> AsyncIterator[InstanceLock]:
    held = await InstanceLock.acquire(tmp_path / "lock")
    yield held
    held.release()


@pytest.fixture
async def bench(tmp_path: Path, paths: None, lock: InstanceLock) -> AsyncIterator[Bench]:
    made = Bench(tmp_path, lock)
    yield made
    await made.stop()


async def test_a_fork_is_what_a_process_started_by_itself_would_be(bench: Bench) -> None:
    one, another = await bench.start("one", "another")
    for name, told in (("one", one), ("another", another)):
        assert told.pid == bench.supervisor.statuses()[name].pid
        # A child of the supervisor, and alone in its session and group.
        assert (told.parent, told.group, told.session) == (os.getpid(), told.pid, told.pid)
        child = bench.supervisor._keepers[name].child
        assert told.environment == {**child.env, processes.MARK: f"{bench.run}/{name}/0"}
        assert (told.arguments, told.cwd, told.input) == (["pretended"], str(child.cwd), "")
        assert told.files == ["/dev/null", "pipe", "pipe"]
        assert (told.open, told.threads, told.collects, told.blocked) == (0, 1, True, [])
        assert told.dispositions[0] == str(signal.SIG_DFL)
        assert "default_int_handler" in told.dispositions[1]
        assert told.dispositions[2] == str(signal.SIG_IGN)
        # Loaded once, by the zygote.
        assert told.loader == bench.zygote.pid
    assert not set(one.chance) & set(another.chance)


async def test_what_services_load_opens_nothing_and_starts_nothing(
    tmp_path: Path, paths: None, lock: InstanceLock
) -> None:
    bench = Bench(tmp_path, lock, ["loaded", *map(module_of, SERVICES)])
    try:
        (told,) = await bench.start("one")
        assert (told.loader, told.open, told.threads) == (bench.zygote.pid, 0, 1)
    finally:
        await bench.stop()


async def test_a_killed_supervisor_takes_zygote_and_forks_with_it_even_without_the_watchdog(
    tmp_path: Path,
) -> None:
    supervisor = subprocess.Popen(
        [sys.executable, PROGRAMS / "run_forked.py", tmp_path], stdout=subprocess.PIPE
    )
    assert supervisor.stdout is not None
    watchdog, zygote, fork = map(int, (await asyncio.to_thread(supervisor.stdout.readline)).split())
    os.kill(supervisor.pid, signal.SIGSTOP)
    os.kill(watchdog, signal.SIGKILL)
    supervisor.kill()
    supervisor.wait()
    supervisor.stdout.close()
    await eventually(lambda: not running(fork), "the end of the fork")
    await eventually(lambda: not running(zygote), "the end of the zygote")


async def test_tools_of_the_machine_see_it_under_its_own_name(bench: Bench) -> None:
    (told,) = await bench.start("one")
    shown = Path(f"/proc/{told.pid}/cmdline").read_bytes().rstrip(b"\0").split(b"\0")
    assert shown[1:] == [b"-m", b"libs.runtime", b"pretended"]
    assert [pid for pid, _ in processes.marked(f"{bench.run}/one/")] == [told.pid]
    assert [pid for pid, _ in processes.marked(f"{bench.run}/zygote/")] == [bench.zygote.pid]


async def test_no_process_holds_a_credential_of_another(bench: Bench) -> None:
    one, another = await bench.start("one", "another")
    assert bench.zygote.pid is not None
    for pid, foreign in (
        (another.pid, ["one"]),
        (one.pid, ["another"]),
        (bench.zygote.pid, ["one", "another"]),
    ):
        memory = _memory(pid)
        assert b"AUTOPILOT_STACK_RUN" in memory
        assert not [word for word in foreign if SECRETS[word].encode() in memory]


async def test_a_killed_one_is_noticed_and_forked_again(bench: Bench) -> None:
    (first,) = await bench.start("one")
    os.kill(first.pid, signal.SIGKILL)
    second = await bench.told("one", 2)
    assert (second.loader, second.pid) == (first.loader, bench.supervisor.statuses()["one"].pid)
    assert second.environment[processes.MARK] == f"{bench.run}/one/1"
    assert bench.supervisor.statuses()["one"].error == "killed by SIGKILL"
    assert not Path(f"/proc/{first.pid}").exists()


async def test_its_exit_code_is_seen(bench: Bench) -> None:
    bench.zygote.start()
    bench.supervisor.start(["ending"])
    await eventually(
        lambda: bench.supervisor.statuses()["ending"].error == "ended with exit code 3", "its end"
    )


async def test_when_the_zygote_is_killed_its_forks_go_on_and_another_takes_over(bench: Bench) -> None:
    (told,) = await bench.start("one")
    before = bench.zygote.pid
    assert before is not None
    os.kill(before, signal.SIGKILL)
    await eventually(lambda: bench.zygote.pid not in (None, before), "another zygote")
    assert running(told.pid)
    assert bench.supervisor.statuses()["one"].restarts == 0
    # While the other one is still loading.
    os.kill(told.pid, signal.SIGKILL)
    assert (await bench.told("one", 2)).loader == bench.zygote.pid


async def test_one_that_hangs_is_replaced_and_the_child_is_started_by_itself(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    await bench.start("one")
    monkeypatch.setattr("autopilot.stack.zygote._FORK_S", 0.1)
    before = bench.zygote.pid
    assert before is not None
    os.kill(before, signal.SIGSTOP)
    bench.supervisor.start(["another"])
    assert await bench.said("another") == "plain"
    await eventually(lambda: bench.zygote.pid not in (None, before), "another zygote")


async def test_without_one_that_works_children_are_started_by_themselves(bench: Bench) -> None:
    (bench.folder / "loaded.py").write_text("raise RuntimeError('this cannot be loaded')")
    bench.zygote.start()
    bench.supervisor.start(["one"])
    assert await bench.said("one") == "plain"
    assert "this cannot be loaded" in bench.log("zygote")


async def test_one_with_a_second_thread_does_not_fork(bench: Bench) -> None:
    (bench.folder / "loaded.py").write_text(
        "import threading, time\nthreading.Thread(target=time.sleep, args=(600,), daemon=True).start()"
    )
    bench.zygote.start()
    bench.supervisor.start(["one"])
    assert await bench.said("one") == "plain"
    assert "2 threads" in bench.log("zygote")


async def test_a_stop_during_the_fork_leaves_nothing(bench: Bench) -> None:
    bench.zygote.start()
    bench.supervisor.start(["one", "another"])
    await asyncio.sleep(0)
    await bench.supervisor.stop()
    assert {status.state for status in bench.supervisor.statuses().values()} == {"stopped", "waiting"}
    assert not processes.marked(f"{bench.run}/one/")


async def test_orphans_of_others_do_not_come_to_the_supervisor(bench: Bench) -> None:
    (told,) = await bench.start("one")
    assert bench.supervisor.statuses()["one"].pid == told.pid
    leave = "import os, time\nif pid := os.fork(): print(pid)\nelse: os.close(1), time.sleep(600)"
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-I", "-S", "-c", leave, stdout=asyncio.subprocess.PIPE
    )
    orphan = int((await process.communicate())[0])
    parent = re.search(r"^PPid:\s*(\d+)", Path(f"/proc/{orphan}/status").read_text(), re.MULTILINE)
    os.kill(orphan, signal.SIGKILL)
    assert parent is not None
    assert int(parent[1]) != os.getpid()


def _memory(pid: int) -> bytes:
    """Read all that a process has in memory of its own."""
    found = []
    with open(f"/proc/{pid}/mem", "rb", buffering=0) as memory:
        for line in Path(f"/proc/{pid}/maps").read_text().splitlines():
            place, rights, *_, inode = line.split(maxsplit=5)[:5]
            if rights.startswith("rw") and inode == "0":
                begin, end = (int(part, 16) for part in place.split("-"))
                memory.seek(begin)
                while begin < end and (data := memory.read(end - begin)):
                    found.append(data)
                    begin += len(data)
    return b"".join(found)
