"""Routes by which people steer who runs: queues, settings, draining."""

from __future__ import annotations

from collections import Counter
from typing import Annotated

import msgspec
from fastapi import APIRouter, Request
from fastapi.responses import Response
from msgspec import Meta as Constraint

from contracts.task import Name
from libs.runtime.http import Problem, body_of, json_response
from libs.runtime.running import Running
from libs.runtime.work import Work
from services.scheduler.api.outlook import Outlook
from services.scheduler.api.requests import Reason, actor, look_all, parse, pool_of, typed
from services.scheduler.domain.admission import (
    MAX_BACKLOG,
    MAX_LIMIT,
    MAX_WEIGHT,
    POOL,
    Hold,
    Limit,
    LimitBacklog,
    Operation,
    PauseQueue,
    Release,
    ResumeQueue,
    WeighQueue,
    admission,
)
from services.scheduler.domain.pool import Admission
from services.scheduler.handlers.wishes import operate


class ReasonBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Body of a wish that may have a reason."""

    reason: Reason = ""


class WeightBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Body of a change of a queue's weight."""

    weight: Annotated[int, Constraint(ge=1, le=MAX_WEIGHT)]


class ConfigBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Body of a change of settings; what is left out stays."""

    #: Tasks that may hold a slot at once.
    max_concurrent: Annotated[int, Constraint(ge=1, le=MAX_LIMIT)] | None = None
    #: Tasks that may wait before new ones are refused.
    max_queued: Annotated[int, Constraint(ge=1, le=MAX_BACKLOG)] | None = None


class QueueView(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A queue for the outside."""

    name: str
    weight: int
    paused: bool = msgspec.field(default=False)
    paused_by: str = ""
    reason: str = ""
    waiting: int
    running: int


def routes(running: Running, outlook: Outlook) -> APIRouter:
    """Build the routes."""
    router = APIRouter()

    async def change(request: Request, *wishes: Operation) -> Admission:
        async def act(work: Work) -> Admission:
            for wish in wishes:
                await operate(work, wish)
            return await work.load(admission, POOL)

        pool = await running.perform(act, actor=actor(request))
        outlook.forget()
        return pool

    async def queue(name: str, request: Request, wish: Operation) -> Response:
        pool = await change(request, wish)
        [view] = [one for one in await _views(running, pool, name) if one.name == name]
        return json_response(view)

    @router.get("/queues")
    async def queues() -> Response:
        """List the queues that tasks wait or run in, and those that were paused or weighed."""
        return json_response({"queues": await _views(running, await pool_of(running))})

    @router.post("/queues/{name}/pause")
    async def pause(name: str, request: Request) -> Response:
        """Start no task of a queue until it is resumed; those that run go on."""
        body = parse(await body_of(request) or b"{}", ReasonBody)
        wish = PauseQueue(queue=_named(name), actor=actor(request), reason=body.reason)
        return await queue(name, request, wish)

    @router.post("/queues/{name}/resume")
    async def resume(name: str, request: Request) -> Response:
        """Let the tasks of a queue start again."""
        return await queue(name, request, ResumeQueue(queue=_named(name), actor=actor(request)))

    @router.put("/queues/{name}/weight")
    async def weigh(name: str, request: Request) -> Response:
        """Change how many starts a queue has in each round."""
        body = parse(await body_of(request), WeightBody)
        wish = WeighQueue(queue=_named(name), weight=body.weight, actor=actor(request))
        return await queue(name, request, wish)

    @router.get("/config")
    async def get_config() -> Response:
        """Tell the settings that can be changed while running."""
        return json_response(_settings(await pool_of(running)))

    @router.put("/config")
    async def put_config(request: Request) -> Response:
        """Change how many tasks may run at once, how many may wait, or both."""
        body = parse(await body_of(request), ConfigBody)
        wishes: list[Operation] = []
        if body.max_concurrent is not None:
            wishes.append(Limit(max_concurrent=body.max_concurrent, actor=actor(request)))
        if body.max_queued is not None:
            wishes.append(LimitBacklog(max_queued=body.max_queued, actor=actor(request)))
        if not wishes:
            raise Problem(422, "Invalid request", "give max_concurrent, max_queued, or both")
        return json_response(_settings(await change(request, *wishes)))

    @router.get("/drain")
    async def get_drain() -> Response:
        """Tell whether the scheduler drains, and how many tasks still run."""
        return json_response(_drain(await pool_of(running)))

    @router.put("/drain")
    async def put_drain(request: Request) -> Response:
        """Start nothing any more; what runs comes to its end."""
        body = parse(await body_of(request) or b"{}", ReasonBody)
        wish = Hold(cause="drain", detail=body.reason, actor=actor(request))
        return json_response(_drain(await change(request, wish)))

    @router.delete("/drain")
    async def delete_drain(request: Request) -> Response:
        """Let tasks start again."""
        return json_response(_drain(await change(request, Release(cause="drain", actor=actor(request)))))

    return router


def _named(queue: str) -> str:
    """Hold a name to what tasks may say. Raises Problem 422."""
    if queue.endswith("\n"):
        # Which the pattern of names lets pass.
        raise Problem(422, "Invalid request", "queue: ends in a line break", field="queue")
    return typed({"queue": queue}, _QueueName).queue


class _QueueName(msgspec.Struct, frozen=True):
    queue: Name


async def _views(running: Running, pool: Admission, *named: str) -> list[QueueView]:
    # A handful of tasks runs, and thousands may wait: only of those the pool knows the queue.
    running_in = Counter(one.spec.queue for one in (await look_all(running, pool.running)).values())
    waiting = Counter(entry.queue for entry in pool.waiting.plain().values())
    return [
        QueueView(
            name=name,
            weight=pool.weights.get(name, 1),
            paused=name in pool.paused,
            paused_by=pool.paused[name].actor if name in pool.paused else "",
            reason=pool.paused[name].reason if name in pool.paused else "",
            waiting=waiting[name],
            running=running_in[name],
        )
        for name in sorted({*waiting, *running_in, *pool.paused, *pool.weights, *named})
    ]


def _settings(pool: Admission) -> dict[str, int]:
    return {
        "max_concurrent": pool.limit,
        "max_queued": pool.max_queued,
        "running": len(pool.running),
        "waiting": len(pool.waiting),
    }


def _drain(pool: Admission) -> dict[str, object]:
    held = pool.holds.get("drain")
    return {
        "draining": held is not None,
        "actor": held.actor if held else "",
        "reason": held.reason if held else "",
        "running": len(pool.running),
        "waiting": len(pool.waiting),
    }
