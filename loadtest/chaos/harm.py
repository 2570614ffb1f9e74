"""The harm itself: one function each, or one that makes them."""

from __future__ import annotations

import contextlib
import os
import random
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import asyncpg

from autopilot.stack import processes
from autopilot.stack.config import NATS, POSTGRES
from loadtest.chaos.arena import LOOK_S, Arena, ChaosError, until
from loadtest.chaos.case import Fault, Harm
from loadtest.chaos.load import Load, holders
from loadtest.chaos.proxy import Weather
from loadtest.chaos.replica import paused, second

#: Seconds between two kills of one part: the supervisor takes six in a minute for a defect and gives the part up.
APART_S = 13.0
#: Open tasks that make a fault meet work in hand.
BUSY = 20
#: Seconds for which a leader is paused: twice as long as any lease lives.
PAUSE_S = 7.0
#: How often and for how many seconds the bus is held until something waits for it.
HOLDS, HOLD_S = 10, 2.0
#: Seconds of bad weather, of a full disk, and between two cuts of every database connection.
WEATHER_S, FULL_S, CUT_EVERY_S = 15.0, 10.0, 2.0
#: Megabytes of the data directory of a case that fills its disk.
DISK_MB = 600
WEATHERS: tuple[Weather, ...] = ("slow", "half-open", "resetting", "lossy")
JETSTREAM = Path("jetstream")
EVENTS_STREAM = JETSTREAM / "$G" / "streams" / "EVENTS" / "msgs"


def kill(part: str, times: int = 1) -> Harm:
    """Kill a part with -9 while tasks are in hand."""

    def harm(arena: Arena, load: Load) -> list[Fault]:
        faults = []
        for number in range(times):
            if number:
                time.sleep(APART_S)
            arena.pid(part)
            load.keep_at_least(BUSY)
            until(lambda: holders(arena) or None, "a task holds a slot")
            faults.append(Fault(part=part, at=arena.kill(part)))
            until(
                lambda: arena.status.processes[part].state != "ready" or None, f"the end of {part} is noticed"
            )
        arena.pid(part)
        return faults

    return harm


def kill_relay(part: str, times: int = 1) -> Harm:
    """Kill a service with -9 while what it has committed is not yet on the bus."""

    def harm(arena: Arena, load: Load) -> list[Fault]:
        faults = []
        for number in range(times):
            if number:
                time.sleep(APART_S)
            arena.pid(part)
            load.keep_at_least(BUSY)
            tasks = _hold_the_bus_until_something_waits(arena, part)
            try:
                faults.append(Fault(part="relay", at=arena.kill(part), tasks=tasks))
            finally:
                arena.nats.turn("fair")
        arena.pid(part)
        return faults

    return harm


def kill_everything(arena: Arena, load: Load) -> list[Fault]:
    """Kill every process at once, the supervisor too, and start again on what is left."""
    del load
    at = arena.kill_everything()
    arena.start()
    return [Fault(part="everything", at=at)]


