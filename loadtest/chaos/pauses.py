"""Processes that are stopped longer than their lease lives and then wake up, believing that nothing has happened."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable
from dataclasses import dataclass
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


@dataclass(frozen=True)
class Moment:
    """What a pause finds: whom it stops, and how one sees that another has taken over from it."""

    pid: int
    taken_over: Callable[[], bool]


def pause_scheduler(arena: Arena, load: Load) -> list[Fault]:
    """Stop the leader past its lease, let the standby take over, wake it up."""

    def moment() -> Moment:
        load.keep_at_least(BUSY)
        return Moment(arena.pid("scheduler"), _passed_on(arena, "scheduler"))

    with second(arena, "scheduler"):
        at = _pause(arena, moment)
        load.wait_until_open(BUSY // 2)
    arena.pid("scheduler")
    return [Fault(part="paused scheduler", at=at)]


def pause_stage_runner(arena: Arena, load: Load) -> list[Fault]:
    """Stop a replica that has runs past its lease, let the other go on with them, wake it up."""
    mine = (
        "select from streams s join events e using (stream) where s.category = 'run' and not s.ended"
        " and e.type in ('stage_started', 'stage_resumed') and e.data ->> 'replica' = 'stage-runner-1'"
    )

    def moment() -> Moment:
        load.keep_at_least(BUSY)
        until(partial(found, arena, mine), "the first stage-runner has a run")
        return Moment(arena.pid("stage-runner"), _passed_on(arena, "stage-runner-1"))

    with second(arena, "stage-runner"):
        at = _pause(arena, moment)
        load.wait_until_open(BUSY // 2)
    arena.pid("stage-runner")
    return [Fault(part="paused stage-runner", at=at)]


def pause_relay(arena: Arena, load: Load) -> list[Fault]:
    """Stop a replica that has committed and not published, let the other sweep its outbox, wake it up."""
    part = "stage-runner"
    first, waits = f"{part}-1", "select from outbox where position = $1"
    leads = "select from lease where name = $1 and until > clock_timestamp()"
    with second(arena, part) as other:

        def moment() -> Moment:
            load.keep_at_least(BUSY)
            # One that was woken up ends for having lost its lease, and what starts anew needs the bus: wait before it is held.
            until(partial(found, arena, leads, first), f"{part} leads its runs")
            supervised = arena.pid(part)
            event = hold_the_bus_until_something_waits(arena, part)[0]
            # What the other one has committed it publishes by itself as soon as the bus answers: nothing to sweep.
            pid = supervised if _replica(arena, event["stream"]) == first else other
            return Moment(pid, lambda: not arena.ask(waits, event["position"]))

        at = _pause(arena, moment)
        load.wait_until_open(BUSY // 2)
    arena.pid(part)
    return [Fault(part="paused relay", at=at)]


def _pause(arena: Arena, moment: Callable[[], Moment]) -> float:
    """Stop a process until another has taken over from it; return when. A moment without work is drawn again."""
    for _ in range(PAUSES):
        drawn = moment()
        at = time.time()
        with paused(drawn.pid, (signal.SIGSTOP, signal.SIGCONT)):
            arena.nats.turn("fair")
            time.sleep(PAUSE_S)
            taken_over = drawn.taken_over()
        if taken_over:
            return at
    raise ChaosError(f"nobody took over from who was stopped for {PAUSE_S:g} s, {PAUSES} times")


def _passed_on(arena: Arena, lease: str) -> Callable[[], bool]:
    """Tell later whether somebody has acquired a lease since now."""
    before = _epoch(arena, lease)
    return lambda: _epoch(arena, lease) > before


def _epoch(arena: Arena, lease: str) -> int:
    rows = arena.ask("select epoch from lease where name = $1", lease)
    return int(rows[0]["epoch"]) if rows else 0


def _replica(arena: Arena, run: str) -> str | None:
    """Tell which replica works on a run."""
    rows = arena.ask(
        "select data ->> 'replica' as replica from events where stream = $1"
        " and type in ('stage_started', 'stage_resumed') order by version desc limit 1",
        run,
    )
    return str(rows[0]["replica"]) if rows else None
