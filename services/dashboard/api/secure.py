"""Security headers on every answer, refusals included."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any

from fastapi import Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import Response
from fastapi.routing import APIRoute

from libs.runtime.http import Problem

PAGE_POLICY = (
    "default-src 'self'; object-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
#: Evidence is made by programs that nobody trusts: a browser may show it and do nothing with it.
CONTENT_POLICY = "default-src 'none'; frame-ancestors 'none'; sandbox"
_ALWAYS = {
    "Content-Security-Policy": PAGE_POLICY,
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
}


class SecureRoute(APIRoute):
    """Adds the headers that the route itself has not set; its own problems it answers here, with them."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """Wrap the route's handler."""
        handle = super().get_route_handler()

        async def secured(request: Request) -> Response:
            try:
                response = await handle(request)
            except Problem as problem:
                response = problem.response()
            except RequestValidationError as error:
                first = error.errors()[0]
                # What follows the parameter's name is about the validation's own structure.
                field = str(first["loc"][1])
                response = Problem(422, "Invalid request", f"{field}: {first['msg']}", field=field).response()
            for name, value in _ALWAYS.items():
                response.headers.setdefault(name, value)
            return response

        return secured
