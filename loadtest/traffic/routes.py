"""The routes that the load test calls, as the services' OpenAPI documents name them."""

from __future__ import annotations

from typing import Literal

import msgspec


class Route(msgspec.Struct, frozen=True):
    """One route of one service."""

    service: Literal["scheduler", "dashboard"]
    method: Literal["GET", "POST", "PUT", "DELETE"]
    #: With its parameters in braces: this is also the name under which its figures are grouped.
    path: str

    def filled(self, **parameters: str) -> str:
        """Return the path for some parameters."""
        return self.path.format(**parameters)


SUBMIT = Route("scheduler", "POST", "/v1/tasks")
SUBMIT_BATCH = Route("scheduler", "POST", "/v1/batches")
TASK = Route("scheduler", "GET", "/v1/tasks/{task_id}")
TASK_EVENTS = Route("scheduler", "GET", "/v1/tasks/{task_id}/events")
TASKS = Route("scheduler", "GET", "/v1/tasks")
BATCH = Route("scheduler", "GET", "/v1/batches/{batch}")
CANCEL = Route("scheduler", "POST", "/v1/tasks/{task_id}/cancel")
RETRY = Route("scheduler", "POST", "/v1/tasks/{task_id}/retry")
REPRIORITISE = Route("scheduler", "POST", "/v1/tasks/{task_id}/reprioritise")
QUEUES = Route("scheduler", "GET", "/v1/queues")
PAUSE = Route("scheduler", "POST", "/v1/queues/{name}/pause")
RESUME = Route("scheduler", "POST", "/v1/queues/{name}/resume")
WEIGH = Route("scheduler", "PUT", "/v1/queues/{name}/weight")
DRAIN = Route("scheduler", "PUT", "/v1/drain")
UNDRAIN = Route("scheduler", "DELETE", "/v1/drain")
MODE = Route("scheduler", "GET", "/v1/mode")
SETTINGS = Route("scheduler", "GET", "/v1/config")
SET_SETTINGS = Route("scheduler", "PUT", "/v1/config")
SHOWN_TASKS = Route("dashboard", "GET", "/api/v1/tasks")
SHOWN_TASK = Route("dashboard", "GET", "/api/v1/tasks/{task_id}")
SHOWN_EVENTS = Route("dashboard", "GET", "/api/v1/events")
SHOWN_STAGES = Route("dashboard", "GET", "/api/v1/stages")
SHOWN_ALERTS = Route("dashboard", "GET", "/api/v1/alerts")
STREAM = Route("dashboard", "GET", "/api/v1/stream")

ROUTES: tuple[Route, ...] = tuple(value for value in dict(globals()).values() if isinstance(value, Route))
