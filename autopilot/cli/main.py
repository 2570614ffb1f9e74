"""The `autopilot` command: every subcommand is registered here, in the order of `--help`."""

from __future__ import annotations

import sys
from collections.abc import Callable
from importlib import metadata
from typing import Annotated

import typer

from autopilot.cli import (
    backup,
    batch,
    budget,
    demo,
    dlq,
    events,
    init,
    journal,
    lifecycle,
    operations,
    rebuild,
    record,
    replay,
    show,
    submit,
    system,
    tasks,
)
from autopilot.cli.failure import CliError
from autopilot.stack.errors import StackError


def _tell_version(wanted: bool) -> None:
    if wanted:
        show.line(f"autopilot {metadata.version('autopilot')}")
        raise typer.Exit


app = typer.Typer(
    name="autopilot",
    rich_markup_mode=show.MARKUP,
    help="Software tasks in, pull requests with proof out. Exit codes: 0 fine, 1 failed, 2 usage, 3 no stack.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)


@app.callback()
def _program(
    version: Annotated[
        bool,
        typer.Option("--version", is_eager=True, callback=_tell_version, help="Show the version and exit."),
    ] = False,
) -> None:
    """Take the options that belong to no command."""


COMMANDS: tuple[Callable[..., None], ...] = (
    lifecycle.up,
    lifecycle.down,
    lifecycle.status,
    lifecycle.doctor,
    demo.demo,
    init.init,
    submit.submit,
    tasks.tasks,
    tasks.task,
    batch.batch,
    tasks.cancel,
    tasks.retry,
    operations.reprioritise,
    operations.queues,
    operations.drain,
    submit.schema,
    record.evidence,
    rebuild.rebuild,
    replay.replay,
    backup.backup,
    backup.restore,
    system.alerts,
    system.mode,
    budget.budget,
)
for command in COMMANDS:
    app.command()(command)
app.add_typer(events.app, name="events")
app.add_typer(operations.queue, name="queue")
app.add_typer(system.config, name="config")
app.add_typer(dlq.dlq, name="dlq")
app.add_typer(journal.journal, name="journal")


def main() -> None:
    """Run the command line."""
    try:
        app()
    except CliError as error:
        show.complain(str(error))
        sys.exit(error.code)
    except StackError as error:
        show.complain(str(error))
        sys.exit(1)
    except BrokenPipeError:
        sys.stderr.close()
        sys.exit(0)
