"""Runs one command in the sandbox that this machine offers."""

from __future__ import annotations

import asyncio
from pathlib import Path

from libs.sandbox import capability
from libs.sandbox.command import Command, Outcome
from libs.sandbox.launch import launch


async def run(command: Command, output: Path) -> Outcome:
    """Run the command and write what it prints, both streams merged, to `output` as it comes.

    Output beyond the limit is drained and counted but not kept; a last line then says how much was dropped.
    Raises SandboxUnavailableError where commands cannot be isolated: nothing is ever run without a sandbox;
    and SandboxError when this one could not be set up, which is never reported as an exit of the command.
    Cancelled, it kills all processes of the sandbox, waits for their end and raises again.
    """
    backend = capability.known()
    if backend is None:
        backend = await asyncio.to_thread(capability.discover)
    return await launch(command, output, backend)
