"""Files that a plan names: claimed by one task at a time, and handed over when it lets go of them."""

from __future__ import annotations

from contracts.claim import FilesClaimed
from contracts.message import Event
from contracts.task import (
    MonitorWaitStarted,
    TaskCancelled,
    TaskDone,
    TaskGivenUp,
    TaskParked,
)
from libs.runtime.work import Work
from services.scheduler.domain.claims import TABLE, ClaimCommand, LetGo, claims, lets_go
from services.scheduler.domain.commands import (
    Unpark,
    Unsettled,
)
from services.scheduler.domain.state import Task
from services.scheduler.domain.walk import task


async def let_go(work: Work, state: Task, event: Event) -> Unsettled:
    """Release the files of a task that has changed them, or will not; return what tasks say that waited for them."""
    match event:
        case MonitorWaitStarted() | TaskDone():
            return await release(work, state, "has a pull request", delivered=True)
        case TaskCancelled() | TaskGivenUp():
            return await release(work, state, "has ended without a change")
        case TaskParked() if lets_go(event):
            return await release(work, state, "waits for somebody")
        case _:
            return []


async def release(work: Work, state: Task, reason: str, *, delivered: bool = False) -> Unsettled:
    if state.spec.engine == "noop":
        return []
    return await hand_over(work, LetGo(task_id=state.task_id, delivered=delivered, reason=reason))


async def hand_over(work: Work, wish: ClaimCommand) -> Unsettled:
    """Wake the tasks to which files are handed over."""
    woken: Unsettled = []
    for event in await work.decide(claims, TABLE, wish):
        if isinstance(event, FilesClaimed) and event.task_id != wish.task_id:
            unpark = Unpark(reason="its files are free", codes=("files_overlap",), after=event.after)
            woken.append((event.task_id, await work.decide(task, event.task_id, unpark)))
    return woken
