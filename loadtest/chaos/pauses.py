"""Processes that are stopped longer than their lease lives and then wake up, believing that nothing has happened."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable
from functools import partial

from loadtest.chaos.arena import Arena, ChaosError, until
from loadtest.chaos.case import Fault
from loadtest.chaos.holding import found, hold_the_bus_until_something_waits
from loadtest.chaos.load import BUSY, Load
from loadtest.chaos.replica import paused, second

#: Seconds for which a leader is paused: more than twice as long as any lease lives.
PAUSE_S = 7.0
#: Pauses until one meets work in hand.
PAUSES = 5


def pause_scheduler(arena: Arena, load: Load) -> list[Fault]:
    """Stop the leader past its lease, let the standby take over, wake it up."""

    def busy() -> None:
        load.keep_at_least(BUSY)

    with second(arena, "scheduler"):
        at = _pause(arena, "scheduler", busy, lambda: arena.pid("scheduler"))
        load.wait_until_open(BUSY // 2)
    arena.pid("scheduler")
    return [Fault(part="paused scheduler", at=at)]


def pause_stage_runner(arena: Arena, load: Load) -> list[Fault]:
    """Stop a replica that has runs past its lease, let the other go on with them, wake it up."""
    mine = (
        "select from streams s join events e using (stream) where s.category = 'run' and not s.ended"
        " and e.type in ('stage_started', 'stage_resumed') and e.data ->> 'replica' = 'stage-runner-1'"
    )

    def busy() -> None:
        load.keep_at_least(BUSY)
        until(partial(found, arena, mine), "the first stage-runner has a run")

    with second(arena, "stage-runner"):
        at = _pause(arena, "stage-runner-1", busy, lambda: arena.pid("stage-runner"))
        load.wait_until_open(BUSY // 2)
    arena.pid("stage-runner")
    return [Fault(part="paused stage-runner", at=at)]


def pause_relay(arena: Arena, load: Load) -> list[Fault]:
    """Stop a replica that has committed and not published, let the other sweep its outbox, wake it up."""
    part, lease = "stage-runner", "relay-stage-runner"
    with second(arena, part) as other:
        supervised = 0

        def outage() -> None:
            nonlocal supervised
            load.keep_at_least(BUSY)
            # One that was woken up ends for having lost its lease, and what starts anew needs the bus: wait before it is held.
            until(lambda: _holder(arena, f"{part}-1"), f"{part} leads its runs")
            supervised = arena.pid(part)
            hold_the_bus_until_something_waits(arena, part)

        def sweeper() -> int:
            return other if _holder(arena, lease) == f"{part}-2" else supervised

        at = _pause(arena, lease, outage, sweeper)
        load.wait_until_open(BUSY // 2)
    arena.pid(part)
    return [Fault(part="paused relay", at=at)]


def _pause(arena: Arena, lease: str, ready: Callable[[], None], holder: Callable[[], int]) -> float:
    """Stop the holder of a lease until another has taken it over; return when. A moment without work is drawn again."""
    for _ in range(PAUSES):
        ready()
        pid, before = holder(), _epoch(arena, lease)
        at = time.time()
        with paused(pid, (signal.SIGSTOP, signal.SIGCONT)):
            arena.nats.turn("fair")
            time.sleep(PAUSE_S)
            taken = _epoch(arena, lease) > before
        if taken:
            return at
    raise ChaosError(
        f"nobody took {lease} over while its holder was stopped for {PAUSE_S:g} s, {PAUSES} times"
    )


def _epoch(arena: Arena, lease: str) -> int:
    rows = arena.ask("select epoch from lease where name = $1", lease)
    return int(rows[0]["epoch"]) if rows else 0


def _holder(arena: Arena, lease: str) -> str | None:
    rows = arena.ask("select holder from lease where name = $1 and until > clock_timestamp()", lease)
    return str(rows[0]["holder"]) if rows else None
