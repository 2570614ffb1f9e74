"""What `up` does when it stays with its stack."""

from __future__ import annotations

import asyncio

from autopilot.cli import show
from autopilot.cli.client import Client
from autopilot.cli.failure import CliError
from autopilot.cli.lifecycle import announce, progress_lines
from autopilot.stack import detach
from autopilot.stack.config import StackConfig
from autopilot.stack.foreground import run_until_stopped
from autopilot.stack.progress import WHOLE, Progress
from autopilot.stack.stack import Stack
from autopilot.wiring import hooks


async def stay(config: StackConfig) -> None:
    """Run a stack until somebody asks it to stop. Raises StackError."""
    background = detach.background_report()

    def report(event: Progress) -> None:
        (background or progress_lines)(event)
        if background is None and event.part == WHOLE and event.state == "ready":
            asyncio.get_running_loop().run_in_executor(None, _announce_quietly, config)

    await run_until_stopped(Stack(config, hooks()), report)
    if background is None:
        show.line("Stopped.")


def _announce_quietly(config: StackConfig) -> None:
    try:
        announce(Client(config))
        show.line("Ctrl-C stops it.")
    except CliError as error:
        show.complain(str(error))
