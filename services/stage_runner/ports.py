"""What the handlers need of the outside: somebody who carries stages out."""

from __future__ import annotations

from typing import Protocol

from contracts.task import RunRequest


class Executor(Protocol):
    """Carries out runs in the background and records how they end."""

    #: Whether no run may be begun.
    halted: bool

    def free(self) -> int:
        """Return how many more runs may be started now."""
        ...

    def start(self, request: RunRequest) -> None:
        """Begin a run that has been claimed."""
        ...

    def stop(self, run_id: str, reason: str) -> bool:
        """Kill a run's processes and record that it was cancelled; False if it is not under way here."""
        ...

    def hear(self, run_id: str) -> None:
        """Let a run that waits for tokens look for its answer."""
        ...
