"""The body of `POST /v1/batches`: several tasks that are accepted together, or not at all."""

from __future__ import annotations

from typing import Annotated

import msgspec
from msgspec import Meta as Constraint

from contracts.task import TaskSpec

#: Tasks of one batch. A batch is one append, and while it is written the scheduler decides nothing else: see ADR 40.
MAX_TASKS = 500


class BatchSpec(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Tasks that are accepted together, or not at all."""

    #: In any order. `depends_on` takes keys of tasks in this batch, or ids of tasks that were accepted before.
    tasks: Annotated[tuple[TaskSpec, ...], Constraint(min_length=1, max_length=MAX_TASKS)]
