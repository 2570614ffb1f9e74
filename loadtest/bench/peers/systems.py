"""Installs, starts and runs Restate and DBOS: rounds of W8, and a kill of the worker in the middle of one."""

from __future__ import annotations

import asyncio
import contextlib
import http.client
import json
import os
import shutil
import socket
import subprocess
import tempfile
import time
import venv
from collections.abc import AsyncIterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from itertools import pairwise
from pathlib import Path
from typing import Protocol

from loadtest.bench import usage
from loadtest.bench.servers import servers
from loadtest.bench.w8 import IN_FLIGHT, KILLED, STAGES, Crash, Round, percentiles

HERE = Path(__file__).resolve().parent
HOME = Path("build/peers")
RESTATE = ("@restatedev/restate-server@1.7.12",)
PACKAGES = {"restate": ("restate-sdk==1.3.0", "granian"), "dbos": ("dbos==3.4.0",)}
#: Seconds that a call, and a round after the kill of its worker, may take.
PATIENCE_S = 120.0


class Peer(Protocol):
    """A system that runs rounds."""

    system: str
    runs: Path

    @property
    def pids(self) -> list[int]:
        """Every process that belongs to it."""
        ...

    async def run(self, name: str, count: int, in_flight: int) -> None:
        """Run tasks to their end."""
        ...

    async def kill_worker(self) -> float:
        """Kill the worker with -9 and start it again at once; return when it was dead."""
        ...


async def round_of(peer: Peer, name: str, count: int) -> Round:
    """Measure one round; every step must have run exactly once."""
    cpu = usage.cpu_s(peer.pids)
    began = time.perf_counter()
    await peer.run(name, count, IN_FLIGHT)
    seconds = time.perf_counter() - began
    spent = usage.cpu_s(peer.pids) - cpu
    starts = _starts(peer.runs, name)
    if sum(map(len, starts.values())) != STAGES * count:
        raise RuntimeError(f"{peer.system} did not run every step exactly once")
    steps = [after - before for one in starts.values() for (_, before), (_, after) in pairwise(one)]
    p50, p99 = percentiles(steps)
    return Round(
        system=peer.system,
        tasks=count,
        seconds=seconds,
        tasks_per_s=count / seconds,
        step_p50_ms=p50,
        step_p99_ms=p99,
        cpu_ms=1000 * spent / count,
        peak_pss_mib=usage.pss_mib(peer.pids),
    )


async def crash_of(peer: Peer, name: str) -> Crash:
    """Kill the worker once a third of the steps have run."""
    running = asyncio.create_task(peer.run(name, KILLED, IN_FLIGHT))
    while sum(map(len, _starts(peer.runs, name).values())) < STAGES * KILLED // 3:  # noqa: ASYNC110
        await asyncio.sleep(0.01)
    killed = await peer.kill_worker()
    with contextlib.suppress(TimeoutError):
        await asyncio.wait_for(asyncio.shield(running), PATIENCE_S)
    ended = time.time()
    if not running.done():
        running.cancel()
    starts = _starts(peer.runs, name)
    complete = [one for one in starts.values() if len({step for step, _ in one}) == STAGES]
    later = [at for one in starts.values() for _, at in one if at > killed]
    return Crash(
        system=peer.system,
        tasks=KILLED,
        lost=KILLED - len(complete),
        steps_again=sum(len(one) - len({step for step, _ in one}) for one in starts.values()),
        first_step_s=min(later, default=float("inf")) - killed,
        all_done_s=ended - killed,
    )


def _starts(runs: Path, name: str) -> dict[str, list[tuple[str, float]]]:
    """Read which steps of a round ran, and when, by task."""
    found: dict[str, list[tuple[str, float]]] = {}
    if runs.exists():
        for line in runs.read_text().splitlines():
            task, step, at = line.split()
            if task.startswith(f"{name}-"):
                found.setdefault(task, []).append((step, float(at)))
    return found


