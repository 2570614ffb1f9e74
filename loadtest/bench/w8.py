"""Section `w8`: N tasks of eight no-op stages, 100 in flight, through the real services; beside it, the floor.

Our tasks have priority `urgent`, because only then does `think` run: all eight stages, six gates, every step durable,
projections on. They are submitted in batches of up to 100 over HTTP and count as done when the record says so.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import statistics
import subprocess
import sys
import time
import urllib.request
from collections import Counter
from collections.abc import AsyncIterator, Collection, Iterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager, suppress
from itertools import pairwise

import asyncpg
import msgspec

from autopilot.cli.client import Client
from autopilot.cli.sending import send
from autopilot.stack import secrets
from autopilot.stack.config import NATS_MONITORING, OWNER_ROLE, StackConfig
from autopilot.stack.status import read
from contracts.task import RepoSpec, TaskSpec
from loadtest.bench import usage
from loadtest.bench.servers import servers
from loadtest.ownstack import own_stack
from loadtest.witness import LOOK_S, NEWEST, SINCE, pause_s

IN_FLIGHT = 100
STAGES = 8
#: Tasks of the round in which the worker is killed.
KILLED = 100
#: Tasks of one submission.
BATCH = 100
#: Tasks before the first measurement: connections, prepared statements and caches are there afterwards.
WARM_UP = 50
#: Seconds within which a round must end.
PATIENCE_S = 120.0


class Round(msgspec.Struct, frozen=True, kw_only=True):
    """One measured run of N tasks."""

    system: str
    tasks: int
    seconds: float
    tasks_per_s: float
    #: From one step's start to the next one's in the same task, in ms: median and 99th percentile.
    step_p50_ms: float
    step_p99_ms: float
    #: Processor time of every process of the system, per task, in ms.
    cpu_ms: float
    #: The same by process.
    cpu_by_part: dict[str, float] = {}
    #: Highest proportional memory seen, in MiB.
    peak_pss_mib: float = 0.0
    #: Seconds from the last task's end until every projection shows it.
    shown_after_s: float = 0.0
    #: Counts per task.
    per_task: dict[str, float] = {}


class Crash(msgspec.Struct, frozen=True, kw_only=True):
    """What a kill -9 of the worker in the middle of a round came to."""

    system: str
    tasks: int
    #: Tasks that did not end.
    lost: int
    #: Steps that ran more than once.
    steps_again: int
    #: From the kill to the first step that ran after it, and to the end of the last task.
    first_step_s: float
    all_done_s: float


def percentiles(seconds: list[float]) -> tuple[float, float]:
    """Return median and 99th percentile in ms."""
    if len(seconds) < 2:
        return 0.0, 0.0
    cuts = statistics.quantiles(seconds, n=100)
    return 1000 * statistics.median(seconds), 1000 * cuts[98]


class Floor:
    """The hand-written floor, ready to run rounds."""

    system = "floor"

    def __init__(self, engine: subprocess.Popen[str], pids: list[int]) -> None:
        self._engine, self._pids = engine, pids

    async def round(self, count: int, in_flight: int = IN_FLIGHT) -> Round:
        """Run one round."""
        before = usage.cpu_s(self._pids)
        assert self._engine.stdin is not None
        assert self._engine.stdout is not None
        self._engine.stdin.write(f"{count} {in_flight}\n")
        self._engine.stdin.flush()
        said = await asyncio.to_thread(self._engine.stdout.readline)
        if not said:
            raise RuntimeError("the floor's engine has ended")
        answer = json.loads(said)
        cpu = usage.cpu_s(self._pids) - before
        p50, p99 = percentiles(answer["steps_s"])
        return Round(
            system=self.system,
            tasks=count,
            seconds=answer["seconds"],
            tasks_per_s=count / answer["seconds"],
            step_p50_ms=p50,
            step_p99_ms=p99,
            cpu_ms=1000 * cpu / count,
            peak_pss_mib=usage.pss_mib(self._pids),
        )


@asynccontextmanager
async def floor() -> AsyncIterator[Floor]:
    """Start the floor and stop it in the end."""
    async with servers() as found:
        parts = [
            subprocess.Popen(  # noqa: ASYNC220 - its start takes a moment and nothing else waits
                [sys.executable, "-m", "loadtest.bench.floor", part, found.dsn, found.nats_url],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
            )
            for part in ("worker", "engine")
        ]
        try:
            for part in parts:
                assert part.stdout is not None
                if (said := await asyncio.to_thread(part.stdout.readline)) != "ready\n":
                    raise RuntimeError(f"the floor did not start: {said!r}")
            yield Floor(parts[1], [*found.pids.values(), *(part.pid for part in parts)])
        finally:
            for part in parts:
                part.kill()
                part.wait()


class Ours:
    """A running stack, ready to run rounds."""

    system = "autopilot"

    def __init__(self, config: StackConfig, record: asyncpg.Connection[asyncpg.Record]) -> None:
        self.client = Client(config)
        self._record = record
        self._parts: dict[str, int] = {}
        self._find_parts()
        self._monitoring = self.client.status.addresses[NATS_MONITORING]

    @property
    def pids(self) -> list[int]:
        """Return the processes that make the stack up, its supervisor and watchdog included."""
        found = [*self._parts.values(), self.client.status.pid]
        return found + ([self.client.status.watchdog_pid] if self.client.status.watchdog_pid else [])

    async def round(self, count: int, in_flight: int = IN_FLIGHT) -> Round:
        """Submit tasks and wait until all are done."""
        await asyncio.to_thread(
            self.client.scheduler, "PUT", "/v1/config", json={"max_concurrent": in_flight}
        )
        first = await self._record.fetchval("select coalesce(max(position), 0) from events")
        before = await self._record.fetchval(NEWEST)
        cpu, counted = self._cpu(), await self._counters()
        watcher = asyncio.create_task(self._watch_memory())
        began, began_at = time.perf_counter(), time.time()
        submitting = asyncio.create_task(asyncio.to_thread(self._submit, count))
        await self._wait(before, count)
        seconds = time.perf_counter() - began
        await submitting
        await self._until_shown()
        shown = time.perf_counter() - began - seconds
        spent = {name: after - cpu[name] for name, after in self._cpu().items()}
        peak = await _end(watcher)
        counters = {name: after - counted[name] for name, after in (await self._counters()).items()}
        steps, types = await self._events(first)
        wrong = {name: types[name] for name, want in _expected(count).items() if types[name] != want}
        if wrong:
            raise RuntimeError(f"not every step ran exactly once: {wrong}, began at {began_at:.0f}")
        p50, p99 = percentiles(steps)
        return Round(
            system=self.system,
            tasks=count,
            seconds=seconds,
            tasks_per_s=count / seconds,
            step_p50_ms=p50,
            step_p99_ms=p99,
            cpu_ms=1000 * sum(spent.values()) / count,
            cpu_by_part={name: round(1000 * one / count, 2) for name, one in spent.items()},
            peak_pss_mib=peak,
            shown_after_s=shown,
            per_task={
                "events": types.total() / count,
                **{name: round(one / count, 1) for name, one in counters.items()},
            },
        )

    async def crash(self) -> Crash:
        """Kill the stage-runner with -9 once a third of the stages are done; its supervisor starts it again."""
        first = await self._record.fetchval("select coalesce(max(position), 0) from events")
        before = await self._record.fetchval(NEWEST)
        await asyncio.to_thread(self._submit, KILLED)
        count = "select count(*) from events where position > $1 and type = $2"
        while await self._record.fetchval(count, first, "stage_completed") < STAGES * KILLED // 3:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
        os.kill(self._parts["stage-runner"], signal.SIGKILL)
        killed = time.time()
        with suppress(TimeoutError):
            await self._wait(before, KILLED)
        ended = time.time()
        later = await self._record.fetchval(
            "select extract(epoch from min(recorded_at))::float8 from events where position > $1"
            " and meta ->> 'service' = 'stage-runner' and recorded_at > to_timestamp($2)",
            first,
            killed,
        )
        # Its processes are others now.
        self._find_parts()
        return Crash(
            system=self.system,
            tasks=KILLED,
            lost=KILLED - await self._record.fetchval(count, first, "task_done"),
            steps_again=await self._record.fetchval(count, first, "stage_resumed"),
            first_step_s=(later or float("inf")) - killed,
            all_done_s=ended - killed,
        )

    def _find_parts(self) -> None:
        found = read(self.client.config.stack_file) or self.client.status
        self._parts = {name: one.pid for name, one in found.processes.items() if one.pid is not None}

    async def idle(self, seconds: float = 10.0) -> dict[str, float]:
        """Return memory in MiB, and processor time in ms a second by process, while nothing is to be done."""
        before = self._cpu()
        began = time.perf_counter()
        await asyncio.sleep(seconds)
        passed = time.perf_counter() - began
        spent = {name: 1000 * (after - before[name]) / passed for name, after in self._cpu().items()}
        return {"pss_mib": usage.pss_mib(self.pids), "cpu_ms_per_s": sum(spent.values()), **spent}

    def _submit(self, count: int) -> None:
        for start in range(0, count, BATCH):
            send(self.client, [spec(place) for place in range(start, min(start + BATCH, count))])

    async def _wait(self, before: int, count: int) -> None:
        deadline = time.perf_counter() + PATIENCE_S
        while time.perf_counter() < deadline:
            ((open_, known),) = await self._record.fetch(SINCE, before)
            left = open_ + count - known
            if not left:
                return
            await asyncio.sleep(pause_s(left))
        raise TimeoutError(f"after {PATIENCE_S:.0f} s {left} of {count} tasks have not ended")

    async def _until_shown(self) -> None:
        deadline = time.perf_counter() + PATIENCE_S
        while await self._record.fetchval(
            "select exists (select from events"
            " where (xid, position) > (select xid, position from follower where consumer = 'dashboard-project'))"
        ):
            if time.perf_counter() > deadline:
                raise TimeoutError("the dashboard does not catch up")
            await asyncio.sleep(LOOK_S)

    async def _events(self, first: int) -> tuple[list[float], Counter[str]]:
        rows = await self._record.fetch(
            "select type, data ->> 'task_id' as task, recorded_at from events where position > $1 order by recorded_at",
            first,
        )
        starts: dict[str, list[float]] = {}
        for row in rows:
            if row["type"] == "stage_started":
                starts.setdefault(row["task"], []).append(row["recorded_at"].timestamp())
        steps = [after - before for one in starts.values() for before, after in pairwise(one)]
        return steps, Counter(row["type"] for row in rows)

    async def _counters(self) -> dict[str, float]:
        (row,) = await self._record.fetch(
            "select (select xact_commit from pg_stat_database where datname = current_database()) as transactions,"
            " (select wal_bytes / 1024 from pg_stat_wal) as wal_kib,"
            " (select coalesce(sum(fsyncs), 0) from pg_stat_io where object = 'wal') as flushes"
        )
        bus = await asyncio.to_thread(self._bus_counters)
        return {
            **{name: float(value) for name, value in row.items()},
            "messages_in": bus["in_msgs"],
            "messages_out": bus["out_msgs"],
        }

    def _bus_counters(self) -> dict[str, float]:
        with urllib.request.urlopen(f"{self._monitoring}/varz", timeout=5) as answer:  # noqa: S310
            found: dict[str, float] = json.load(answer)
        return found

    def _cpu(self) -> dict[str, float]:
        found = {name: usage.cpu_s([pid]) for name, pid in self._parts.items()}
        # Its children are counted above.
        found["supervisor"] = usage.own_cpu_s(self.client.status.pid)
        return found

    async def _watch_memory(self) -> float:
        peak = 0.0
        try:
            while True:
                peak = max(peak, await asyncio.to_thread(usage.pss_mib, self.pids))
                await asyncio.sleep(1.0)
        except asyncio.CancelledError:
            return peak


async def _end(task: asyncio.Task[float]) -> float:
    task.cancel()
    return await task


def _expected(count: int) -> dict[str, int]:
    return {
        "task_submitted": count,
        "stage_started": STAGES * count,
        "stage_completed": STAGES * count,
        "gate_decided": 6 * count,
        "task_done": count,
    }


def spec(place: int) -> TaskSpec:
    """Write one task of eight no-op stages."""
    return TaskSpec(
        key=f"w8-{place}",
        title=f"w8 {place}",
        repos=(RepoSpec(name="none", url="/nowhere/none.git"),),
        engine="noop",
        # Only an urgent task, or one with something unclear, goes through `think`.
        priority="urgent",
        synthetic=True,
    )


@contextmanager
def settings(values: Mapping[str, str]) -> Iterator[None]:
    """Set environment variables for a while."""
    before = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


@asynccontextmanager
async def ours() -> AsyncIterator[Ours]:
    """Start a stack of our own and stop it in the end."""
    with settings({"AUTOPILOT_CONFIG_PLACES": str(2 * IN_FLIGHT)}), own_stack() as config:
        client = Client(config)
        placed = msgspec.structs.replace(config, ports=client.status.ports)
        credentials = secrets.load_or_create(config.secrets_dir)
        record = await asyncpg.connect(placed.dsn(OWNER_ROLE, credentials.postgres_owner))
        try:
            yield Ours(config, record)
        finally:
            await record.close()


@asynccontextmanager
async def systems(names: Collection[str]) -> AsyncIterator[list[Floor | Ours]]:
    """Start what is to be measured, all at once: rounds are taken in turn, and who waits uses next to nothing."""
    async with AsyncExitStack() as stack:
        found: list[Floor | Ours] = []
        if "floor" in names:
            found.append(await stack.enter_async_context(floor()))
        if "ours" in names:
            found.append(await stack.enter_async_context(ours()))
        yield found
