"""Routes about single tasks: submit, look, cancel, retry."""

from __future__ import annotations

from typing import Any

import msgspec
from fastapi import APIRouter, Request
from fastapi.responses import Response

from contracts.message import key_of
from contracts.task import IncidentReport, TaskSpec
from libs.runtime.http import Problem, body_of, json_response
from libs.runtime.running import Running
from libs.runtime.work import Work
from services.scheduler.api.requests import (
    actor,
    look,
    parse,
    refusal,
    require_same,
    submission_of,
    typed,
)
from services.scheduler.domain.admission import POOL, admission
from services.scheduler.domain.commands import Cancel, Retry, Submit
from services.scheduler.domain.identity import task_id_of
from services.scheduler.domain.state import Task
from services.scheduler.domain.submission import faults, with_engine
from services.scheduler.domain.walk import task
from services.scheduler.handlers import command
from services.scheduler.handlers import submit as accept


class TaskView(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A task for the outside."""

    id: str
    #: What it is called in its batch.
    key: str = ""
    batch: str = ""
    title: str
    phase: str
    stage: str
    engine: str
    priority: str
    attempts: dict[str, int]
    depends_on: tuple[str, ...] = ()
    repos: tuple[str, ...] = ()
    pull_requests: tuple[dict[str, Any], ...] = ()
    approvals: tuple[str, ...] = ()
    reason: str = ""
    waits_for: str = ""
    owner: str = ""
    #: Why it does not run yet, in words.
    why_not_yet: str = ""
    incident_id: str = ""
    #: What is told of the incident that the task ended in.
    incident: IncidentReport | None = None
    synthetic: bool = False


class CancelBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Body of a cancellation."""

    reason: str = ""


def routes(running: Running) -> APIRouter:
    """Build the routes."""
    router = APIRouter()

    @router.post("/tasks", status_code=202)
    async def submit(request: Request) -> Response:
        """Accept a task. The same Idempotency-Key with the same body is the same task."""
        given = await submission_of(request, running)
        spec = with_engine(typed(given.data, TaskSpec), bool(running.config.config_agent_command))
        task_id = task_id_of(given.seed)
        if (await look(running, task_id)).phase == "none":
            await _require(running, spec, task_id)

        async def act(work: Work) -> tuple[Task, bool]:
            known = await work.load(task, task_id)
            if known.phase != "none":
                return known, False
            wish = Submit(
                task_id=task_id,
                spec=spec,
                depends_on=spec.depends_on,
                request_digest=given.digest,
                now=work.now,
            )
            await accept(work, [wish])
            return await work.load(task, task_id), True

        state, created = await running.perform(act, actor=given.actor, synthetic=spec.synthetic)
        require_same(given, state)
        view = await show(state)
        return json_response(view, 202 if created else 200, {"Location": f"/v1/tasks/{task_id}"})

    @router.get("/tasks")
    async def tasks(limit: int = 100, after: str = "") -> Response:
        """List tasks, newest first; `after` is the id of the last one seen."""
        heads = await running.store.heads(
            "task", limit=min(max(limit, 1), 500), after=after and f"task-{after}"
        )
        views = [await show(await look(running, key_of(head.stream))) for head in heads]
        return json_response({"tasks": views, "next": views[-1].id if len(views) == limit else None})

    @router.get("/tasks/{task_id}")
    async def one(task_id: str) -> Response:
        """Show one task."""
        return json_response(await show(await known_task(task_id)))

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
        """Grant one more allowance to a task that was given up or waits for a person."""
        allowed = {"incident", "cancelled", "parked"}
        state = await known_task(task_id)
        if state.phase not in allowed:
            raise Problem(
                409,
                "Not retryable",
                f"task {task_id} is {state.phase}; only {', '.join(sorted(allowed))} can be retried",
            )
        return await apply(task_id, Retry(actor=actor(request)), request, set(), "retried")

    async def known_task(task_id: str) -> Task:
        state = await look(running, task_id)
        if state.phase == "none":
            raise Problem(404, "Not found", f"there is no task {task_id!r}")
        return state

    async def apply(task_id: str, wish: Any, request: Request, refused: set[str], done: str) -> Response:
        state = await known_task(task_id)
        if state.phase in refused:
            raise Problem(409, "Too late", f"task {task_id} is {state.phase} and cannot be {done}")

        async def act(work: Work) -> Task:
            await command(work, task_id, wish)
            return await work.load(task, task_id)

        return json_response(await show(await running.perform(act, actor=actor(request))), 202)

    async def show(state: Task) -> TaskView:
        pool = await running.perform(lambda work: work.load(admission, POOL))
        entry = pool.queued(state.task_id)
        why = ""
        if entry is not None and not state.ended:
            ahead = pool.forecast(state.task_id)
            if entry.depends_on:
                why = f"waits for {', '.join(entry.depends_on)}"
            elif ahead is None:
                why = f"queue {entry.queue} is paused"
            else:
                why = f"all {pool.limit} slots are taken; up to {ahead.ahead} tasks are ahead"
        return TaskView(
            id=state.task_id,
            key=state.spec.key or "",
            batch=state.batch,
            title=state.spec.title,
            phase=state.phase,
            stage=state.stage,
            engine=state.spec.engine,
            priority=state.spec.priority,
            attempts={str(stage): count for stage, count in state.attempts.items()},
            depends_on=state.depends_on,
            repos=tuple(repo.name for repo in state.spec.repos),
            pull_requests=tuple(msgspec.structs.asdict(pull) for pull in state.pull_requests),
            approvals=tuple(f"gate {gate}" for gate in sorted(state.approved)),
            reason=state.reason,
            waits_for=state.waits_for,
            owner=state.waits_on,
            why_not_yet=why,
            incident_id=state.incident_id,
            incident=state.incident if state.incident_id else None,
            synthetic=state.synthetic,
        )

    return router


async def _require(running: Running, spec: TaskSpec, task_id: str) -> None:
    """Refuse a task that cannot be carried out as written. Raises Problem 422 that lists every fault."""
    unknown = [name for name in spec.depends_on if (await look(running, name)).phase == "none"]
    if found := faults(spec, task_id, unknown):
        raise refusal("Invalid task", [{"field": field, "detail": detail} for field, detail in found])
