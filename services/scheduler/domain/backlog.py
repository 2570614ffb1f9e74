"""How many tasks may wait: beyond that a submission is refused, unless it says that it wants to wait all the same."""

from __future__ import annotations

from collections.abc import Sequence

from contracts.task import TaskSpec
from services.scheduler.domain.pool import Admission

#: Waiting tasks beyond which nothing is taken, whoever wants it; a backlog that was set higher counts instead. So many
#: were measured: docs/scheduling.md.
CEILING = 100_000


class BacklogFullError(Exception):
    """More tasks would wait than may; nothing of what was submitted has been taken."""

    def __init__(self, pool: Admission, specs: Sequence[TaskSpec], most: int) -> None:
        super().__init__(f"{len(pool.waiting)} tasks wait, and at most {most} may")
        self.pool, self.specs, self.most = pool, specs, most

    @property
    def surplus(self) -> int:
        """Return how many of those that wait have to start before there is room."""
        return len(self.pool.waiting) + len(self.specs) - self.most

    @property
    def never(self) -> bool:
        """Tell whether there would be no room even if nobody waited."""
        return len(self.specs) > self.most


def require_room(pool: Admission, specs: Sequence[TaskSpec], *, anyway: bool) -> None:
    """Raise BacklogFullError if tasks, together, do not fit behind those that wait. `anyway` goes up to the ceiling."""
    most = max(CEILING, pool.max_queued) if anyway else pool.max_queued
    if len(pool.waiting) + len(specs) > most:
        raise BacklogFullError(pool, specs, most)
