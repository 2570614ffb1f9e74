"""The time that a run may take: somebody is told when most of it is used, and at its end it is stopped.

Seconds are those of the loop's clock, CLOCK_MONOTONIC on Linux: while the machine is suspended it stands still.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

import msgspec

from contracts.task import Failure, RunRequest, StageRequested

T = TypeVar("T")

#: Share of its time after which a run is told of.
WARN_AT = 0.8


class Box(msgspec.Struct, frozen=True, kw_only=True):
    """What a run may take, and which setting of the task says so."""

    setting: str
    seconds: float

    def failure(self, stage: str) -> Failure:
        """Tell of a run that was stopped: another attempt may be faster, but a task whose time is up has none left."""
        if self.setting == "budget.task_wall_s":
            detail = (
                f"{stage} was stopped: the task has had all of its time ({self.setting});"
                " a person's retry gives it as much again"
            )
            return Failure(kind="impossible", code="task_wall", detail=detail)
        detail = f"{stage} was stopped after {self.seconds:.0f} s, its limit ({self.setting})"
        return Failure(kind="persistent", code="stage_wall", detail=detail)


class OverrunError(Exception):
    """A run came to the end of its time and was stopped."""

    def __init__(self, box: Box, elapsed_s: float) -> None:
        super().__init__(f"stopped after {elapsed_s:.1f} s ({box.setting})")
        self.box, self.elapsed_s = box, elapsed_s


def box_of(request: RunRequest) -> Box | None:
    """Say what a run may take: its stage's limit, or what is left of its task's if that is less.

    Workspace and withdrawal are no stages, and keep to limits of their own.
    """
    if not isinstance(request, StageRequested):
        return None
    budget = request.input.spec.budget
    left = budget.task_s - request.input.worked_s
    if left < budget.stage_s:
        return Box(setting="budget.task_wall_s", seconds=round(max(0.0, left), 3))
    return Box(setting="budget.stage_wall_s", seconds=budget.stage_s)


async def boxed(box: Box | None, work: Awaitable[T], warn: Callable[[float], Awaitable[None]]) -> T:
    """Do the work within its time. `warn` is told the seconds elapsed when most of it is used; raises OverrunError."""
    if box is None:
        return await work
    loop = asyncio.get_running_loop()
    began = loop.time()
    told: list[asyncio.Task[None]] = []

    async def tell() -> None:
        await warn(loop.time() - began)

    warning = loop.call_later(WARN_AT * box.seconds, lambda: told.append(asyncio.create_task(tell())))
    timer = asyncio.timeout(box.seconds)
    try:
        async with timer:
            return await work
    except TimeoutError:
        if not timer.expired():
            raise
        raise OverrunError(box, loop.time() - began) from None
    finally:
        warning.cancel()
        # Recorded before the end is, or not at all: a run that has ended says nothing more.
        await asyncio.gather(*told, return_exceptions=True)
