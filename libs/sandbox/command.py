"""What is asked of the sandbox, and what it answers."""

from __future__ import annotations

import enum
import os
from collections.abc import Mapping

from msgspec import Struct


class Mount(Struct, frozen=True, kw_only=True):
    """A file or directory of the host that the command sees.

    The source is resolved on the host, symlinks included: name only paths that no untrusted command can
    replace.
    """

    source: str
    target: str
    writable: bool = False
    #: make the target a symbolic link to the source, which then is a path inside, instead of showing it
    link: bool = False


class Limits(Struct, frozen=True, kw_only=True):
    """Where a command is stopped.

    Memory counts the resident pages of all its processes and what it stored in its own /tmp, /dev/shm and
    home.
    """

    #: seconds of real time
    wall_s: float = 900
    #: MiB
    memory_mb: int = 1024
    #: bytes of output that are kept
    output_bytes: int = 10 * 2**20
    #: processes and threads
    processes: int = 256
    #: MiB for any single file
    file_mb: int = 1024


class Channel(Struct, frozen=True, kw_only=True):
    """The writable end of a pipe whose reading end stays with the caller; its `fd` goes into `pass_fds`."""

    fd: int

    @classmethod
    def open(cls) -> tuple[int, Channel]:
        """Make a pipe and return its reading end and the channel; both are the caller's to close."""
        reader, writer = os.pipe()
        return reader, cls(fd=writer)


class Command(Struct, frozen=True, kw_only=True):
    """A shell command, and all of the world that it gets."""

    #: run with `sh -c`
    script: str
    #: absolute path inside the sandbox
    cwd: str
    #: the complete environment, besides defaults for HOME, TMPDIR and LANG
    env: Mapping[str, str]
    mounts: tuple[Mount, ...]
    limits: Limits = Limits()
    #: what people call it, where that is not the script
    title: str = ""
    #: stands as AUTOPILOT_COOKIE in the environment of every process, so that `orphans.sweep` finds them
    cookie: str = ""
    #: open descriptors (3 and above) that the command inherits under the same numbers
    pass_fds: tuple[int, ...] = ()


class Ended(enum.StrEnum):
    """Who ended the command."""

    EXITED = "exited"
    WALL = "wall"
    MEMORY = "memory"
    #: more processes and threads than the limit; where the kernel only refuses them, the command may go on
    PROCESSES = "processes"
    CANCELLED = "cancelled"


class Outcome(Struct, frozen=True, kw_only=True):
    """How a command ended, as measured from outside of it."""

    ended: Ended
    #: None unless it exited; 128 + n when signal n ended it
    exit_code: int | None
    #: the signal behind an exit code of 128 + n
    signal: int | None
    duration_s: float
    #: seconds of processor time of all its processes; what other work on the machine slows hardly changes it
    cpu_s: float
    #: MiB, what is shared counted once; the highest of samples 10 to 100 ms apart
    peak_memory_mb: float
    #: the most processes and threads that were seen at once
    peak_processes: int = 0
    #: all that was printed, kept or not
    output_bytes: int
    #: whether some of it was dropped
    truncated: bool
