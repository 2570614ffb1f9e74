"""Runs one command in the sandbox that this machine offers."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from typing import TypeAlias

from libs.sandbox import capability, disk
from libs.sandbox.command import Command, Outcome
from libs.sandbox.errors import SandboxError
from libs.sandbox.launch import launch

#: Is told of each command that has ended, and how.
Listener: TypeAlias = Callable[[Command, Outcome], None]
_listener: ContextVar[Listener | None] = ContextVar("_listener", default=None)


@contextmanager
def heard(listener: Listener) -> Iterator[None]:
    """Have a listener told of every command that ends in here, in tasks started from here too."""
    token = _listener.set(listener)
    try:
        yield
    finally:
        _listener.reset(token)


async def run(command: Command, output: Path) -> Outcome:
    """Run the command and write what it prints, both streams merged, to `output` as it comes.

    Output beyond the limit is drained and counted but not kept; a last line then says how much was dropped.
    Raises SandboxUnavailableError where commands cannot be isolated: nothing is ever run without a sandbox;
    and SandboxError when this one could not be set up, or the command failed while the disk was full: neither is ever
    reported as an exit of the command.
    Cancelled, it kills all processes of the sandbox, waits for their end and raises again.
    """
    backend = capability.known()
    if backend is None:
        backend = await asyncio.to_thread(capability.discover)
    async with disk.watched(output.parent) as was_full:
        outcome = await launch(command, output, backend)
    if was_full() and outcome.exit_code != 0:
        raise SandboxError("disk", f"the volume of {output.parent} was full while the command ran")
    if listener := _listener.get():
        listener(command, outcome)
    return outcome