def install(name: str) -> Path:
    """Make a peer's environment below `build/peers/`, once. Raises CalledProcessError where a registry gives nothing."""
    home = (HOME / name).absolute()
    python = home / "venv" / "bin" / "python"
    if not (home / "installed").exists():
        home.mkdir(parents=True, exist_ok=True)
        venv.create(home / "venv", with_pip=True, clear=True)
        subprocess.run([str(python), "-m", "pip", "install", "-q", *PACKAGES[name]], check=True)
        if name == "restate":
            npm = shutil.which("npm")
            if npm is None:
                raise FileNotFoundError("npm is not installed, and Restate's server comes by it")
            subprocess.run([npm, "install", "--no-audit", "--no-fund", *RESTATE], cwd=home, check=True)
        (home / "installed").touch()
    return python


class Restate:
    """Restate's server, a granian worker, and a submitter with one connection for each task in flight."""

    system = "restate, granian worker"

    def __init__(self, python: Path, scratch: Path) -> None:
        self.runs = scratch / "runs"
        self._python, self._scratch = python, scratch
        self._ingress, self._admin, self._node, self._service = (_free_port() for _ in range(4))
        self._server: subprocess.Popen[bytes] | None = None
        self._worker: subprocess.Popen[bytes] | None = None

    @property
    def pids(self) -> list[int]:
        """The server and the worker."""
        return [one.pid for one in (self._server, self._worker) if one is not None]

    async def start(self) -> None:
        """Start both and make the worker known to the server."""
        environment = {
            **os.environ,
            "RESTATE_BASE_DIR": str(self._scratch / "data"),
            "RESTATE_LISTEN_MODE": "tcp",
            "RESTATE_BIND_IP": "127.0.0.1",
            "RESTATE_BIND_PORT": str(self._node),
            "RESTATE_INGRESS__BIND_PORT": str(self._ingress),
            "RESTATE_ADMIN__BIND_PORT": str(self._admin),
            "DO_NOT_TRACK": "1",
        }
        program = self._python.parents[2] / "node_modules" / ".bin" / "restate-server"
        with (self._scratch / "server.log").open("wb") as log:
            self._server = subprocess.Popen(  # noqa: ASYNC220
                [str(program), "--no-logo"], env=environment, stdout=log, stderr=log, cwd=self._scratch
            )
        self._start_worker()
        body = json.dumps({"uri": f"http://127.0.0.1:{self._service}", "use_http_11": False})
        await _until(lambda: _post(self._admin, "/deployments", body)[0] in (200, 201), 60.0)

    def _start_worker(self) -> None:
        with (self._scratch / "worker.log").open("ab") as log:
            self._worker = subprocess.Popen(
                [
                    str(self._python.parent / "granian"),
                    *("--interface", "asgi", "--http", "2", "--host", "127.0.0.1"),
                    *("--port", str(self._service), "--no-ws", "--log-level", "warning", "restate_app:app"),
                ],
                env={**os.environ, "W8_RUNS": str(self.runs)},
                stdout=log,
                stderr=log,
                cwd=HERE,
                start_new_session=True,
            )

    async def run(self, name: str, count: int, in_flight: int) -> None:
        """Submit tasks over HTTP and wait for each one's answer."""

        def submit(place: int) -> None:
            status, answer = _post(self._ingress, f"/w8/{name}-{place}/run", json.dumps(f"{name}-{place}"))
            if status != 200:
                raise RuntimeError(f"restate answered {status}: {answer[:300]!r}")

        with ThreadPoolExecutor(in_flight) as pool:
            loop = asyncio.get_running_loop()
            await asyncio.gather(*(loop.run_in_executor(pool, submit, place) for place in range(count)))

    async def kill_worker(self) -> float:
        """Kill granian with all its processes and start it again."""
        assert self._worker is not None
        killed = _kill(self._worker)
        self._start_worker()
        return killed

    def stop(self) -> None:
        """End both."""
        for one in (self._worker, self._server):
            if one is not None:
                _kill(one)