def pause(part: str) -> Harm:
    """Stop the leader past its lease, let another take over, wake it up."""

    def harm(arena: Arena, load: Load) -> list[Fault]:
        lease = part if part == "scheduler" else f"{part}-1"
        with second(arena, part):
            # The standby is there once it asks for the lease; a replica, once it has its own.
            time.sleep(3.0)
            pid = arena.pid(part)
            before = _epoch(arena, lease)
            at = time.time()
            with paused(pid, (signal.SIGSTOP, signal.SIGCONT)):
                time.sleep(PAUSE_S)
            until(lambda: _epoch(arena, lease) > before or None, f"somebody has taken over {lease}")
            load.wait_until_open(BUSY // 2)
        arena.pid(part)
        return [Fault(part=f"paused {part}", at=at)]

    return harm


def pause_relay(arena: Arena, load: Load) -> list[Fault]:
    """Stop whoever sweeps the outbox in the middle of an outage of the bus, let another sweep, wake it up."""
    part, lease = "stage-runner", "relay-stage-runner"
    with second(arena, part) as other:
        time.sleep(3.0)
        _hold_the_bus_until_something_waits(arena, part)
        arena.nats.turn("fair")
        holder = until(lambda: _holder(arena, lease), f"somebody sweeps for {part}", 30.0)
        pid = other if holder.startswith(f"{part}-2") else arena.pid(part)
        before = _epoch(arena, lease)
        at = time.time()
        with paused(pid, (signal.SIGSTOP, signal.SIGCONT)):
            arena.nats.turn("half-open")
            time.sleep(1.0)
            arena.nats.turn("fair")
            time.sleep(PAUSE_S)
        until(lambda: _epoch(arena, lease) >= before or None, "the lease of the sweeper is there")
        load.wait_until_open(BUSY // 2)
    arena.pid(part)
    return [Fault(part="paused relay", at=at)]


def _hold_the_bus_until_something_waits(arena: Arena, part: str) -> list[str]:
    """Hold the bus while runs are under way, until one has ended unheard; return the tasks that wait for its news."""
    running = "select from streams where category = 'run' and not ended"
    waiting = (
        "select distinct e.meta ->> 'correlation_id' as task from outbox o join events e using (position)"
        " where o.service = $1 and e.recorded_at > to_timestamp($2)"
    )
    for _ in range(HOLDS):
        until(lambda: len(arena.ask(running)) >= 3 or None, "three runs are under way")
        arena.nats.turn("held")
        held_at = time.time() + LOOK_S
        with contextlib.suppress(ChaosError):
            rows = until(partial(_found, arena, waiting, part, held_at), "something waits", HOLD_S)
            return [row["task"] for row in rows]
        # All of them had ended by then, and a held bus brings no new ones.
        arena.nats.turn("fair")
        time.sleep(APART_S / 4)
    raise ChaosError(f"{part} had nothing to publish while the bus was held, {HOLDS} times")


def _found(arena: Arena, query: str, *args: object) -> list[asyncpg.Record] | None:
    return arena.ask(query, *args) or None


def _epoch(arena: Arena, lease: str) -> int:
    rows = arena.ask("select epoch from lease where name = $1", lease)
    return int(rows[0]["epoch"]) if rows else 0


def _holder(arena: Arena, lease: str) -> str | None:
    rows = arena.ask("select holder from lease where name = $1 and until > clock_timestamp()", lease)
    return str(rows[0]["holder"]) if rows else None


def damage_bus(damage: Callable[[Path, random.Random], None], *, running: bool) -> Harm:
    """Damage the files of JetStream: of a running server, which is then killed, or of a stopped stack."""

    def harm(arena: Arena, load: Load) -> list[Fault]:
        del load
        at = time.time()
        if running:
            damage(arena.config.nats_dir, arena.chance)
            at = arena.kill(NATS)
            until(lambda: arena.status.processes[NATS].state != "ready" or None, "the end of nats is noticed")
            arena.pid(NATS)
        else:
            # Killed, not stopped: what a service was told and had not handled is in those files alone.
            at = arena.kill_everything()
            until(lambda: not processes.marked(f"{arena.status.run_id}/") or None, "everything is dead", 30.0)
            damage(arena.config.nats_dir, arena.chance)
            arena.start()
        return [Fault(part="bus", at=at)]

    return harm


def wipe(nats_dir: Path, chance: random.Random) -> None:
    """Remove everything that JetStream has stored."""
    del chance
    for _ in range(5):
        shutil.rmtree(nats_dir / JETSTREAM, ignore_errors=True)


def truncate(nats_dir: Path, chance: random.Random) -> None:
    """Cut the newest block of the events in half."""
    del chance
    block = _newest_block(nats_dir)
    os.truncate(block, block.stat().st_size // 2)


def flip(nats_dir: Path, chance: random.Random) -> None:
    """Flip one bit in the second half of the newest block."""
    block = _newest_block(nats_dir)
    with block.open("r+b") as file:
        place = chance.randrange(block.stat().st_size // 2, block.stat().st_size)
        file.seek(place)
        byte = file.read(1)[0]
        file.seek(place)
        file.write(bytes([byte ^ 1 << chance.randrange(8)]))


def _newest_block(nats_dir: Path) -> Path:
    blocks = sorted((nats_dir / EVENTS_STREAM).glob("*.blk"), key=lambda block: int(block.stem))
    if not blocks or not blocks[-1].stat().st_size:
        raise ChaosError(f"{nats_dir / EVENTS_STREAM} has no block to damage")
    return blocks[-1]


def cut_connections(arena: Arena, load: Load) -> list[Fault]:
    """End every connection of the services to Postgres, again and again."""
    del load
    at = time.time()
    while time.time() < at + WEATHER_S:
        arena.ask(
            "select pg_terminate_backend(pid) from pg_stat_activity where pid <> pg_backend_pid() and datname = 'autopilot'"
        )
        time.sleep(arena.chance.uniform(0.0, CUT_EVERY_S))
    return [Fault(part="connections", at=at)]


def weather(kind: Weather, server: str) -> Harm:
    """Let the connections of all services to a server be bad for a while."""

    def harm(arena: Arena, load: Load) -> list[Fault]:
        del load
        proxy = {NATS: arena.nats, POSTGRES: arena.postgres}[server]
        at = time.time()
        proxy.turn(kind)
        time.sleep(WEATHER_S)
        proxy.turn("fair")
        return [Fault(part=f"{kind} {server}", at=at)]

    return harm


def mount_failure() -> str:
    """Tell why no file system can be mounted here; empty where it can."""
    if os.geteuid() != 0 or shutil.which("mount") is None:
        return "mounting a small tmpfs needs root and `mount`"
    done = subprocess.run(
        ["unshare", "--mount", "mount", "-t", "tmpfs", "tmpfs", "/mnt"],
        capture_output=True,
        text=True,
        check=False,
        timeout=20,
    )
    return "" if done.returncode == 0 else f"no tmpfs can be mounted: {done.stderr.strip()}"


@contextlib.contextmanager
def small_disk(data_dir: Path) -> Iterator[None]:
    """Give the data directory a file system of its own that is soon full."""
    data_dir.mkdir(mode=0o700)
    options = f"size={DISK_MB}m,mode=0700"
    subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(data_dir)], check=True, timeout=20)
    try:
        yield
    finally:
        subprocess.run(["umount", "--lazy", str(data_dir)], check=True, timeout=20)


def fill_disk(arena: Arena, load: Load) -> list[Fault]:
    """Leave not one byte free for a while."""
    balloon = arena.config.data_dir / "balloon"
    at = time.time()
    with balloon.open("wb", buffering=0) as file:
        end = time.monotonic() + FULL_S
        while time.monotonic() < end:
            try:
                file.write(bytes(2**20))
            except OSError:
                try:
                    file.write(bytes(4096))
                except OSError:
                    time.sleep(0.05)
    balloon.unlink()
    return [Fault(part="disk", at=at)]
