"""The task API: submit, look, cancel, retry, mode, limit."""

from __future__ import annotations

import hashlib
import re
from typing import Any

import msgspec
from fastapi import APIRouter, Depends, Request
from fastapi.responses import Response

from contracts.message import TOKEN, key_of
from contracts.mode import Mode
from contracts.task import TaskSpec
from libs.runtime.http import Problem, bearer, body_of, json_response
from libs.runtime.running import Running
from libs.runtime.work import Work
from services.scheduler.domain.admission import POOL, Limit, admission
from services.scheduler.domain.commands import Cancel, Retry, Submit
from services.scheduler.domain.mode import ChangeMode, mode
from services.scheduler.domain.state import Task
from services.scheduler.domain.submission import faults, located, with_engine
from services.scheduler.domain.walk import task
from services.scheduler.handlers import SYSTEM, change_mode, command, set_limit

#: Characters of a task id after its `t`: 60 bits.
_ID_LENGTH = 12
#: Where msgspec names a field in its message instead of in the path.
_NAMED = re.compile(r"(?:unknown|missing required) field `([^`]*)`")
_ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"


class TaskView(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A task for the outside."""

    id: str
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
    synthetic: bool = False


class CancelBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Body of a cancellation."""

    reason: str = ""


class ModeBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Body of a change of mode."""

    mode: Mode
    reason: str = ""


class LimitBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Body of a change of settings."""

    max_concurrent: int


def routes(running: Running) -> APIRouter:
    """Build the scheduler's routes."""
    router = APIRouter(prefix="/v1", dependencies=[Depends(bearer(running.config.api_token))])

    @router.post("/tasks", status_code=202)
    async def submit(request: Request) -> Response:
        """Accept a task. The same Idempotency-Key with the same body is the same task."""
        body = await body_of(request)
        spec = with_engine(parse(body, TaskSpec), bool(running.config.config_agent_command))
        key = request.headers.get("idempotency-key", "")
        task_id = task_id_of(key or running.ids.new())
        digest = hashlib.sha256(body).hexdigest()

        async def act(work: Work) -> tuple[Task, bool]:
            known = await work.load(task, task_id)
            if known.phase != "none":
                return known, False
            await _check(spec, work, task_id)
            await command(
                work,
                task_id,
                Submit(
                    task_id=task_id,
                    spec=spec,
                    depends_on=spec.depends_on,
                    request_digest=digest,
                    now=work.now,
                ),
            )
            return await work.load(task, task_id), True

        state, created = await running.perform(act, actor=actor(request), synthetic=spec.synthetic)
        if not created and state.request_digest != digest:
            raise Problem(422, "Idempotency key reused", f"Idempotency-Key {key!r} was used for another body")
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

    @router.get("/mode")
    async def get_mode() -> Response:
        """Tell the mode in force."""
        return json_response(await running.perform(lambda work: work.load(mode, SYSTEM)))

    @router.put("/mode")
    async def put_mode(request: Request) -> Response:
        """Change the mode."""
        body = parse(await body_of(request), ModeBody)
        wish = ChangeMode(mode=body.mode, actor=actor(request), reason=body.reason)
        return json_response(await running.perform(lambda work: change_mode(work, wish), actor=wish.actor))

    @router.get("/config")
    async def get_config() -> Response:
        """Tell the settings that can be changed while running."""
        pool = await running.perform(lambda work: work.load(admission, POOL))
        return json_response(
            {"max_concurrent": pool.limit, "running": pool.running, "waiting": len(pool.waiting)}
        )

    @router.put("/config")
    async def put_config(request: Request) -> Response:
        """Change how many tasks may run at once."""
        body = parse(await body_of(request), LimitBody)
        if not 1 <= body.max_concurrent <= 1000:
            raise Problem(
                422, "Invalid request", "max_concurrent must be between 1 and 1000", field="max_concurrent"
            )
        wish = Limit(max_concurrent=body.max_concurrent, actor=actor(request))
        limit = await running.perform(lambda work: set_limit(work, wish), actor=wish.actor)
        return json_response({"max_concurrent": limit})

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
            unmet = entry.depends_on
            ahead = sum(1 for other in pool.waiting if other is not entry and not other.depends_on)
            why = (
                f"waits for {', '.join(unmet)}"
                if unmet
                else f"all {pool.limit} slots are taken; up to {ahead} tasks are ahead"
            )
        return TaskView(
            id=state.task_id,
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
            synthetic=state.synthetic,
        )

    return router


async def _check(spec: TaskSpec, work: Work, task_id: str) -> None:
    """Refuse a task that cannot be carried out as written. Raises Problem 422 naming the first field."""
    unknown = [
        dependency
        for dependency in spec.depends_on
        if not TOKEN.match(dependency) or (await work.load(task, dependency)).phase == "none"
    ]
    for field, detail in faults(spec, task_id, unknown):
        raise Problem(422, "Invalid task", f"{field}: {detail}", field=field)


async def look(running: Running, task_id: str) -> Task:
    """Read a task's state; phase `none` if there is no such task."""
    if not TOKEN.match(task_id):
        return Task()
    return await running.perform(lambda work: work.load(task, task_id))


def parse(body: bytes, type_: Any) -> Any:
    """Decode a request body. Raises Problem 422 naming the field."""
    try:
        return msgspec.json.decode(body, type=type_)
    except msgspec.ValidationError as error:
        field, message = located(error)
        if named := _NAMED.search(message):
            field = f"{field}.{named[1]}" if field else named[1]
        raise Problem(422, "Invalid request", f"{field or 'the body'}: {message}", field=field) from error
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise Problem(400, "Malformed JSON", str(error)) from error


def actor(request: Request) -> str:
    """Name who asks; a bearer token has no name of its own, so the client may give one."""
    return request.headers.get("x-actor", "api")[:100]


def task_id_of(seed: str) -> str:
    """Derive a task id; the same Idempotency-Key always gives the same task."""
    number = int.from_bytes(hashlib.sha256(f"task:{seed}".encode()).digest()[:8], "big")
    return "t" + "".join(_ALPHABET[(number >> (5 * place)) & 31] for place in range(_ID_LENGTH))
