"""All routes of the scheduler, behind the token."""

from __future__ import annotations

from fastapi import APIRouter, Depends

from libs.runtime.http import bearer
from libs.runtime.running import Running
from services.scheduler.api import batches, system, tasks


def routes(running: Running) -> APIRouter:
    """Build the scheduler's routes."""
    router = APIRouter(prefix="/v1", dependencies=[Depends(bearer(running.config.api_token))])
    for part in (tasks, batches, system):
        router.include_router(part.routes(running))
    return router
