"""Options that several commands share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from autopilot.cli.client import Client
from autopilot.cli.failure import CliError
from autopilot.stack.config import StackConfig
from contracts.message import TOKEN

#: Digits of the longest number.
DIGITS = 18

DataDir = Annotated[
    Path | None,
    typer.Option("--data-dir", help="The stack's directory; default $AUTOPILOT_DATA_DIR or .autopilot."),
]


def task_named(text: str) -> str:
    """Take a task's id. Raises CliError for what cannot be one: in an address it would name something else."""
    if not TOKEN.match(text):
        raise CliError(f"Not found: there is no task {text[:100]!r}")
    return text


def number(text: str) -> int | None:
    """Read a number that the stack can record; None for what is none."""
    return int(text) if text.isascii() and text.isdigit() and len(text) <= DIGITS else None


TaskId = Annotated[str, typer.Argument(metavar="TASK", help="The task's id.", callback=task_named)]
#: A FILE that means standard output.
STDOUT = Path("-")
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON for programs.")]


def client(data_dir: Path | None) -> Client:
    """Connect to the running stack. Raises UnreachableError."""
    return Client(StackConfig.from_arguments(data_dir))
