"""News of a stack's start, one event for each part and state."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Iterator
from typing import Literal

import msgspec

from autopilot.stack.errors import StackError

#: The name under which the stack as a whole reports; its `ready` or `failed` is the last event.
WHOLE = "stack"


class Progress(msgspec.Struct, frozen=True, kw_only=True):
    """Says that a part of the stack has come into a state."""

    part: str
    state: Literal["starting", "ready", "failed"]
    #: Since the part began.
    seconds: float
    detail: str | None = None


Report = Callable[[Progress], None]


def silent(_: Progress) -> None:
    """Report to nobody."""


@contextlib.contextmanager
def reported(report: Report, part: str, detail: str | None = None) -> Iterator[None]:
    """Report the begin of a part and its end, good or bad."""
    clock = asyncio.get_running_loop().time
    begun = clock()
    report(Progress(part=part, state="starting", seconds=0.0, detail=detail))
    try:
        yield
    except (OSError, StackError) as error:
        report(Progress(part=part, state="failed", seconds=clock() - begun, detail=str(error)))
        raise
    report(Progress(part=part, state="ready", seconds=clock() - begun))
