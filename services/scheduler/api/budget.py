"""Routes about tokens: what is reserved and spent, the ceilings, and a task's own budget."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

import msgspec
from fastapi import APIRouter, Request
from fastapi.responses import Response
from msgspec import Meta as Constraint

from contracts.budget import HOUR, LedgerName
from libs.runtime.http import Problem, body_of, json_response
from libs.runtime.running import Running
from libs.runtime.work import Work
from services.scheduler.api.requests import actor, look, parse
from services.scheduler.domain.budget import ChangeCeiling, budget
from services.scheduler.domain.commands import ChangeBudget
from services.scheduler.domain.ledger import Ledger
from services.scheduler.domain.purse import FLOOR
from services.scheduler.domain.submission import MOST_TOKENS
from services.scheduler.handlers.settling import command
from services.scheduler.handlers.wishes import change_ceiling


class CeilingBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Body of a change of a ceiling."""

    #: `hour` or `provider:<name>`.
    scope: Annotated[str, Constraint(pattern=r"^(hour|provider:[A-Za-z0-9][A-Za-z0-9._-]{0,63})\Z")]
    #: Less than a first grant would admit nobody, ever. None lifts a provider's.
    tokens: Annotated[int, Constraint(ge=FLOOR, le=MOST_TOKENS)] | None
    ledger: LedgerName = "main"


class TaskBudgetBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Body of a change of a task's budget."""

    tokens: Annotated[int, Constraint(ge=0, le=MOST_TOKENS)]


class AccountView(msgspec.Struct, frozen=True, kw_only=True):
    """An account of an hour for the outside."""

    scope: str
    #: None where there is none.
    ceiling: int | None
    #: Granted to attempts that are under way.
    reserved: int
    #: Spent by attempts that have ended within the hour.
    spent: int


class DeferredView(msgspec.Struct, frozen=True, kw_only=True):
    """A task that waits for tokens, in the order in which they get them."""

    task_id: str
    provider: str
    tokens: int
    until: datetime


class BudgetView(msgspec.Struct, frozen=True, kw_only=True):
    """A ledger for the outside."""

    ledger: LedgerName
    accounts: tuple[AccountView, ...]
    waiting: tuple[DeferredView, ...]


def routes(running: Running) -> APIRouter:
    """Build the routes."""
    router = APIRouter()

    @router.get("/budget")
    async def get_budget(ledger: LedgerName = "main") -> Response:
        """Tell what is reserved and spent within the hour, under which ceilings; `synthetic` for simulated work."""
        return json_response(await running.perform(lambda work: shown(work, ledger)))

    @router.put("/budget")
    async def put_budget(request: Request) -> Response:
        """Change a ceiling; whoever waits for tokens and fits under the new one goes on."""
        body = parse(await body_of(request), CeilingBody)
        if body.scope == HOUR and body.tokens is None:
            raise Problem(422, "Invalid request", "the hour always has a ceiling", field="tokens")

        async def act(work: Work) -> BudgetView:
            wish = ChangeCeiling(
                ledger=body.ledger,
                now=work.now,
                scope=body.scope,
                tokens=body.tokens,
                actor=actor(request),
            )
            await change_ceiling(work, wish)
            return await shown(work, body.ledger)

        return json_response(await running.perform(act, actor=actor(request)))

    @router.put("/tasks/{task_id}/budget")
    async def put_task_budget(task_id: str, request: Request) -> Response:
        """Change how many tokens a task may spend in all; one that waits because of it goes on."""
        body = parse(await body_of(request), TaskBudgetBody)
        state = await look(running, task_id)
        if state.phase == "none":
            raise Problem(404, "Not found", f"there is no task {task_id!r}")
        if state.phase == "done":
            raise Problem(409, "Too late", f"task {task_id} is done: it spends nothing any more")
        wish = ChangeBudget(tokens=body.tokens, actor=actor(request))
        await running.perform(lambda work: command(work, task_id, wish), actor=wish.actor)
        return json_response({"id": task_id, "tokens": (await look(running, task_id)).spec.budget.tokens})

    return router


async def shown(work: Work, name: LedgerName) -> BudgetView:
    """Present a ledger as it is now."""
    state: Ledger = await work.load(budget, name)
    scopes = dict.fromkeys([HOUR, *state.ceilings, *state.accounts])
    return BudgetView(
        ledger=name,
        accounts=tuple(_account(state, scope, work.now) for scope in scopes),
        waiting=tuple(
            DeferredView(task_id=task_id, provider=one.provider, tokens=one.tokens, until=one.until)
            for task_id, one in state.deferred.items()
            if one.waits(work.now)
        ),
    )


def _account(state: Ledger, scope: str, now: datetime) -> AccountView:
    account = state.account(scope)
    return AccountView(
        scope=scope,
        ceiling=state.ceilings.get(scope),
        reserved=account.live,
        spent=account.used(now) - account.live,
    )
