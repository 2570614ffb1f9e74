"""How a command ends when it does not end well.

CliError
├── UsageError            bad input: exit 2
├── UnreachableError      no stack answers: exit 3
└── RefusedError          the stack answered with a problem: exit 1, or 2 where the input was at fault
"""

from __future__ import annotations

from typing import Any

#: Exit status of a command that was ended by Ctrl-C, as shells count it.
INTERRUPTED = 130


class CliError(Exception):
    """A command failed."""

    code = 1


class UsageError(CliError):
    """What was given cannot be used; the message names the field and the remedy."""

    code = 2


class UnreachableError(CliError):
    """No stack answers; `autopilot up` starts one."""

    code = 3


class RefusedError(CliError):
    """The stack refused; carries its answer (RFC 9457)."""

    def __init__(self, status: int, problem: dict[str, Any]) -> None:
        super().__init__(f"{problem.get('title', status)}: {problem.get('detail', 'no detail was given')}")
        self.status, self.problem = status, problem
        self.code = 2 if status in (400, 413, 422) else 1


def passing(error: Exception) -> bool:
    """Tell whether the same call may succeed in a moment: a service is being restarted, or busy."""
    return isinstance(error, UnreachableError) or getattr(error, "status", 0) == 503
