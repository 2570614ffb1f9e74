"""All routes of the scheduler, behind the token."""

from __future__ import annotations

from fastapi import APIRouter, Depends

from libs.runtime.http import bearer
from libs.runtime.running import Running
from services.scheduler.api import batches, budget, operations, system, tasks
from services.scheduler.api.outlook import Outlook


def routes(running: Running) -> APIRouter:
    """Build the scheduler's routes."""
    router = APIRouter(prefix="/v1", dependencies=[Depends(bearer(running.config.api_token))])
    outlook = Outlook(running)
    for part in (
        tasks.routes(running, outlook),
        batches.routes(running, outlook),
        operations.routes(running, outlook),
        budget.routes(running),
        system.routes(running),
    ):
        router.include_router(part)
    return router
