"""Who changes which files: tasks whose planned files overlap go one after the other, in the order in which they asked.

A task that waits holds nothing, and waits only for tasks that hold files or asked before it; a task that holds files
waits for no other. So nobody waits in a circle.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TypeAlias, assert_never

import msgspec

from contracts.claim import ClaimEvent, Files, FilesAwaited, FilesClaimed, FilesReleased
from contracts.task import StageInput, TaskParked
from libs.eventsourcing.decider import Decider

#: There is one table of claims.
TABLE = "main"
#: Shared files that an event names.
SHOWN = 5
#: Why a task is parked until somebody comes, who may take days; tokens may come by themselves.
_FOR_SOMEBODY = frozenset({"no_quorum", "proof_missing", "dependency_broken", "memory_ceiling", "mode"})


class Claim(msgspec.Struct, frozen=True, kw_only=True):
    """The plan of a task was approved: it wants to change these files."""

    task_id: str
    files: tuple[Files, ...]


class LetGo(msgspec.Struct, frozen=True, kw_only=True):
    """A task changes nothing for now, or nothing any more."""

    task_id: str
    delivered: bool
    reason: str


ClaimCommand: TypeAlias = Claim | LetGo


class Line(msgspec.Struct, frozen=True, kw_only=True):
    """A task that waits."""

    task_id: str
    files: tuple[Files, ...]
    behind: frozenset[str]
    shared: tuple[str, ...]
    #: Those that it has waited for and whose changes are there.
    after: tuple[str, ...] = ()


class Claims(msgspec.Struct, frozen=True, kw_only=True):
    """The table as the record tells it."""

    held: dict[str, tuple[Files, ...]] = msgspec.field(default_factory=dict)
    #: In the order in which they asked.
    line: tuple[Line, ...] = ()

    def waiting(self, task_id: str) -> Line | None:
        """Find a task in the line."""
        return next((one for one in self.line if one.task_id == task_id), None)


def decide(command: ClaimCommand, state: Claims) -> Iterator[ClaimEvent]:
    """Decide who holds what; every release hands over to those in line for whom nobody is in the way any more."""
    match command:
        case Claim(task_id=task_id, files=files):
            if not files or state.held.get(task_id) == files:
                return
            others = {one: held for one, held in state.held.items() if one != task_id}
            # Who holds files already has had its turn; who comes anew stands behind those in line.
            if task_id not in state.held:
                others |= {one.task_id: one.files for one in state.line if one.task_id != task_id}
            if not _in_the_way(files, others):
                yield from _and_hand_over(FilesClaimed(task_id=task_id, files=files), state)
                return
            left = FilesReleased(task_id=task_id, delivered=False, reason="its new plan has to wait")
            for event in _and_hand_over(left, state) if _known(state, task_id) else ():
                yield event
                state = evolve(state, event)
            others = {**state.held, **{one.task_id: one.files for one in state.line}}
            met = _in_the_way(files, others)
            if not met:
                yield FilesClaimed(task_id=task_id, files=files)
                return
            shared = sorted({path for paths in met.values() for path in paths})
            yield FilesAwaited(
                task_id=task_id, files=files, behind=tuple(sorted(met)), shared=tuple(shared[:SHOWN])
            )
        case LetGo(task_id=task_id):
            if _known(state, task_id):
                event = FilesReleased(task_id=task_id, delivered=command.delivered, reason=command.reason)
                yield from _and_hand_over(event, state)


def evolve(state: Claims, event: ClaimEvent) -> Claims:
    """Fold one event into the table."""
    match event:
        case FilesClaimed(task_id=task_id, files=files):
            line = tuple(_seen_by(one, task_id, files) for one in state.line if one.task_id != task_id)
            return Claims(held={**state.held, task_id: files}, line=line)
        case FilesAwaited(task_id=task_id):
            held = {one: files for one, files in state.held.items() if one != task_id}
            entry = Line(
                task_id=task_id, files=event.files, behind=frozenset(event.behind), shared=event.shared
            )
            return Claims(held=held, line=(*(one for one in state.line if one.task_id != task_id), entry))
        case FilesReleased(task_id=task_id, delivered=delivered):
            held = {one: files for one, files in state.held.items() if one != task_id}
            line = tuple(_without(one, task_id, delivered) for one in state.line if one.task_id != task_id)
            return Claims(held=held, line=line)
        case _:
            assert_never(event)


def _and_hand_over(event: ClaimEvent, state: Claims) -> Iterator[ClaimEvent]:
    yield event
    state = evolve(state, event)
    for one in state.line:
        if not one.behind:
            yield FilesClaimed(task_id=one.task_id, files=one.files, after=one.after)


def _in_the_way(files: tuple[Files, ...], others: dict[str, tuple[Files, ...]]) -> dict[str, frozenset[str]]:
    met = {task_id: overlap(files, held) for task_id, held in others.items()}
    return {task_id: paths for task_id, paths in met.items() if paths}


def files_of(known: StageInput) -> tuple[Files, ...]:
    """List the files that a plan names; scopes are none. Simulated plans are of nothing that two could change."""
    if known.plan is None or known.spec.engine == "noop":
        return ()
    repos = {repo.name: repo for repo in known.spec.repos}
    branches = known.specification.branches if known.specification else {}
    return tuple(
        Files(
            repo_url=repos[step.repo].url,
            # Of a specification from before branches were told, as the task spells it.
            base=branches.get(step.repo, repos[step.repo].base),
            paths=step.files,
        )
        for step in known.plan.repos
        if step.files
    )


def lets_go(parked: TaskParked) -> bool:
    """Tell whether a parked task lets go of its files, since nobody knows how long it waits."""
    return parked.code in _FOR_SOMEBODY or (parked.code == "tokens" and parked.until is None)


def overlap(some: tuple[Files, ...], others: tuple[Files, ...]) -> frozenset[str]:
    """List the paths that two plans have in common in one repository, on one branch."""
    return frozenset(
        path
        for one in some
        for other in others
        if (one.repo_url, one.base) == (other.repo_url, other.base)
        for path in set(one.paths) & set(other.paths)
    )


def _seen_by(one: Line, task_id: str, files: tuple[Files, ...]) -> Line:
    """Stand behind what holds a file that is wanted, and no longer behind what holds others now."""
    behind = one.behind | {task_id} if overlap(one.files, files) else one.behind - {task_id}
    return msgspec.structs.replace(one, behind=behind)


def _without(one: Line, task_id: str, delivered: bool) -> Line:
    if task_id not in one.behind:
        return one
    after = (*one.after, task_id) if delivered else one.after
    return msgspec.structs.replace(one, behind=one.behind - {task_id}, after=after)


def _known(state: Claims, task_id: str) -> bool:
    return task_id in state.held or state.waiting(task_id) is not None


claims: Decider[ClaimCommand, Claims] = Decider("claim", Claims(), decide, evolve)
