"""Reads a task's own stream as the attempts that led to its incident."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from contracts.message import Recorded
from contracts.task import Activity, ResolutionAwaited, StageRequested, WorkspaceRequested


class Made(msgspec.Struct, frozen=True, kw_only=True):
    """What an attempt made of one repository."""

    repo: str
    #: SHA-256 of the diff as it is in the evidence, or of the submitted patch where none was made.
    patch: str = ""
    #: Git's hash of the changed tree.
    tree: str = ""


class Attempt(msgspec.Struct, frozen=True, kw_only=True):
    """One attempt that failed."""

    stage: Activity
    attempt: int
    #: Gates that refused; empty when the stage itself failed.
    gates: tuple[int, ...] = ()
    #: Run or reviews that failed.
    cause: str
    #: The plan's digest; empty before there was one.
    plan: str = ""
    made: tuple[Made, ...] = ()
    code: str
    detail: str
    findings: tuple[str, ...] = ()


class Events(msgspec.Struct, frozen=True, kw_only=True):
    """Where the record tells all this."""

    stream: str
    first_version: int = 0
    last_version: int = 0
    first_position: int = 0
    last_position: int = 0


def attempts(history: Sequence[Recorded]) -> tuple[Attempt, ...]:
    """List the failed attempts in order."""
    numbers: dict[Activity, int] = {}
    found: list[Attempt] = []
    for recorded in history:
        match recorded.event:
            case (
                StageRequested(stage=stage, attempt=number) | WorkspaceRequested(stage=stage, attempt=number)
            ):
                numbers[stage] = number
            case ResolutionAwaited() as awaited:
                found.append(_attempt(awaited, numbers.get(awaited.stage, 0)))
    return tuple(found)


def _attempt(awaited: ResolutionAwaited, number: int) -> Attempt:
    subject, failure = awaited.subject, awaited.failure
    changes = {change.repo: change for change in subject.changes}
    made = []
    for step in subject.plan.repos if subject.plan else ():
        change = changes.get(step.repo)
        diff = change.diff.digest if change is not None and change.diff is not None else step.patch_digest
        made.append(Made(repo=step.repo, patch=diff, tree=change.tree if change else ""))
    return Attempt(
        stage=awaited.stage,
        attempt=number,
        gates=awaited.gates,
        cause=awaited.cause,
        plan=subject.plan.digest if subject.plan else "",
        made=tuple(made),
        code=failure.code,
        detail=failure.detail,
        findings=tuple(dict.fromkeys(found.code for found in failure.findings)),
    )


def events(task_id: str, history: Sequence[Recorded]) -> Events:
    """Say which events of the record these are."""
    if not history:
        return Events(stream=f"task-{task_id}")
    first, last = history[0], history[-1]
    return Events(
        stream=last.stream,
        first_version=first.version,
        last_version=last.version,
        first_position=first.position,
        last_position=last.position,
    )
