"""`batch`: how far the tasks of one submission are."""

from __future__ import annotations

from typing import Annotated, Any
from urllib.parse import quote

import typer

from autopilot.cli import show
from autopilot.cli.options import AsJson, DataDir, client

#: Tasks that others wait for, as many as are shown.
BLOCKERS = 10


def batch(
    batch_id: Annotated[str, typer.Argument(metavar="BATCH", help="As `task` shows it.")],
    data_dir: DataDir = None,
    json: AsJson = False,
) -> None:
    """Show how far a batch is: its tasks, who holds up whom, and how often one ends."""
    found = client(data_dir).scheduler("GET", f"/v1/batches/{quote(batch_id, safe='')}")
    if json:
        show.as_json(found)
        return
    pace = found["pace"]
    show.facts(
        {
            "batch": found["batch"],
            "tasks": ", ".join(f"{count} {phase}" for phase, count in found["phases"].items()),
            "ended": "all" if found["ended"] else "",
            "pace": f"one has ended every {pace['every_s']:.1f} s over the last {pace['over']}"
            if pace
            else "",
            "dependents": "are cancelled with what they depend on"
            if found["on_failed_dependency"] == "cancel"
            else "",
        }
    )
    names = {one["id"]: one["key"] or one["id"] for one in found["tasks"]}
    for one in found["blockers"][:BLOCKERS]:
        show.line(f"{one['key'] or one['id']} ({one['id']}, {one['phase']}) holds up {one['blocks']}")
    rows = [
        (one["id"], one["key"] or "", one["phase"], one["stage"], _blocked(one, names), one["title"])
        for one in found["tasks"]
    ]
    show.table(("task", "key", "phase", "stage", "waits for", "title"), rows, marked=(2,))


def _blocked(one: dict[str, Any], names: dict[str, str]) -> str:
    return ", ".join(names.get(name, name) for name in one["blocked_by"])
