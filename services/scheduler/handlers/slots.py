"""The pool and the tasks in it: who queues, who leaves, who has lost what it depends on."""

from __future__ import annotations

from contracts.admission import DependencyBroken
from contracts.message import Event
from libs.runtime.work import Work
from services.scheduler.domain.admission import (
    POOL,
    AdmissionCommand,
    Enqueue,
    admission,
)
from services.scheduler.domain.commands import (
    LoseDependency,
    Unsettled,
)
from services.scheduler.domain.state import Task
from services.scheduler.domain.walk import task
from services.scheduler.handlers.files import release


async def admit_to_pool(work: Work, wish: AdmissionCommand) -> Unsettled:
    """Let the pool decide; return what tasks say to it that have lost what they depend on."""
    lost: Unsettled = []
    for event in await work.decide(admission, POOL, wish):
        if isinstance(event, DependencyBroken):
            for dependent in event.dependents:
                lost.append((dependent, await _lose(work, dependent, event.task_id, event.outcome)))
    return lost


async def enqueue(work: Work, state: Task) -> Unsettled:
    """Queue a task behind what it depends on; what it says if that has ended without a change already is returned."""
    others = {dependency: await work.load(task, dependency) for dependency in state.depends_on}
    wish = Enqueue(
        task_id=state.task_id,
        priority=state.priority,
        queue=state.spec.queue,
        depends_on=tuple(dependency for dependency, other in others.items() if not other.fulfilled),
    )
    await admit_to_pool(work, wish)
    # Who waits for another task holds nothing that the other may wait for.
    free = await release(work, state, "waits for what it depends on") if wish.depends_on else []
    for dependency, other in others.items():
        if other.ended and not other.fulfilled:
            return [*free, (state.task_id, await _lose(work, state.task_id, dependency, other.phase))]
    return free


async def _lose(work: Work, dependent: str, dependency: str, outcome: str) -> list[Event]:
    return await work.decide(task, dependent, LoseDependency(dependency=dependency, outcome=outcome))
