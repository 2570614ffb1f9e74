"""`events`: the record's events as NATS tools show them, without such a tool."""

from __future__ import annotations

import contextlib
import json as jsonlib
import sys
from collections.abc import Iterable, Iterator
from datetime import datetime
from fnmatch import fnmatchcase
from typing import Annotated, Any
from urllib.parse import quote

import msgspec
import typer

from autopilot.cli import show
from autopilot.cli.client import Client
from autopilot.cli.options import AsJson, DataDir, client, task_named
from contracts.message import Meta, Recorded, Unknown
from libs.messaging import cloudevents

app = typer.Typer(rich_markup_mode=show.MARKUP)

#: Events that one answer holds at most.
PAGE = 500


@app.callback(invoke_without_command=True)
def events(
    context: typer.Context,
    task_id: Annotated[str, typer.Option("--task", help="Only events of this task.")] = "",
    types: Annotated[
        list[str] | None,
        typer.Option(
            "--type", metavar="TYPE", help="Only this type, `stage_*` for several; may be repeated."
        ),
    ] = None,
    follow: Annotated[bool, typer.Option("--follow", help="Stay and print what comes.")] = False,
    since: Annotated[int | None, typer.Option(min=0, help="Only events after this position.")] = None,
    limit: Annotated[int, typer.Option(min=1, max=PAGE)] = 200,
    full: Annotated[
        bool, typer.Option("--full", help="With subject, headers and payload, as on the bus.")
    ] = False,
    data_dir: DataDir = None,
    json: AsJson = False,
) -> None:
    """Print events from the record, oldest first; `events get ID` prints one."""
    if context.invoked_subcommand is not None:
        return
    connected = client(data_dir)
    if task_id:
        connected.scheduler("GET", f"/v1/tasks/{task_named(task_id)}")
    if follow:
        # Ctrl-C is how following ends.
        with contextlib.suppress(KeyboardInterrupt):
            _follow(connected, since, task_id, types or (), full=full, json=json)
        return
    found = _page(connected, since or 0, task_id, types or (), limit)
    if json:
        show.as_json(found)
    elif full:
        for one in found["events"]:
            _in_full(one)
    else:
        rows = [
            (one["position"], one["time"], one["stream"], one["version"], one["type"])
            for one in found["events"]
        ]
        show.table(("position", "time", "stream", "version", "type"), rows)


@app.command("get")
def get(
    event_id: Annotated[str, typer.Argument(metavar="ID", help="The event's id.")],
    data_dir: DataDir = None,
    json: AsJson = False,
) -> None:
    """Print one event with subject, headers and payload, as on the bus."""
    found = client(data_dir).dashboard("GET", f"/api/v1/events/{quote(event_id, safe='')}")
    show.as_json(found) if json else _in_full(found)


def _page(connected: Client, since: int, task_id: str, types: Iterable[str], limit: int) -> dict[str, Any]:
    """Collect events from as many answers as it takes; `next` is where to go on, `more` whether there is any already."""
    chosen: list[dict[str, Any]] = []
    while True:
        parameters = {
            "since": since,
            "limit": PAGE if types else limit,
            **({"task": task_id} if task_id else {}),
        }
        found = connected.dashboard("GET", "/api/v1/events", params=parameters)
        for place, one in enumerate(found["events"]):
            if _is_of(types, one["type"]):
                chosen.append(one)
            if len(chosen) == limit:
                more = found["more"] or place + 1 < len(found["events"])
                return {"events": chosen, "next": one["position"], "more": more}
        since = found["next"]
        if not found["more"]:
            return {"events": chosen, "next": since, "more": False}


def _follow(
    connected: Client, since: int | None, task_id: str, types: Iterable[str], *, full: bool, json: bool
) -> None:
    for position, type_, text in _chosen(connected.events(since, task_id), types):
        data = jsonlib.loads(text)
        if json:
            sys.stdout.write(jsonlib.dumps(data, ensure_ascii=False) + "\n")
            sys.stdout.flush()
        elif full:
            _in_full(data)
        else:
            show.line(f"{position:>8}  {data.get('time', '')}  {data.get('task_id', ''):<14} {type_}")


def _chosen(followed: Iterator[tuple[int, str, str]], types: Iterable[str]) -> Iterator[tuple[int, str, str]]:
    return (one for one in followed if _is_of(types, one[1]))


def _is_of(types: Iterable[str], type_: str) -> bool:
    return not types or any(fnmatchcase(type_, pattern) for pattern in types)


def _in_full(shown: dict[str, Any]) -> None:
    """Print an event in the layout of `nats sub`: it is encoded here as it is for the bus."""
    message = cloudevents.encode(_recorded(shown))
    show.line(f"[#{shown['position']}] {message.subject}")
    for name, value in message.headers.items():
        show.line(f"{name}: {value}")
    show.line()
    show.line(message.payload.decode())
    show.line()


def _recorded(shown: dict[str, Any]) -> Recorded:
    """Read an event as the dashboard's API shows it."""
    return Recorded(
        id=shown["id"],
        stream=shown["stream"],
        version=shown["version"],
        type=shown["type"],
        schema_version=shown["schema_version"],
        event=Unknown(type=shown["type"], data=shown["data"]),
        meta=msgspec.convert(shown["meta"], type=Meta),
        recorded_at=datetime.fromisoformat(shown["time"]),
        prev_hash=shown["prev_hash"],
        hash=shown["hash"],
        position=shown["position"],
        xid=shown["xid"],
    )
