"""`tasks`, `task`, `cancel`, `retry`."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Annotated, Any, get_args
from urllib.parse import unquote

import typer

from autopilot.cli import incidents, show
from autopilot.cli.client import Client
from autopilot.cli.failure import UsageError
from autopilot.cli.options import AsJson, DataDir, TaskId, client
from services.scheduler.domain.state import Phase

#: What a task can be in.
PHASES = tuple(phase for phase in get_args(Phase) if phase != "none")
#: Tasks that one answer holds at most, and that are looked through for those in one phase.
PAGE, LOOKED_THROUGH = 100, 1_000


def summary(connected: Client, final: list[dict[str, Any]]) -> None:
    """Print how tasks ended."""
    rows = [(one["id"], one["phase"], one["title"]) for one in final]
    show.table(("task", "outcome", "title"), rows, marked=(1,))
    for one in final:
        for name, value in (
            ("reason", one.get("reason", "")),
            *(("pull request", _git_command(pull)) for pull in one.get("pull_requests", ())),
            ("incident", _incident(connected, one)),
        ):
            if value:
                show.line(f"{one['id']}  {name}: {value}")


def tasks(
    phase: Annotated[
        str, typer.Option(help="Only tasks in this phase, for example running, parked or incident.")
    ] = "",
    limit: Annotated[int, typer.Option(min=1, max=500, help="So many at most.")] = 50,
    data_dir: DataDir = None,
    json: AsJson = False,
) -> None:
    """List tasks, newest first."""
    if phase and phase not in PHASES:
        raise UsageError(f"--phase: {phase!r} is none of {', '.join(PHASES)}")
    found = _latest(client(data_dir), phase, limit)
    if json:
        show.as_json(found)
        return
    rows = [
        (one["id"], one["phase"], one["stage"], one["title"], one.get("why_not_yet") or one.get("reason", ""))
        for one in found
    ]
    show.table(("task", "phase", "stage", "title", "why"), rows, marked=(1,))


def _latest(connected: Client, phase: str, limit: int) -> list[dict[str, Any]]:
    """Page through the tasks until so many are in a phase, or enough were looked through."""
    found: list[dict[str, Any]] = []
    seen, after = 0, ""
    while len(found) < limit:
        asked = {"limit": PAGE if phase else limit, "after": after}
        page = connected.scheduler("GET", "/v1/tasks", params=asked)
        found += [one for one in page["tasks"] if not phase or one["phase"] == phase]
        seen, after = seen + len(page["tasks"]), page["next"]
        if not after:
            break
        if seen >= LOOKED_THROUGH:
            show.complain(f"the latest {seen} tasks were looked through, and there are more")
            break
    return found[:limit]


def task(task_id: TaskId, data_dir: DataDir = None, json: AsJson = False) -> None:
    """Show where a task is. Also what it made, and why it waits or was given up."""
    connected = client(data_dir)
    one = connected.scheduler("GET", f"/v1/tasks/{task_id}")
    if json:
        show.as_json(one)
        return
    show.facts(
        {
            "task": one["id"],
            "key": one.get("key", ""),
            "batch": one.get("batch", ""),
            "title": one["title"],
            "phase": one["phase"],
            "stage": one["stage"],
            "engine": one["engine"],
            "priority": one["priority"],
            "queue": one["queue"],
            "attempts": ", ".join(f"{stage} {count}" for stage, count in one["attempts"].items()),
            "depends on": ", ".join(one.get("depends_on", ())),
            "why not yet": one.get("why_not_yet", ""),
            # What a parked task waits for has been told by then.
            "reason": "" if one.get("why_not_yet") else one.get("reason", ""),
            "waits for": one.get("waits_for", ""),
            "owner": one.get("owner", ""),
            "approved by": ", ".join(one.get("approvals", ())),
        }
    )
    for pull in one.get("pull_requests", ()):
        show.line(f"pull request {pull['number']} of {pull['repo']}: {pull['branch']} -> {pull['base']}")
        show.line(f"  tree   {pull['tree']}")
        show.line(f"  read   {_git_command(pull)}")
    if one.get("incident_id"):
        show.line(f"incident {one['incident_id']}: {_incident(connected, one)}")
        incidents.tell(connected, one.get("incident"))


def _git_command(pull: dict[str, Any]) -> str:
    """Say how git shows a pull request; one of the local forge is refs of a bare repository."""
    place, _, _ = pull["url"].partition("#")
    if not place.startswith("file://"):
        return str(pull["url"])
    forge = shlex.quote(show.path(Path(unquote(place.removeprefix("file://")))))
    return f"git -C {forge} show refs/pull/{pull['number']}/meta:body.md refs/pull/{pull['number']}/head"


def _incident(connected: Client, one: dict[str, Any]) -> str:
    """Name the text about an incident; empty for a task without one."""
    if not one.get("incident_id"):
        return ""
    return show.path(Path(connected.status.data_dir) / "incidents" / one["incident_id"] / "README.md")


def cancel(
    task_id: TaskId,
    reason: Annotated[str, typer.Option(help="Why.")] = "",
    data_dir: DataDir = None,
    json: AsJson = False,
) -> None:
    """Cancel a task. Its running stage is killed and its worktree removed."""
    one = client(data_dir).scheduler("POST", f"/v1/tasks/{task_id}/cancel", json={"reason": reason})
    show.as_json(one) if json else show.line(f"{one['id']} is {one['phase']}")


def retry(
    task_id: TaskId,
    memory: Annotated[
        int | None, typer.Option(help="MB that its commands may take from now on.", min=16, max=65_536)
    ] = None,
    data_dir: DataDir = None,
    json: AsJson = False,
) -> None:
    """Let a task go on. For one that was given up, cancelled or waits for a person."""
    body = {} if memory is None else {"memory_mb": memory}
    one = client(data_dir).scheduler("POST", f"/v1/tasks/{task_id}/retry", json=body)
    show.as_json(one) if json else show.line(f"{one['id']} is {one['phase']}")
