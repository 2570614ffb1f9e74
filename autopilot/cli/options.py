"""Options that several commands share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from autopilot.cli.client import Client
from autopilot.stack.config import StackConfig

DataDir = Annotated[
    Path | None,
    typer.Option("--data-dir", help="The stack's directory; default $AUTOPILOT_DATA_DIR or .autopilot."),
]
TaskId = Annotated[str, typer.Argument(metavar="TASK", help="The task's id.")]
#: A FILE that means standard output.
STDOUT = Path("-")
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON for programs.")]


def client(data_dir: Path | None) -> Client:
    """Connect to the running stack. Raises UnreachableError."""
    return Client(StackConfig.from_arguments(data_dir))
