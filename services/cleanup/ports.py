"""What cleanup's handlers need of the disk.

RemovalError   a workspace could not be removed now; the same call may succeed later
"""

from __future__ import annotations

from typing import Protocol

import msgspec

from libs.evidence.store import EvidenceStore


class RemovalError(Exception):
    """A workspace could not be removed now."""


class Workspaces(Protocol):
    """The directories in which tasks are worked on."""

    async def remove(self, task_id: str, ended: int) -> int | None:
        """Remove what a task that ended with version `ended` of its stream has left, and return the bytes
        freed.

        None if the task goes on: nothing is touched then. Doing it again, or after half of it, is fine.
        Raises RemovalError and StoreUnavailableError.
        """
        ...


class Parts(msgspec.Struct, frozen=True, kw_only=True):
    """What the service is assembled of."""

    evidence: EvidenceStore
    workspaces: Workspaces
