"""`queues`, `queue`, `reprioritise`, `drain`: who steers the scheduler, and how."""

from __future__ import annotations

import re
import time
from typing import Annotated, Any, get_args

import typer

from autopilot.cli import show
from autopilot.cli.client import Client
from autopilot.cli.failure import INTERRUPTED, CliError, UsageError, passing
from autopilot.cli.options import AsJson, DataDir, TaskId, client
from contracts.task import Name, Priority

queue = typer.Typer(
    help="Pause, resume or weigh a queue.", no_args_is_help=True, rich_markup_mode=show.MARKUP
)

_NAME: str = get_args(Name)[1].pattern

#: Seconds between two looks at what still runs, and for how long a scheduler that does not answer is waited for.
LOOK_S, PATIENCE_S = 0.5, 60.0

QueueName = Annotated[
    str, typer.Argument(metavar="QUEUE", help="As tasks name it; `default` for the others.")
]
Reason = Annotated[str, typer.Option(help="Why; it is shown to those who wait.")]


def queues(data_dir: DataDir = None, json: AsJson = False) -> None:
    """List the queues: what waits and runs in each, its weight, and who has paused it."""
    found = client(data_dir).scheduler("GET", "/v1/queues")["queues"]
    if json:
        show.as_json(found)
        return
    rows = [(one["name"], one["weight"], one["waiting"], one["running"], _paused(one)) for one in found]
    show.table(("queue", "weight", "waiting", "running", "paused"), rows)


@queue.command()
def pause(name: QueueName, reason: Reason = "", data_dir: DataDir = None, json: AsJson = False) -> None:
    """Start none of its tasks until it is resumed. Those that run go on."""
    _tell(client(data_dir).scheduler("POST", _path(name, "pause"), json={"reason": reason}), as_json=json)


@queue.command()
def resume(name: QueueName, data_dir: DataDir = None, json: AsJson = False) -> None:
    """Let its tasks start again."""
    _tell(client(data_dir).scheduler("POST", _path(name, "resume")), as_json=json)


@queue.command()
def weight(
    name: QueueName,
    starts: Annotated[
        int, typer.Argument(metavar="STARTS", help="Starts that it has in each round, 1 or more.")
    ],
    data_dir: DataDir = None,
    json: AsJson = False,
) -> None:
    """Change its share: how many of its tasks start for each one of a queue of weight 1."""
    _tell(client(data_dir).scheduler("PUT", _path(name, "weight"), json={"weight": starts}), as_json=json)


def reprioritise(
    task_id: TaskId,
    priority: Annotated[
        str, typer.Argument(metavar="urgent|normal|low", help="The class it waits in from now on.")
    ],
    data_dir: DataDir = None,
    json: AsJson = False,
) -> None:
    """Move a task to another class. It counts whenever the task waits for a slot, now and later."""
    if priority not in get_args(Priority):
        raise UsageError(f"{priority!r} is none of {', '.join(get_args(Priority))}")
    body = {"priority": priority}
    one = client(data_dir).scheduler("POST", f"/v1/tasks/{task_id}/reprioritise", json=body)
    show.as_json(one) if json else show.line(f"{one['id']} is {one['priority']}, and {one['phase']}")


def drain(
    undo: Annotated[bool, typer.Option("--undo", help="Let tasks start again.")] = False,
    wait: Annotated[bool, typer.Option("--wait", help="Stay until nothing runs any more.")] = False,
    reason: Reason = "",
    data_dir: DataDir = None,
    json: AsJson = False,
) -> None:
    """Start nothing any more, before a stop for example. What runs comes to its end; what waits keeps its place."""
    if undo and (wait or reason):
        raise UsageError("--undo: goes with neither --wait nor --reason")
    connected = client(data_dir)
    if undo:
        state = connected.scheduler("DELETE", "/v1/drain")
    else:
        state = connected.scheduler("PUT", "/v1/drain", json={"reason": reason})
    if wait:
        state = _idle(connected, state, quiet=json)
    if json:
        show.as_json(state)
    elif undo:
        show.line(f"Tasks start again; {state['running']} run, {state['waiting']} wait.")
    else:
        show.line(f"{_draining(state)} `autopilot drain --undo` lets them start again.")


def _idle(connected: Client, state: dict[str, Any], *, quiet: bool) -> dict[str, Any]:
    """Wait until nothing runs. Raises CliError where somebody lets tasks start again meanwhile."""
    told, answered = -1, time.monotonic()
    try:
        while state["running"]:
            if not quiet and state["running"] != told:
                told = state["running"]
                show.line(_draining(state))
            time.sleep(LOOK_S)
            try:
                state, answered = connected.scheduler("GET", "/v1/drain"), time.monotonic()
            except CliError as error:
                if not passing(error) or time.monotonic() - answered > PATIENCE_S:
                    raise
            if not state["draining"]:
                raise CliError("somebody lets tasks start again; nothing is waited for any more")
    except KeyboardInterrupt:
        show.complain("no longer waited for, but still draining; `autopilot drain --undo` ends that")
        raise typer.Exit(INTERRUPTED) from None
    return state


def _draining(state: dict[str, Any]) -> str:
    return f"No task starts any more; {state['running']} run, {state['waiting']} wait."


def _path(name: str, what: str) -> str:
    if not re.fullmatch(_NAME, name):
        raise UsageError(f"QUEUE: {name[:60]!r} is no name; letters, digits and . _ - make one")
    return f"/v1/queues/{name}/{what}"


def _tell(one: dict[str, Any], *, as_json: bool) -> None:
    if as_json:
        show.as_json(one)
        return
    stopped = _paused(one)
    show.line(
        f"queue {one['name']}: weight {one['weight']}, {one['waiting']} wait, {one['running']} run"
        + (f", paused {stopped}" if stopped else "")
    )


def _paused(one: dict[str, Any]) -> str:
    if not one.get("paused"):
        return ""
    return f"by {one.get('paused_by', '')}" + (f": {one['reason']}" if one.get("reason") else "")
