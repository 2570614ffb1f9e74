"""How far a batch is: what its tasks wait for among each other, and who holds up how many."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

import msgspec

from services.scheduler.domain.pace import Pace
from services.scheduler.domain.state import Phase, Task


class Member(msgspec.Struct, frozen=True, kw_only=True):
    """One task of a batch."""

    key: str | None
    id: str
    title: str
    phase: Phase
    stage: str
    reason: str
    #: Tasks, of this batch or not, whose change has to be there first.
    blocked_by: tuple[str, ...]


class Blocker(msgspec.Struct, frozen=True, kw_only=True):
    """A task that waits for none, and others of a batch for it: what has to be looked after first."""

    id: str
    #: What it is called in its batch.
    key: str | None
    phase: Phase
    #: How many of the batch cannot start before it, directly or behind others.
    blocks: int


class Progress(msgspec.Struct, frozen=True, kw_only=True):
    """A batch for the outside."""

    batch: str
    on_failed_dependency: str
    total: int
    ended: bool
    phases: dict[Phase, int]
    #: How often one of it has ended lately; None where too few have.
    pace: Pace | None
    #: Who holds up most comes first.
    blockers: tuple[Blocker, ...]
    #: In the order of the request.
    tasks: tuple[Member, ...]


def progress(batch: str, tasks: Sequence[Task], others: Mapping[str, Task], pace: Pace | None) -> Progress:
    """Tell how far a batch is. `others` are the tasks outside of it that it depends on."""
    known = {**others, **{one.task_id: one for one in tasks}}
    needs = {one.task_id: _unmet(one, known) for one in tasks}
    return Progress(
        batch=batch,
        on_failed_dependency=tasks[0].on_failed_dependency,
        total=len(tasks),
        ended=all(one.ended for one in tasks),
        phases=dict(Counter(one.phase for one in tasks)),
        pace=pace,
        blockers=_blockers(needs, known),
        tasks=tuple(
            Member(
                key=one.spec.key,
                id=one.task_id,
                title=one.spec.title,
                phase=one.phase,
                stage=one.stage,
                reason=one.reason,
                blocked_by=needs[one.task_id],
            )
            for one in tasks
        ),
    )


def _unmet(task: Task, known: Mapping[str, Task]) -> tuple[str, ...]:
    if task.ended:
        return ()
    return tuple(name for name in task.depends_on if name not in known or not known[name].fulfilled)


def _blockers(needs: Mapping[str, tuple[str, ...]], known: Mapping[str, Task]) -> tuple[Blocker, ...]:
    waiting_for: dict[str, list[str]] = {}
    for task_id, names in needs.items():
        for name in names:
            waiting_for.setdefault(name, []).append(task_id)
    found = [
        Blocker(
            id=name,
            key=known[name].spec.key,
            phase=known[name].phase,
            blocks=len(_behind(name, waiting_for)),
        )
        for name in waiting_for
        if name in known and not needs.get(name)
    ]
    return tuple(sorted(found, key=lambda one: (-one.blocks, one.id)))


def _behind(name: str, waiting_for: Mapping[str, list[str]]) -> set[str]:
    behind: set[str] = set()
    new = [name]
    while new:
        for one in waiting_for.get(new.pop(), ()):
            if one not in behind:
                behind.add(one)
                new.append(one)
    return behind
