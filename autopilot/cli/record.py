"""`evidence`: what the store of artifacts holds."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from autopilot.cli import show
from autopilot.cli.failure import UsageError
from autopilot.cli.options import AsJson, DataDir, TaskId, client


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
