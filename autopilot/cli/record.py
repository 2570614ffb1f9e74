"""`events`, `evidence`: what the record and the store of artifacts hold."""

from __future__ import annotations

import contextlib
import json as jsonlib
import sys
from typing import Annotated
from urllib.parse import quote

import typer

from autopilot.cli import show
from autopilot.cli.client import Client
from autopilot.cli.failure import UsageError
from autopilot.cli.options import AsJson, DataDir, TaskId, client


def events(
    task_id: Annotated[str, typer.Option("--task", help="Only events of this task.")] = "",
    follow: Annotated[bool, typer.Option("--follow", help="Stay and print what comes.")] = False,
    since: Annotated[int | None, typer.Option(min=0, help="Only events after this position.")] = None,
    limit: Annotated[int, typer.Option(min=1, max=500)] = 200,
    data_dir: DataDir = None,
    json: AsJson = False,
) -> None:
    """Print events from the record, oldest first."""
    connected = client(data_dir)
    if task_id:
        connected.scheduler("GET", f"/v1/tasks/{quote(task_id, safe='')}")
    if follow:
        # Ctrl-C is how following ends.
        with contextlib.suppress(KeyboardInterrupt):
            _follow(connected, since, task_id, json=json)
        return
    parameters = {"since": since or 0, "limit": limit, **({"task": task_id} if task_id else {})}
    found = connected.dashboard("GET", "/api/v1/events", params=parameters)
    if json:
        show.as_json(found)
        return
    rows = [
        (one["position"], one["time"], one["stream"], one["version"], one["type"]) for one in found["events"]
    ]
    show.table(("position", "time", "stream", "version", "type"), rows)


def _follow(connected: Client, since: int | None, task_id: str, *, json: bool) -> None:
    for position, type_, text in connected.events(since, task_id):
        data = jsonlib.loads(text)
        if json:
            sys.stdout.write(jsonlib.dumps(data, ensure_ascii=False) + "\n")
            sys.stdout.flush()
        else:
            show.line(f"{position:>8}  {data.get('time', '')}  {data.get('task_id', ''):<14} {type_}")


def evidence(
    task_id: TaskId,
    digest: Annotated[str, typer.Argument(help="Print this artifact (a digest or its beginning).")] = "",
    data_dir: DataDir = None,
    json: AsJson = False,
) -> None:
    """List a task's evidence, or print one artifact."""
    connected = client(data_dir)
    found = connected.dashboard("GET", f"/api/v1/tasks/{task_id}/evidence")["evidence"]
    if digest:
        chosen = [one for one in found if one["digest"].startswith(digest)]
        if len({one["digest"] for one in chosen}) != 1:
            raise UsageError(
                f"{digest!r} names {'several artifacts' if chosen else 'no artifact'} of task {task_id}"
            )
        for chunk in connected.download(f"/api/v1/evidence/{chosen[0]['digest']}"):
            sys.stdout.buffer.write(chunk)
        sys.stdout.buffer.flush()
        return
    if json:
        show.as_json(found)
        return
    rows = [(one["stage"], one["attempt"], one["name"], one["size"], one["digest"][:16]) for one in found]
    show.table(("stage", "attempt", "name", "bytes", "digest"), rows)
