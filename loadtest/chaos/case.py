"""What a case is, and what came of one."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec

from loadtest.chaos.arena import Arena
from loadtest.chaos.load import Load


class Fault(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that was done to the stack."""

    #: Service whose own events tell the recovery; anything else means: whoever writes first.
    part: str
    #: When it happened, seconds since 1970; for a fault that lasts, its beginning.
    at: float
    #: The tasks that it interrupted, where the harm knows them.
    tasks: list[str] = []


#: Does the harm, waits until it is over and returns what was done.
Harm = Callable[[Arena, Load], list[Fault]]


def anywhere() -> str:
    """Nothing keeps the case from being carried out."""
    return ""


@contextlib.contextmanager
def plainly(data_dir: Path) -> Iterator[None]:
    """Prepare nothing."""
    del data_dir
    yield


class Case(msgspec.Struct, frozen=True, kw_only=True):
    """One named way to break the stack."""

    name: str
    harm: Harm
    #: Prepares the data directory before the stack's first start.
    prepared: Callable[[Path], contextlib.AbstractContextManager[None]] = plainly
    #: Tells why the case cannot be carried out on this machine; empty where it can.
    impossible: Callable[[], str] = anywhere
    #: Whether real tasks are part of the load. Their commands take the machine, and so the time, that a bounded recovery
    #: is measured with.
    real: bool = True
    #: Whether the figures of recovery are bounded: architecture section 5.
    bounded: bool = False


class Result(msgspec.Struct, kw_only=True):
    """What came of one case."""

    case: str
    #: Why it was not carried out; then nothing below means anything.
    skipped: str = ""
    tasks: int = 0
    events: int = 0
    #: Pull requests of the real tasks among them; each was looked up on its forge.
    pull_requests: int = 0
    #: Tasks that had neither ended nor been parked when the patience ended.
    lost: int = 0
    #: How many, and the first of each rule.
    breaches: int = 0
    examples: list[str] = msgspec.field(default_factory=list)
    #: By fault: seconds until the last interrupted task had its first new event; and how many were interrupted.
    recovered_s: list[float] = msgspec.field(default_factory=list)
    interrupted: list[int] = msgspec.field(default_factory=list)
    bounded: bool = False
    seconds: float = 0.0
    #: Load average of the machine (1 min) before the case began: what the figures of time were taken beside.
    load_before: float = 0.0
    #: What kept the case from being judged: a stack that did not come up again, for example.
    error: str = ""

    @property
    def sound(self) -> bool:
        """Whether nothing was lost, doubled or broken."""
        return not (self.breaches or self.error or self.lost)
