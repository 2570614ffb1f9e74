"""Routes about the system as a whole: its mode."""

from __future__ import annotations

from typing import Any

import msgspec
from fastapi import APIRouter, Request
from fastapi.responses import Response

from contracts.mode import Mode
from libs.runtime.http import body_of, json_response
from libs.runtime.running import Running
from libs.runtime.work import Work
from services.scheduler.api.requests import Reason, actor, parse
from services.scheduler.domain.aside import aside
from services.scheduler.domain.mode import SYSTEM, ChangeMode, mode
from services.scheduler.handlers.wishes import change_mode


class ModeBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Body of a change of mode."""

    mode: Mode
    reason: Reason = ""


def routes(running: Running) -> APIRouter:
    """Build the routes."""
    router = APIRouter()

    @router.get("/mode")
    async def get_mode() -> Response:
        """Tell the mode in force, and how many tasks wait for another."""
        return json_response(await running.perform(_shown))

    @router.put("/mode")
    async def put_mode(request: Request) -> Response:
        """Change the mode."""
        body = parse(await body_of(request), ModeBody)
        wish = ChangeMode(mode=body.mode, actor=actor(request), reason=body.reason)

        async def act(work: Work) -> dict[str, Any]:
            await change_mode(work, wish)
            return await _shown(work)

        return json_response(await running.perform(act, actor=wish.actor))

    return router


async def _shown(work: Work) -> dict[str, Any]:
    present, waiting = await work.load(mode, SYSTEM), await work.load(aside, SYSTEM)
    return {"mode": present.mode, "set_aside": waiting.waiting}
