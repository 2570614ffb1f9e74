"""`replay`: a task as it was."""

from __future__ import annotations

import asyncio
from typing import Annotated

import typer

from autopilot.cli import show
from autopilot.cli.failure import CliError
from autopilot.cli.options import AsJson, DataDir
from autopilot.stack.config import StackConfig


def replay(
    task_id: Annotated[str, typer.Option("--task", metavar="ID", help="The task.")],
    at: Annotated[
        int | None, typer.Option("--at", min=1, metavar="POS", help="As of this position; default now.")
    ] = None,
    data_dir: DataDir = None,
    json: AsJson = False,
) -> None:
    """Print the state of a task as its events up to a position make it, folded with the code of this release."""
    # Only here, because the services and the driver of Postgres take longer to load than most commands to run.
    from autopilot.cli import folding

    past = asyncio.run(folding.state_at(StackConfig.from_arguments(data_dir), task_id, at))
    if past is None:
        raise CliError(f"there was no task {task_id}{f' at position {at}' if at else ''}")
    if json:
        show.as_json(past)
        return
    show.facts({name: value for name, value in past.items() if name != "state"})
    show.as_json(past["state"])
