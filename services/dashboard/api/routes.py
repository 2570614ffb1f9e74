"""All routes of the dashboard, behind the token or a session."""

from __future__ import annotations

from fastapi import APIRouter, Depends, Request

from libs.runtime.running import Running
from services.dashboard.api import browser, files, letters, record, system, tasks, texts, waits
from services.dashboard.api.session import reader


def routes(running: Running) -> APIRouter:
    """Build the dashboard's routes."""

    async def readable(request: Request) -> None:
        await reader(running.parts.sessions, running.config.api_token)(request)

    router = APIRouter()
    for part in (tasks, waits, record, system, letters, files, texts):
        router.include_router(part.routes(running), prefix="/api/v1", dependencies=[Depends(readable)])
    router.include_router(browser.routes(running))
    return router


async def let_clients_go(running: Running) -> None:
    """Wait until the process stops, then end the live streams: an open one would hold the server back."""
    await running.parts.feed.until_cancelled()
