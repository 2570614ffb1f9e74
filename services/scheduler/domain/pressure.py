"""Whether the machine has the memory for one more task; said with a margin, so that the answer does not flicker."""

from __future__ import annotations

import msgspec

from services.scheduler.domain.admission import Hold, Release

#: What must be there beyond the need before admission goes on: a share of it, and no more than half of what is beyond it.
MARGIN = 0.25


class Room(msgspec.Struct, frozen=True, kw_only=True):
    """What was measured and what is needed, in MB."""

    total_mb: int
    available_mb: int
    #: Kept free for the stack and the machine.
    reserve_mb: int
    #: What one task may take.
    task_mb: int
    #: Whose memory it is.
    of: str = "machine"
    #: Why no task could ever be started here; empty where one could.
    hopeless: str = ""

    @property
    def needed_mb(self) -> int:
        """Return what must be available for a task to start."""
        return self.reserve_mb + self.task_mb

    @property
    def enough_mb(self) -> float:
        """Return what must be available before admission goes on after a shortage."""
        return self.needed_mb + min(self.needed_mb * MARGIN, max(self.total_mb - self.needed_mb, 0) / 2)


def judged(room: Room | None, held: bool) -> Hold | Release | None:
    """Say what follows for admission; nothing where it stays as it is. What nobody measures holds nobody back."""
    if room is None:
        return Release(cause="host_memory", actor="scheduler") if held else None
    if not held and room.available_mb < room.needed_mb:
        detail = (
            f"{room.available_mb} MB of the {room.of}'s memory are available, {room.needed_mb} MB are needed:"
            f" {room.task_mb} for a task and {room.reserve_mb} in reserve"
        )
        return Hold(cause="host_memory", detail=detail, actor="scheduler")
    if held and room.available_mb >= room.enough_mb:
        return Release(cause="host_memory", actor="scheduler")
    return None
