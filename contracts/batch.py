"""The body of `POST /v1/batches`: several tasks that are accepted together, or not at all."""

from __future__ import annotations

from typing import Annotated

import msgspec
from msgspec import Meta as Constraint

from contracts.task import OnFailedDependency, TaskSpec

#: Tasks of one batch. A batch is one append, and while it is written the scheduler decides nothing else: see ADR 40.
MAX_TASKS = 500


class BatchSpec(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Tasks that are accepted together, or not at all."""

    #: In any order. `depends_on` takes keys of tasks in this batch, or ids of tasks that were accepted before.
    tasks: Annotated[tuple[TaskSpec, ...], Constraint(min_length=1, max_length=MAX_TASKS)]
    #: What becomes of a task of this batch when one that it depends on ends as an incident or cancelled: it waits for a
    #: person, or is cancelled as well, and so are those that depend on it.
    on_failed_dependency: OnFailedDependency = "park"
