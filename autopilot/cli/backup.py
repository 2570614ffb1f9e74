"""`backup`, `restore`."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Annotated

import typer

from autopilot.cli import show
from autopilot.cli.failure import UsageError
from autopilot.cli.options import STDOUT, AsJson, DataDir
from autopilot.stack.config import StackConfig


def backup(
    file: Annotated[
        Path,
        typer.Argument(
            metavar="FILE", help="Where to (`-`: standard output); holds no credential of the stack."
        ),
    ],
    data_dir: DataDir = None,
    json: AsJson = False,
) -> None:
    """Write the record and all files that belong to it into one file, while the stack goes on."""
    if json and file == STDOUT:
        raise UsageError("--json: standard output is where the backup goes")
    # Only here, because the driver of Postgres takes longer to load than most commands to run.
    from autopilot.cli import recovery

    counts = asyncio.run(recovery.back_up_stack(StackConfig.from_arguments(data_dir), file))
    if file == STDOUT:
        # Standard output has the backup itself.
        show.complain(_said(counts, "wrote the backup"))
    else:
        _tell(counts, f"wrote {show.path(file.absolute())}", json=json)


def restore(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="What `backup` wrote.")],
    key: Annotated[
        str, typer.Option("--public-key", metavar="HEX", help="The key that must have signed the record.")
    ] = "",
    data_dir: DataDir = None,
    json: AsJson = False,
) -> None:
    """Make a new data directory from a backup, after verifying it; `autopilot up` then goes on from there."""
    from autopilot.cli import recovery

    config = StackConfig.from_arguments(data_dir, ephemeral_ports=True)
    counts = asyncio.run(recovery.restore_stack(config, file, key))
    _tell(counts, f"restored into {show.path(config.data_dir)}", json=json)


def _tell(counts: dict[str, int], what: str, *, json: bool) -> None:
    if json:
        show.as_json({"rows": counts})
    else:
        show.line(_said(counts, what))


def _said(counts: dict[str, int], what: str) -> str:
    return f"{what}: {counts.get('events', 0)} events, {counts.get('file', 0)} pieces of files"
