"""What a running stack tells others about itself: `stack.json`."""

from __future__ import annotations

import contextlib
import datetime as dt
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Literal

import msgspec

from autopilot.stack import processes

ProcessState = Literal[
    "waiting", "starting", "ready", "hung", "restarting", "given-up", "stopping", "stopped"
]
StackState = Literal["starting", "ready", "stopping"]


class ProcessStatus(msgspec.Struct, frozen=True, kw_only=True):
    """One supervised process as it is now."""

    pid: int | None
    #: Tells this process from a later one with the same id.
    identity: str | None = None
    state: ProcessState
    #: How often it was started again since the stack's start.
    restarts: int
    #: When it came into this state.
    since: dt.datetime
    #: How it last ended, why it was given up, or since when it does not answer. It stays when that is over.
    error: str | None = None


class TopologyStatus(msgspec.Struct, frozen=True, kw_only=True):
    """The last look at the bus's streams and consumers."""

    ok: bool
    at: dt.datetime
    error: str | None = None


class JournalStatus(msgspec.Struct, frozen=True, kw_only=True):
    """Whether the record is being sealed."""

    ok: bool
    #: Since when.
    at: dt.datetime
    error: str | None = None


class StackStatus(msgspec.Struct, frozen=True, kw_only=True):
    """A running stack: addresses without credentials, and process ids."""

    version: Literal[1] = 1
    #: The supervisor's; 0 where a container engine keeps the processes.
    pid: int
    identity: str
    #: Marks every process of this run, see `processes.MARK`.
    run_id: str
    state: StackState
    started_at: dt.datetime
    data_dir: str
    addresses: Mapping[str, str]
    #: Where a browser on the machine finds the dashboard, if not at its address above.
    published: str | None = None
    ports: Mapping[str, int]
    watchdog_pid: int | None = None
    processes: Mapping[str, ProcessStatus]
    topology: TopologyStatus | None = None
    journal: JournalStatus | None = None

    @property
    def contained(self) -> bool:
        """Whether a container engine keeps the processes."""
        return self.pid == 0

    @property
    def alive(self) -> bool:
        """Whether the supervisor that wrote this is still running; containers have none that could be asked."""
        return self.contained or processes.is_running(self.pid, self.identity)


def now() -> dt.datetime:
    """Tell the time as the status file writes it."""
    return dt.datetime.now(dt.UTC)


def read(path: Path) -> StackStatus | None:
    """Read a status file; None where there is none that can be read. It may be stale: see `StackStatus.alive`."""
    with contextlib.suppress(OSError, msgspec.DecodeError):
        return msgspec.json.decode(path.read_bytes(), type=StackStatus)
    return None


def write(path: Path, status: StackStatus) -> None:
    """Replace the status file as a whole, so that a reader never sees half of one; raises `OSError`."""
    draft = path.with_name(f".{path.name}.tmp")
    draft.write_bytes(msgspec.json.format(msgspec.json.encode(status), indent=2) + b"\n")
    os.replace(draft, path)
