"""Routes about single tasks: submit, look, cancel, retry, reprioritise."""

from __future__ import annotations

from collections.abc import Collection

import msgspec
from fastapi import APIRouter, Request
from fastapi.responses import Response

from contracts.message import key_of
from contracts.task import MemoryCeiling, Priority, TaskSpec
from libs.runtime.http import Problem, body_of, json_response
from libs.runtime.running import Running
from libs.runtime.work import Work
from services.scheduler.api.backpressure import too_many, wants_anyway
from services.scheduler.api.outlook import Outlook
from services.scheduler.api.requests import (
    actor,
    look,
    parse,
    refusal,
    require_same,
    submission_of,
    typed,
)
from services.scheduler.api.views import view
from services.scheduler.domain.admission import POOL, admission
from services.scheduler.domain.backlog import BacklogFullError, require_room
from services.scheduler.domain.commands import Cancel, Prioritise, Retry, Submit, TaskCommand
from services.scheduler.domain.identity import task_id_of
from services.scheduler.domain.pool import Admission, Forecast
from services.scheduler.domain.state import ENDS, Task
from services.scheduler.domain.submission import faults, with_engine
from services.scheduler.domain.waits import estimate, waits
from services.scheduler.domain.walk import task
from services.scheduler.handlers.settling import command
from services.scheduler.handlers.wishes import submit as accept


class CancelBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Body of a cancellation."""

    reason: str = ""


class RetryBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Body of a retry."""

    #: MB that the task's commands may take from now on.
    memory_mb: MemoryCeiling | None = None


class PriorityBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Body of a change of a task's class."""

    priority: Priority


def routes(running: Running, outlook: Outlook) -> APIRouter:
    """Build the routes."""
    router = APIRouter()

    @router.post("/tasks", status_code=202)
    async def submit(request: Request) -> Response:
        """Accept a task. The same Idempotency-Key with the same body is the same task."""
        given = await submission_of(request, running)
        spec = with_engine(typed(given.data, TaskSpec), bool(running.config.config_agent_command))
        anyway = wants_anyway(request)
        task_id = task_id_of(given.seed)
        if (await look(running, task_id)).phase == "none":
            await _require(running, spec, task_id)

        async def act(work: Work) -> tuple[Task, bool]:
            known = await work.load(task, task_id)
            if known.phase != "none":
                return known, False
            require_room(await work.load(admission, POOL), [spec], anyway=anyway)
            wish = Submit(
                task_id=task_id,
                spec=spec,
                depends_on=spec.depends_on,
                request_digest=given.digest,
                now=work.now,
            )
            await accept(work, [wish])
            return await work.load(task, task_id), True

        try:
            state, created = await running.perform(act, actor=given.actor, synthetic=spec.synthetic)
        except BacklogFullError as full:
            raise await too_many(full, outlook, anyway=anyway) from full
        require_same(given, state)
        seen = view(state, waits(state, await _pool(running)))
        return json_response(seen, 202 if created else 200, {"Location": f"/v1/tasks/{task_id}"})

    @router.get("/tasks")
    async def tasks(limit: int = 100, after: str = "") -> Response:
        """List tasks, newest first; `after` is the id of the last one seen."""
        most = min(max(limit, 1), 500)
        heads = await running.store.heads("task", limit=most, after=after and f"task-{after}")
        pool = await _pool(running)
        # One look ahead for all of them: those that it does not reach have no position here.
        ahead = {name: Forecast(ahead=place, exact=True) for place, name in enumerate(outlook.order(pool))}
        states = [await look(running, key_of(head.stream)) for head in heads]
        views = [view(state, waits(state, pool), ahead.get(state.task_id)) for state in states]
        return json_response({"tasks": views, "next": views[-1].id if len(views) == most else None})

    @router.get("/tasks/{task_id}")
    async def one(task_id: str) -> Response:
        """Show one task, and why it does not run yet."""
        state = await known_task(task_id)
        pool = await _pool(running)
        entry = pool.queued(task_id)
        others = [await look(running, name) for name in (entry.depends_on if entry else ())]
        known = waits(state, pool, {other.task_id: other for other in others})
        if not known:
            return json_response(view(state))
        kinds = {wait.kind for wait in known}
        position = outlook.position(pool, task_id) if kinds <= {"slot", "hold"} else None
        expected = estimate(known, pool, position, await outlook.pace(pool) if kinds == {"slot"} else None)
        return json_response(view(state, known, position, expected))

    @router.get("/tasks/{task_id}/events")
    async def events(task_id: str, after: int = 0) -> Response:
        """List the events of a task's own stream."""
        await known_task(task_id)
        return json_response({"events": await running.store.read_stream(f"task-{task_id}", after)})

    @router.post("/tasks/{task_id}/cancel", status_code=202)
    async def cancel(task_id: str, request: Request) -> Response:
        """Cancel a task: its running stage is killed, its worktree removed."""
        body = parse(await body_of(request) or b"{}", CancelBody)
        return await apply(
            task_id, Cancel(actor=actor(request), reason=body.reason), request, {"done"}, "cancelled"
        )

    @router.post("/tasks/{task_id}/retry", status_code=202)
    async def retry(task_id: str, request: Request) -> Response:
        """Grant one more allowance to a task that was given up or waits for a person; its ceiling of memory may change."""
        body = parse(await body_of(request) or b"{}", RetryBody)
        allowed = {"incident", "cancelled", "parked"}
        state = await known_task(task_id)
        if state.phase not in allowed:
            raise Problem(
                409,
                "Not retryable",
                f"task {task_id} is {state.phase}; only {', '.join(sorted(allowed))} can be retried",
            )
        return await apply(
            task_id, Retry(actor=actor(request), memory_mb=body.memory_mb), request, set(), "retried"
        )

    @router.post("/tasks/{task_id}/reprioritise", status_code=202)
    async def reprioritise(task_id: str, request: Request) -> Response:
        """Have a task wait in another class from now on."""
        body = parse(await body_of(request), PriorityBody)
        wish = Prioritise(priority=body.priority, actor=actor(request))
        answer = await apply(task_id, wish, request, ENDS, "reprioritised")
        outlook.forget()
        return answer

    async def known_task(task_id: str) -> Task:
        state = await look(running, task_id)
        if state.phase == "none":
            raise Problem(404, "Not found", f"there is no task {task_id!r}")
        return state

    async def apply(
        task_id: str, wish: TaskCommand, request: Request, refused: Collection[str], done: str
    ) -> Response:
        state = await known_task(task_id)
        if state.phase in refused:
            raise Problem(409, "Too late", f"task {task_id} is {state.phase} and cannot be {done}")

        async def act(work: Work) -> Task:
            await command(work, task_id, wish)
            return await work.load(task, task_id)

        state = await running.perform(act, actor=actor(request))
        return json_response(view(state, waits(state, await _pool(running))), 202)

    return router


async def _pool(running: Running) -> Admission:
    return await running.perform(lambda work: work.load(admission, POOL))


async def _require(running: Running, spec: TaskSpec, task_id: str) -> None:
    """Refuse a task that cannot be carried out as written. Raises Problem 422 that lists every fault."""
    unknown = [name for name in spec.depends_on if (await look(running, name)).phase == "none"]
    if found := faults(spec, task_id, unknown):
        raise refusal("Invalid task", [{"field": field, "detail": detail} for field, detail in found])
