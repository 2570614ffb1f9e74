"""A live view of some tasks until all of them have ended."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

from rich.live import Live
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from autopilot.cli import show
from autopilot.cli.client import Client
from autopilot.cli.failure import passing
from contracts.task import STAGES

#: Seconds between looks, and how long a stack that does not answer (a service being restarted) is waited for.
LOOK_S, PATIENCE_S = 0.25, 60.0
#: Columns of a terminal from which each stage has a column of its own.
WIDE = 110
_ENDS = {"done", "cancelled", "incident"}


def ended(task: dict[str, Any]) -> bool:
    """Tell whether a task is over."""
    return task["phase"] in _ENDS


def needs_person(task: dict[str, Any]) -> bool:
    """Tell whether a task waits for somebody: watching it longer would not end."""
    return task["phase"] == "parked" and task.get("owner") == "operator"


class Watch:
    """Follows tasks by asking the scheduler."""

    def __init__(self, client: Client, ids: Sequence[str], keys: Sequence[str | None] = ()) -> None:
        self._client, self._ids = client, list(ids)
        #: What people call the tasks: the keys of their files where there are any.
        self._names = {task_id: key or task_id for task_id, key in zip(ids, keys, strict=False)}
        self._known: dict[str, dict[str, Any]] = {}
        self._said: dict[str, str] = {}
        self._answered = self._began = time.monotonic()

    def run(self, *, quiet: bool = False) -> list[dict[str, Any]]:
        """Watch until all have ended or wait for a person; return their last state."""
        if quiet or not show.console.is_terminal:
            while not self._look():
                if not quiet:
                    self._say()
                time.sleep(LOOK_S)
            if not quiet:
                self._say()
        else:
            with Live(console=show.console, auto_refresh=False) as live:
                over = False
                while not over:
                    over = self._look()
                    live.update(self._picture(), refresh=True)
                    if not over:
                        time.sleep(LOOK_S)
        return [self._known[task_id] for task_id in self._ids]

    def _look(self) -> bool:
        try:
            for task_id in self._ids:
                if not (task_id in self._known and ended(self._known[task_id])):
                    seen = self._client.scheduler("GET", f"/v1/tasks/{task_id}")
                    #: Seconds since the watch began, which is right after the submission.
                    self._known[task_id] = {**seen, "seconds": round(time.monotonic() - self._began, 1)}
            self._answered = time.monotonic()
        except Exception as error:
            if not passing(error) or time.monotonic() - self._answered > PATIENCE_S:
                raise
            return False
        return all(ended(one) or needs_person(one) for one in self._known.values())

    def _say(self) -> None:
        for task_id, one in self._known.items():
            now = f"{one['phase']:<10} {one['stage']}"
            if self._said.get(task_id) != now:
                self._said[task_id] = now
                name = self._names.get(task_id, "")
                show.line(f"{task_id}  {now:<22} {name if name not in ('', task_id) else one['title']}")

    def _picture(self) -> Table:
        made = Table(box=None, pad_edge=False, header_style="bold", expand=True)
        wide = show.console.width >= WIDE
        for column in ("task", *(STAGES if wide else ("progress",)), ""):
            made.add_column(column, no_wrap=True)
        made.add_column("title", no_wrap=True, overflow="ellipsis", ratio=1)
        for one in self._known.values():
            bar = _bar(one)
            made.add_row(
                self._names.get(one["id"], one["id"]),
                *(bar if wide else [Text.assemble(*bar)]),
                show.coloured(one["phase"]),
                escape(one["title"]),
            )
        return made


def _bar(one: dict[str, Any]) -> list[Text]:
    """Draw how far a task has come: done, under way, not reached."""
    reached = STAGES.index(one["stage"])
    cells = []
    for place, stage in enumerate(STAGES):
        if one["phase"] == "done" or place < reached:
            cells.append(
                Text(
                    "●" if stage in one["attempts"] else "–",
                    style="green" if stage in one["attempts"] else "dim",
                )
            )
        elif place == reached and one["attempts"]:
            cells.append(
                Text(
                    "✗" if one["phase"] == "incident" else "◐",
                    style="red" if one["phase"] == "incident" else "cyan",
                )
            )
        else:
            cells.append(Text("·", style="dim"))
    return cells