class Dbos:
    """DBOS on a Postgres of our own, one worker process that also submits."""

    system = "dbos, one process"

    def __init__(self, python: Path, scratch: Path, dsn: str, servers_: Sequence[int]) -> None:
        self.runs = scratch / "runs"
        self._python, self._scratch, self._dsn, self._servers = python, scratch, dsn, servers_
        self._worker: subprocess.Popen[bytes] | None = None
        self._round = ""

    @property
    def pids(self) -> list[int]:
        """The database and the worker."""
        return [*self._servers, *([self._worker.pid] if self._worker else [])]

    async def start(self) -> None:
        """Start the worker."""
        with (self._scratch / "worker.log").open("ab") as log:
            self._worker = subprocess.Popen(  # noqa: ASYNC220
                [str(self._python), str(HERE / "dbos_worker.py"), self._dsn, str(self.runs)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                start_new_session=True,
            )
        await self._hear("ready")

    async def run(self, name: str, count: int, in_flight: int) -> None:
        """Have the worker submit tasks and wait for them; a worker that was killed is asked again."""
        self._round = f"{name} {count} {in_flight}\n"
        worker = None
        while worker is not self._worker:
            worker = self._worker
            assert worker is not None
            assert worker.stdin is not None
            worker.stdin.write(self._round.encode())
            worker.stdin.flush()
            with contextlib.suppress(EOFError):
                await self._hear("done", worker)

    async def _hear(self, word: str, worker: subprocess.Popen[bytes] | None = None) -> None:
        worker = worker or self._worker
        assert worker is not None
        assert worker.stdout is not None
        line = await asyncio.to_thread(worker.stdout.readline)
        if line.decode().strip() != word:
            log = (self._scratch / "worker.log").read_text()[-2_000:]
            await _until(lambda: worker is not self._worker, 5.0, quiet=True)
            if worker is self._worker:
                raise RuntimeError(f"the DBOS worker said {line!r} instead of {word}: {log}")
            raise EOFError

    async def kill_worker(self) -> float:
        """Kill the worker and start it again under the same executor id."""
        assert self._worker is not None
        killed = _kill(self._worker)
        await self.start()
        return killed

    def stop(self) -> None:
        """End the worker."""
        if self._worker is not None:
            _kill(self._worker)


@asynccontextmanager
async def started(name: str) -> AsyncIterator[Restate | Dbos]:
    """Install a peer if it is not there, start it, and stop it in the end."""
    python = install(name)
    with tempfile.TemporaryDirectory(prefix="autopilot-peer-") as scratch:
        async with servers() if name == "dbos" else contextlib.nullcontext() as found:
            peer = (
                Dbos(python, Path(scratch), found.dsn, list(found.pids.values()))
                if found is not None
                else Restate(python, Path(scratch))
            )
            try:
                await peer.start()
                yield peer
            finally:
                peer.stop()


def _kill(process: subprocess.Popen[bytes]) -> float:
    for one in list(usage.families([process.pid])):
        with contextlib.suppress(ProcessLookupError):
            os.kill(one.pid, 9)
    process.wait()
    return time.time()


def _post(port: int, path: str, body: str) -> tuple[int, bytes]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE_S)
    try:
        connection.request("POST", path, body, {"Content-Type": "application/json"})
        answer = connection.getresponse()
        return answer.status, answer.read()
    except OSError as error:
        return 0, str(error).encode()
    finally:
        connection.close()


async def _until(true: object, seconds: float, *, quiet: bool = False) -> None:
    deadline = time.monotonic() + seconds
    while not await asyncio.to_thread(true):  # type: ignore[arg-type]
        if time.monotonic() > deadline:
            if quiet:
                return
            raise TimeoutError(f"not within {seconds:g} s")
        await asyncio.sleep(0.1)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
