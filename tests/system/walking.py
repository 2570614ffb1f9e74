"""What the system tests say about tasks."""

from __future__ import annotations

from typing import Any

import msgspec

from contracts.task import TaskSpec
from libs.runtime.service import Service
from libs.testing.world import World
from services.alerting.app import service as alerting
from services.cleanup.app import service as cleanup
from services.dashboard.app import service as dashboard
from services.gate.app import service as gate
from services.resolution.app import service as resolution
from services.scheduler.app import service as scheduler
from services.scheduler.domain.state import Task
from services.scheduler.domain.walk import Submit, TaskCommand, task
from services.scheduler.handlers import command
from services.stage_runner.app import service as stage_runner

SERVICES: tuple[Service, ...] = (scheduler, stage_runner, gate, resolution, alerting, cleanup, dashboard)


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
        await command(work, task_id, wish)

    await world.perform("scheduler", act)


async def tell(world: World, task_id: str, wish: TaskCommand) -> None:
    """Give a command to a task as the API does."""
    await world.perform("scheduler", lambda work: command(work, task_id, wish))


async def state_of(world: World, task_id: str) -> Task:
    """Look at a task as the scheduler sees it."""
    state: Task = await world.perform("scheduler", lambda work: work.load(task, task_id))
    return state
