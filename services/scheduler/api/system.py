"""Routes about the system as a whole: its mode."""

from __future__ import annotations

import msgspec
from fastapi import APIRouter, Request
from fastapi.responses import Response

from contracts.mode import Mode
from libs.runtime.http import body_of, json_response
from libs.runtime.running import Running
from services.scheduler.api.requests import actor, parse
from services.scheduler.domain.mode import ChangeMode, mode
from services.scheduler.handlers import SYSTEM, change_mode


class ModeBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Body of a change of mode."""

    mode: Mode
    reason: str = ""


def routes(running: Running) -> APIRouter:
    """Build the routes."""
    router = APIRouter()

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

    return router
