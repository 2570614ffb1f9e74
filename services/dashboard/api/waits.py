"""Why tasks do not run yet, as the scheduler says it."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query
from fastapi.responses import Response

from contracts.message import TOKEN
from libs.runtime.http import Problem, json_response
from libs.runtime.running import Running
from services.dashboard.adapters.waits import SchedulerUnavailableError
from services.dashboard.api.secure import SecureRoute

#: Tasks that one question names at most: as many as a list shows.
MOST = 500


def routes(running: Running) -> APIRouter:
    """Build the route."""
    router = APIRouter(route_class=SecureRoute)

    @router.get("/waits")
    async def waits(task: Annotated[list[str], Query(min_length=1, max_length=MOST)]) -> Response:
        """Tell what tasks wait for, how many start before each, and how long that may take."""
        at = running.clock.now()
        try:
            found = await running.parts.waits.of(name for name in task if TOKEN.match(name))
        except SchedulerUnavailableError as error:
            detail = f"the scheduler cannot be asked: {error}"
            raise Problem(503, "Scheduler unavailable", detail, headers={"Retry-After": "2"}) from error
        return json_response({"waits": found, "at": at})

    return router
