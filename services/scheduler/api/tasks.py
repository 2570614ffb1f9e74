"""Routes about single tasks: submit, look, cancel, retry, reprioritise."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from itertools import islice
from typing import Annotated

import msgspec
from fastapi import APIRouter, Query, Request
from fastapi.responses import Response

from contracts.message import key_of
from contracts.task import MemoryCeiling, Priority, TaskSpec
from libs.runtime.http import Problem, body_of, json_response
from libs.runtime.running import Running
from libs.runtime.work import Work
from services.scheduler.api.backpressure import too_many, wants_anyway
from services.scheduler.api.outlook import Outlook
from services.scheduler.api.requests import (
    Reason,
    actor,
    look,
    look_all,
    parse,
    pool_of,
    refusal,
    require_same,
    submission_of,
    typed,
)
from services.scheduler.api.views import TaskView, view
from services.scheduler.domain.admission import POOL, admission
from services.scheduler.domain.backlog import BacklogFullError, require_room
from services.scheduler.domain.commands import Cancel, Prioritise, Retry, Submit, TaskCommand
from services.scheduler.domain.identity import task_id_of
from services.scheduler.domain.reading import SHOWN
from services.scheduler.domain.state import ENDS, Task
from services.scheduler.domain.submission import faults, with_engine
from services.scheduler.domain.waits import waits
from services.scheduler.domain.walk import task
from services.scheduler.handlers.settling import command
from services.scheduler.handlers.wishes import submit as accept

#: Tasks that one answer lists at most.
MOST = 500
#: A version of a stream, as the record can hold it.
Version = Annotated[int, Query(ge=0, le=2**62)]


class CancelBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Body of a cancellation."""

    reason: Reason = ""


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
        seen = view(state, waits(state, await pool_of(running)))
        return json_response(seen, 202 if created else 200, {"Location": f"/v1/tasks/{task_id}"})

    @router.get("/tasks")
    async def tasks(
        limit: int = 100,
        after: str = "",
        ids: Annotated[tuple[str, ...], Query(alias="id")] = (),
    ) -> Response:
        """List tasks, newest first; `after` is the id of the last one seen. With `id`, those that are named."""
        if ids:
            return json_response({"tasks": await shown(_named(ids)), "next": None})
        most = min(max(limit, 1), MOST)
        heads = await running.store.heads("task", limit=most, after=await _place(running, after))
        views = await shown(key_of(head.stream) for head in heads)
        return json_response({"tasks": views, "next": views[-1].id if len(views) == most else None})

    @router.get("/tasks/{task_id}")
    async def one(task_id: str) -> Response:
        """Show one task, and why it does not run yet."""
        for found in await shown([task_id]):
            return json_response(found)
        raise _unknown(task_id)

    async def shown(task_ids: Iterable[str]) -> list[TaskView]:
        """Show tasks, and why they do not run yet: by one look at the record and one ahead for all of them."""
        states = [state for state in (await look_all(running, task_ids)).values() if state.phase != "none"]
        pool = await pool_of(running)
        entries = [entry for state in states if (entry := pool.queued(state.task_id))]
        needed = dict.fromkeys(name for entry in entries for name in entry.depends_on)
        others = await look_all(running, islice(needed, MOST))
        return await outlook.shown(states, pool, others)

    @router.get("/tasks/{task_id}/events")
    async def events(task_id: str, after: Version = 0) -> Response:
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
        state = await known_task(task_id)
        if not state.retryable:
            raise Problem(409, "Not retryable", _not_retryable(state))
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
            raise _unknown(task_id)
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
        return json_response(view(state, waits(state, await pool_of(running))), 202)

    return router


def _unknown(task_id: str) -> Problem:
    return Problem(404, "Not found", f"there is no task {task_id!r}")


def _not_retryable(state: Task) -> str:
    if state.phase == "parked":
        return f"task {state.task_id} goes on by itself once {state.waits_for}: {state.reason}"
    return f"task {state.task_id} is {state.phase}; only cancelled, incident, parked can be retried"


def _named(ids: tuple[str, ...]) -> tuple[str, ...]:
    if len(ids) > MOST:
        detail = f"{len(ids)} of them, and {MOST} are the most that are taken"
        raise Problem(422, "Invalid request", detail, field="id")
    return ids


async def _place(running: Running, after: str) -> str:
    """Name the stream behind which a list goes on. Raises Problem 422."""
    if after and (await look(running, after)).phase == "none":
        detail = f"there is no task {after[:SHOWN]!r} to go on behind"
        raise Problem(422, "Invalid request", detail, field="after")
    return after and f"task-{after}"


async def _require(running: Running, spec: TaskSpec, task_id: str) -> None:
    """Refuse a task that cannot be carried out as written. Raises Problem 422 that lists every fault."""
    others = await look_all(running, spec.depends_on)
    unknown = [name for name, other in others.items() if other.phase == "none"]
    if found := faults(spec, task_id, unknown):
        raise refusal("Invalid task", [{"field": field, "detail": detail} for field, detail in found])
