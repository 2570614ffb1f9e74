"""Routes about tasks that come together."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
from fastapi import APIRouter, Request
from fastapi.responses import Response

from contracts.batch import MAX_TASKS
from contracts.task import TaskSpec
from libs.runtime.http import Problem, json_response
from libs.runtime.running import Running
from libs.runtime.work import Work
from services.scheduler.api.backpressure import too_many, wants_anyway
from services.scheduler.api.outlook import Outlook, ends
from services.scheduler.api.requests import look, look_all, refusal, require_same, submission_of
from services.scheduler.domain.admission import POOL, admission
from services.scheduler.domain.backlog import BacklogFullError, require_room
from services.scheduler.domain.batch import (
    MAX_OUTSIDE,
    Fault,
    outside,
    read_batch,
    reference_faults,
    resolved,
)
from services.scheduler.domain.commands import Submit
from services.scheduler.domain.identity import batch_id_of, member_id_of
from services.scheduler.domain.progress import progress
from services.scheduler.domain.reading import joined
from services.scheduler.domain.state import Task
from services.scheduler.domain.walk import task
from services.scheduler.handlers.wishes import submit

#: Tasks that are looked up at once until one is not there.
AT_ONCE = 50


def routes(running: Running, outlook: Outlook) -> APIRouter:
    """Build the routes."""
    router = APIRouter()

    @router.post("/batches", status_code=202)
    async def accept(request: Request) -> Response:
        """Accept several tasks, all or none. The same Idempotency-Key with the same body is the same batch."""
        given, anyway = await submission_of(request, running), wants_anyway(request)
        batch = batch_id_of(given.seed)
        first = member_id_of(batch, 0)
        known = await look(running, first)
        if known.phase != "none":
            require_same(given, known)
        wanted, found = read_batch(given.data, bool(running.config.config_agent_command))
        specs = wanted.tasks if wanted else ()
        if specs and known.phase == "none":
            found += await _lost_references(running, specs)
        _require(found)
        assert wanted is not None, "what cannot be read has a fault"
        ids = [member_id_of(batch, place) for place in range(len(specs))]
        dependencies = resolved(specs, ids)

        async def act(work: Work) -> tuple[Task, bool]:
            state = await work.load(task, first)
            if state.phase != "none":
                return state, False
            require_room(await work.load(admission, POOL), specs, anyway=anyway)
            wishes = [
                Submit(
                    task_id=task_id,
                    spec=spec,
                    depends_on=needs,
                    request_digest=given.digest,
                    now=work.now,
                    batch=batch,
                    on_failed_dependency=wanted.on_failed_dependency,
                )
                for task_id, spec, needs in zip(ids, specs, dependencies, strict=True)
            ]
            await submit(work, wishes)
            return await work.load(task, first), True

        synthetic = all(spec.synthetic for spec in specs)
        try:
            state, created = await running.perform(act, actor=given.actor, synthetic=synthetic)
        except BacklogFullError as full:
            raise await too_many(full, outlook, anyway=anyway) from full
        require_same(given, state)
        answer = {
            "batch": batch,
            "tasks": [{"key": spec.key, "id": task_id} for spec, task_id in zip(specs, ids, strict=True)],
        }
        return json_response(answer, 202 if created else 200, {"Location": f"/v1/batches/{batch}"})

    @router.get("/batches/{batch}")
    async def one(batch: str) -> Response:
        """Tell how far a batch is, who holds up whom, and how often one of its tasks ends."""
        tasks = await _members(running, batch)
        if not tasks:
            raise Problem(404, "Not found", f"there is no batch {batch[:100]!r}")
        members = {one.task_id for one in tasks}
        needed = {name for one in tasks if not one.ended for name in one.depends_on} - members
        others = await look_all(running, sorted(needed))
        pace = await ends(running, members)
        return json_response(progress(batch, tasks, others, pace))

    return router


async def _members(running: Running, batch: str) -> list[Task]:
    """Read the tasks of a batch in the order of its body; none where there is no such batch."""
    found: list[Task] = []
    for first in range(0, MAX_TASKS, AT_ONCE):
        some = await look_all(running, [member_id_of(batch, first + place) for place in range(AT_ONCE)])
        found += [one for one in some.values() if one.phase != "none"]
        if len(found) < first + AT_ONCE:
            break
    return found


async def _lost_references(running: Running, specs: Sequence[TaskSpec]) -> list[Fault]:
    """Look up what a batch depends on. A task that exists goes on existing, so that this is no part of the append."""
    named = outside(specs)
    if len(named) > MAX_OUTSIDE:
        detail = f"they depend on {len(named)} tasks outside of the batch; {MAX_OUTSIDE} are the most that are taken"
        return [Fault(field="tasks", detail=detail)]
    existing = {name for name, one in (await look_all(running, named)).items() if one.phase != "none"}
    return reference_faults(specs, existing)


def _require(found: list[Fault]) -> None:
    """Raise Problem 422 with all faults if there is one."""
    if found:
        place = "" if found[0].task is None else f"tasks[{found[0].task}]"
        raise refusal("Invalid batch", msgspec.to_builtins(found), joined(place, found[0].field))
