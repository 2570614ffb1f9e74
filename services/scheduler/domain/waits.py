"""Why a task does not run yet: what it waits for, how many start before it, and how long that may take."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Literal, TypeAlias

import msgspec

from contracts.admission import HELD
from services.scheduler.domain.pace import LEAST, Pace, spoken
from services.scheduler.domain.pool import Admission, Forecast, Waiting
from services.scheduler.domain.state import Task

#: slot: its turn has not come · dependency · queue: it is paused · hold: nobody gets a slot · mode · time: it goes on by
#: itself · tokens · files: another task changes the same ones · person: it goes on when somebody has looked at it.
Kind: TypeAlias = Literal["slot", "dependency", "queue", "hold", "mode", "time", "tokens", "files", "person"]
#: What a parked task waits for, by the code of its parking.
PARKED: dict[str, Kind] = {
    "no_quorum": "person",
    "proof_missing": "person",
    "dependency_broken": "person",
    "memory_ceiling": "person",
    "emergency_stop": "mode",
    "mode": "mode",
    "backing_off": "time",
    "rate_limited": "time",
    "tokens": "tokens",
    "files_overlap": "files",
}
#: What a pace of slots is about.
FREED = "a slot has come free"


class Wait(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One thing that a task waits for; it starts when none is left."""

    kind: Kind
    #: In words.
    detail: str
    #: Tasks, queue or cause concerned.
    on: tuple[str, ...] = ()
    #: When it ends by itself, as far as that is known.
    until: datetime | None = None


class Estimate(msgspec.Struct, frozen=True, kw_only=True):
    """How long a task is likely to wait, and what that rests on."""

    #: None where there is no basis; `basis` says why.
    seconds: float | None
    basis: str


def waits(state: Task, pool: Admission, others: Mapping[str, Task] | None = None) -> tuple[Wait, ...]:
    """List what keeps a task from running; nothing for one that runs or has ended.

    `others` are tasks that it depends on, as far as they are known.
    """
    entry = pool.queued(state.task_id)
    if state.ended or state.phase == "none":
        return ()
    if state.phase == "parked":
        return (_parked(state),)
    if entry is not None:
        return tuple(_queued(entry, pool, others or {}))
    if state.phase == "waiting":
        return (Wait(kind="time", detail="its change is being watched", until=state.monitor_until),)
    return ()


def _parked(state: Task) -> Wait:
    detail = f"{state.reason}; goes on with: {state.waits_for}"
    return Wait(kind=PARKED[state.parked], detail=detail, until=state.parked_until)


def _queued(entry: Waiting, pool: Admission, others: Mapping[str, Task]) -> Iterator[Wait]:
    if needs := entry.depends_on:
        told = ", ".join(_named(task_id, others.get(task_id)) for task_id in needs)
        yield Wait(kind="dependency", detail=f"waits for {told}", on=needs)
    if paused := pool.paused.get(entry.queue):
        detail = f"queue {entry.queue} is paused by {paused.actor}" + _because(paused.reason)
        yield Wait(kind="queue", detail=detail, on=(entry.queue,))
    for cause, held in pool.holds.items():
        by = f", by {held.actor}" if held.actor else ""
        detail = f"no slot is given: {HELD[cause]}{by}{_because(held.reason)}"
        yield Wait(kind="hold", detail=detail, on=(cause,))
    if not needs and not paused and not pool.holds:
        yield Wait(kind="slot", detail=f"{len(pool.running)} of {pool.limit} slots are taken")


def _named(task_id: str, other: Task | None) -> str:
    if other is None or other.phase == "none":
        return task_id
    return f"{task_id} ({other.phase} at {other.stage})" if other.run_id else f"{task_id} ({other.phase})"


def _because(reason: str) -> str:
    return f" ({reason})" if reason else ""


def estimate(known: tuple[Wait, ...], pool: Admission, ahead: Forecast | None, pace: Pace | None) -> Estimate:
    """Say how long a task waits for a slot, on the ground of how often one has come free."""
    others = [wait for wait in known if wait.kind != "slot"]
    if others or ahead is None:
        return Estimate(seconds=None, basis=f"no estimate: {_unknown(others)}")
    if pace is None:
        basis = f"no estimate: fewer than {LEAST} slots have come free since all of them were taken"
        return Estimate(seconds=None, basis=basis)
    # Of those that run beyond a limit that was lowered, nobody's slot is given on.
    surplus = max(len(pool.running) - pool.limit, 0)
    seconds = pace.wait_s(ahead.ahead + surplus + 1)
    return Estimate(seconds=seconds, basis=f"{_counted(ahead)}, {pace.told(FREED)}")


def _unknown(others: list[Wait]) -> str:
    if others and others[0].until is not None:
        return "it is queued again then"
    return "nobody can say when what it waits for is there"


def told(known: tuple[Wait, ...], ahead: Forecast | None, expected: Estimate | None) -> str:
    """Say in words why a task does not run yet; empty where nothing keeps it from it."""
    words = [_worded(wait) for wait in known]
    if expected is not None and expected.seconds is not None:
        words.append(f"about {spoken(expected.seconds)}: {expected.basis}")
    else:
        words += [] if ahead is None else [_counted(ahead)]
        words += [] if expected is None else [expected.basis]
    return "; ".join(words)


def _worded(wait: Wait) -> str:
    return wait.detail if wait.until is None else f"{wait.detail}; until {wait.until:%Y-%m-%d %H:%M:%S} UTC"


def _counted(ahead: Forecast) -> str:
    return f"{'' if ahead.exact else 'at most '}{ahead.ahead} starts ahead"
