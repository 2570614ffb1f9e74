"""What the system tests say about tasks."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import msgspec
from fastapi import FastAPI

from contracts.message import Recorded
from contracts.task import TaskSpec
from libs.runtime import http
from libs.runtime.running import Running
from libs.runtime.service import Service
from libs.testing.invariants import breaches_at_rest
from libs.testing.world import World
from services.alerting.app import service as alerting
from services.cleanup.app import service as cleanup
from services.dashboard.app import service as dashboard
from services.gate.app import service as gate
from services.resolution.app import service as resolution
from services.scheduler.app import service as scheduler
from services.scheduler.domain.admission import Limit
from services.scheduler.domain.commands import Submit, TaskCommand
from services.scheduler.domain.mode import ChangeMode
from services.scheduler.domain.state import Task
from services.scheduler.domain.walk import task
from services.scheduler.handlers.settling import command
from services.scheduler.handlers.wishes import change_mode, operate
from services.scheduler.handlers.wishes import submit as take_in
from services.stage_runner.adapters.resumption import look
from services.stage_runner.app import service as stage_runner

#: The four that carry a task, and the three that watch.
CORE: tuple[Service, ...] = (scheduler, stage_runner, gate, resolution)
SERVICES: tuple[Service, ...] = (*CORE, alerting, cleanup, dashboard)
#: Seconds after which every redelivery, retry and sweep is due.
PATIENCE_S = 20


@asynccontextmanager
async def opened(services: Sequence[Service], data_dir: Path) -> AsyncIterator[World]:
    """Start services over a directory; in the end they are gone as after a crash."""
    world = World(services, str(data_dir))
    try:
        await world.start_all()
        yield world
    finally:
        for name in list(world.running):
            await world.crash(name)


@asynccontextmanager
async def api_of(world: World) -> AsyncIterator[httpx.AsyncClient]:
    """Open the scheduler's API, of whichever process runs the scheduler at the time."""

    async def ready() -> dict[str, str]:
        return {}

    built: dict[Running, FastAPI] = {}

    async def app(scope: Any, receive: Any, send: Any) -> None:
        running = world.running["scheduler"]
        if running not in built:
            built[running] = http.build(running, ready)
        await built[running](scope, receive, send)

    headers = {"authorization": "Bearer token-of-the-tests"}
    transport = httpx.ASGITransport(app=app)
    async with httpx.AsyncClient(transport=transport, base_url="http://scheduler", headers=headers) as client:
        yield client


def spec(**values: Any) -> TaskSpec:
    """Make a synthetic task unless told otherwise."""
    given = {
        "title": "a task",
        "engine": "noop",
        "synthetic": True,
        "repos": [{"name": "one", "url": "nowhere"}],
        **values,
    }
    return msgspec.convert(given, TaskSpec)


async def submit(world: World, task_id: str, wanted: TaskSpec | None = None, **values: Any) -> None:
    """Submit a task as the API does."""
    wanted = wanted or spec(**values)

    async def act(work: Any) -> None:
        wish = Submit(
            task_id=task_id, spec=wanted, depends_on=wanted.depends_on, request_digest=task_id, now=work.now
        )
        await take_in(work, [wish])

    await world.running["scheduler"].perform(act, synthetic=wanted.synthetic)


async def tell(world: World, task_id: str, wish: TaskCommand) -> None:
    """Give a command to a task as the API does."""
    await world.perform("scheduler", lambda work: command(work, task_id, wish))


async def switch(world: World, mode: Any) -> None:
    """Change the mode as the API does."""
    wish = ChangeMode(mode=mode, actor="operator", reason="a test")
    await world.perform("scheduler", lambda work: change_mode(work, wish))


async def limit(world: World, max_concurrent: int) -> None:
    """Change how many tasks may run as the API does."""
    wish = Limit(max_concurrent=max_concurrent, actor="operator")
    await world.perform("scheduler", lambda work: operate(work, wish))


async def state_of(world: World, task_id: str) -> Task:
    """Look at a task as the scheduler sees it."""
    state: Task = await world.perform("scheduler", lambda work: work.load(task, task_id))
    return state


async def restart(world: World, name: str) -> None:
    """Kill a service if it lives and start it again; a stage-runner looks for its unfinished runs first."""
    if name in world.running:
        await world.crash(name)
    running = await world.start(name)
    if name == "stage-runner":
        await look(running)


async def wait_out(world: World) -> None:
    """Let every redelivery, back-off and sweep come due and be handled.

    Real processes on a busy machine meet failures that pass: the task is then between two tries, not at rest.
    """
    for _ in range(4):
        await world.pass_time(PATIENCE_S)


async def sound(world: World) -> list[Recorded]:
    """Return all events of a world at rest, after holding them to every invariant."""
    events = await world.events()
    assert breaches_at_rest(events) == []
    return events


def stages(events: Sequence[Recorded], task_id: str = "t1") -> list[str]:
    """List the stages that were asked for, with their attempts: `verify 2`."""
    return [f"{event.event.stage} {event.event.attempt}" for event in _of(events, task_id, "stage_requested")]


def verdicts(events: Sequence[Recorded], task_id: str = "t1") -> dict[int, list[str]]:
    """List what each gate said."""
    said: dict[int, list[str]] = {}
    for event in _of(events, task_id, "gate_decided"):
        said.setdefault(event.event.gate, []).append(event.event.verdict)
    return said


def end(events: Sequence[Recorded], task_id: str = "t1") -> str:
    """Name the last event of a task."""
    return next(event.type for event in reversed(events) if event.stream == f"task-{task_id}")


def facts_of(events: Sequence[Recorded], task_id: str, *types: str) -> list[Any]:
    """List a task's events of some types, without what is around them."""
    return [event.event for event in _of(events, task_id, *types)]


def _of(events: Sequence[Recorded], task_id: str, *types: str) -> list[Any]:
    return [
        event for event in events if event.type in types and getattr(event.event, "task_id", "") == task_id
    ]
