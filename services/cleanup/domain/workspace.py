"""The workspace of one task: removed each time the task has ended."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from contracts.workspace import WorkspaceEvent, WorkspaceRemoved
from libs.eventsourcing.decider import Decider


class Removed(msgspec.Struct, frozen=True, kw_only=True):
    """A task's workspace is gone."""

    task_id: str
    #: Which removal it is; a task that was retried has another one. So one removal is recorded once.
    nth: int
    #: Bytes.
    freed: int


class Workspace(msgspec.Struct, frozen=True, kw_only=True):
    """How often a task's workspace was removed."""

    removals: int = 0


def decide(command: Removed, state: Workspace) -> Iterator[WorkspaceEvent]:
    """Record the removal; one that is recorded already is silence."""
    if command.nth == state.removals + 1:
        yield WorkspaceRemoved(task_id=command.task_id, freed=command.freed)


def evolve(state: Workspace, event: WorkspaceEvent) -> Workspace:
    """Count the removal."""
    return msgspec.structs.replace(state, removals=state.removals + 1)


workspace: Decider[Removed, Workspace] = Decider("workspace", Workspace(), decide, evolve)
