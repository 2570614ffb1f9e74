"""The HTTP side that every service has: probes, metrics, bearer tokens, problem+json."""

from __future__ import annotations

import hmac
from collections.abc import Awaitable, Callable, Mapping, Sequence
from http import HTTPStatus
from typing import Any, Literal

import msgspec
from fastapi import APIRouter, Depends, FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, Response
from prometheus_client import CONTENT_TYPE_LATEST
from starlette.exceptions import HTTPException

from libs.eventstore.store import ConflictError, StaleLeaseError, StoreUnavailableError, UnrecordableError
from libs.runtime.metrics import exposition
from libs.runtime.rebuild import Rebuilder
from libs.runtime.running import NotLeaderError, Running

#: Largest request body that is read.
MAX_BODY = 4 * 2**20


class Problem(Exception):
    """An answer of class `application/problem+json` (RFC 9457)."""

    def __init__(
        self,
        status: int,
        title: str,
        detail: str,
        *,
        field: str = "",
        errors: Sequence[Any] = (),
        headers: dict[str, str] | None = None,
        members: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__(detail)
        self.status, self.title, self.detail, self.field = status, title, detail, field
        #: All that is wrong, where `detail` and `field` tell the first.
        self.errors = errors
        self.headers = headers or {}
        #: What only a problem of this kind tells (RFC 9457, section 3.2).
        self.members = members or {}

    def response(self) -> JSONResponse:
        """Render it."""
        slug = self.title.lower().replace(" ", "-")
        body: dict[str, Any] = {
            "type": f"urn:autopilot:problem:{slug}",
            "title": self.title,
            "status": self.status,
            "detail": self.detail,
        }
        if self.field:
            body["field"] = self.field
        if self.errors:
            body["errors"] = msgspec.to_builtins(self.errors)
        body |= msgspec.to_builtins(self.members)
        return JSONResponse(body, self.status, self.headers, media_type="application/problem+json")


def json_response(value: Any, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    """Answer with a msgspec value as JSON."""
    return Response(msgspec.json.encode(value), status, headers, media_type="application/json")


def bearer(*tokens: str) -> Callable[[Request], Awaitable[None]]:
    """Build a dependency that wants one of these bearer tokens."""

    async def check(request: Request) -> None:
        scheme, _, given = request.headers.get("authorization", "").partition(" ")
        if scheme.lower() != "bearer" or not any(
            hmac.compare_digest(given.encode(), t.encode()) for t in tokens if t
        ):
            raise Problem(
                401,
                "Unauthorized",
                "send `Authorization: Bearer <token>`; the token is in the data directory's secrets/api-token",
                headers={"WWW-Authenticate": "Bearer"},
            )

    return check


def build(running: Running, ready: Callable[[], Awaitable[dict[str, str]]]) -> FastAPI:
    """Build a service's application. `ready` returns what is not ready and why; empty means ready."""
    service, config = running.service, running.config
    app = FastAPI(
        title=f"Autopilot {service.name}", version="1", docs_url=None, redoc_url=None, openapi_url=None
    )

    @app.get("/healthz", include_in_schema=False)
    async def healthz() -> dict[str, str | bool]:
        # Who has to find the process that leads asks here: this costs nobody a query.
        return {"status": "ok", "service": service.name, "leads": running.lease is not None}

    @app.get("/readyz", include_in_schema=False)
    async def readyz() -> JSONResponse:
        wrong = await ready()
        return JSONResponse(
            {"ready": not wrong, "service": service.name, "not_ready": wrong}, 503 if wrong else 200
        )

    @app.get(
        "/metrics",
        include_in_schema=False,
        dependencies=[Depends(bearer(config.scrape_token, config.api_token))],
    )
    async def metrics() -> Response:
        return Response(await exposition(running), media_type=CONTENT_TYPE_LATEST)

    @app.get("/openapi.json", include_in_schema=False, dependencies=[Depends(bearer(config.api_token))])
    async def openapi() -> JSONResponse:
        return JSONResponse(app.openapi())

    if running.rebuilder is not None:
        app.include_router(projection_routes(running, running.rebuilder))
    if service.routes is not None:
        app.include_router(service.routes(running))
    _handle_errors(app)
    return app


def projection_routes(running: Running, rebuilder: Rebuilder) -> APIRouter:
    """Build the routes of a service with a read model; only the process that leads builds it anew."""
    router = APIRouter(dependencies=[Depends(bearer(running.config.api_token))])

    @router.get("/v1/projection")
    async def projection() -> Response:
        """Tell which generation is read, and of the last rebuild or comparison of this process."""
        generation = rebuilder.generation
        return json_response(
            {
                "name": running.service.name,
                "generation": generation.number if generation else None,
                "outdated": rebuilder.outdated,
                "job": rebuilder.job,
            }
        )

    @router.post("/v1/projection/{kind}")
    async def ask(kind: Literal["rebuild", "check"]) -> Response:
        """Have the read model built anew and switched to, or built anew and compared."""
        if running.lease is None:
            raise NotLeaderError(f"{running.config.holder} does not hold the lease of {running.service.name}")
        job = rebuilder.ask(kind)
        if job is None:
            raise Problem(409, "Under way", "a rebuild or a comparison is under way; wait for it to end")
        return json_response(job, 202)

    return router


def _handle_errors(app: FastAPI) -> None:
    @app.exception_handler(Exception)
    async def fault(_: Request, error: Exception) -> JSONResponse:
        # It is raised again behind this answer, so that the log has it.
        detail = f"{type(error).__name__}: a fault of this service, which its log describes"
        return Problem(500, "Internal error", detail).response()

    @app.exception_handler(Problem)
    async def problem(_: Request, error: Problem) -> JSONResponse:
        return error.response()

    @app.exception_handler(HTTPException)
    async def http(_: Request, error: HTTPException) -> JSONResponse:
        return Problem(error.status_code, HTTPStatus(error.status_code).phrase, str(error.detail)).response()

    @app.exception_handler(RequestValidationError)
    async def validation(_: Request, error: RequestValidationError) -> JSONResponse:
        first = error.errors()[0]
        field = ".".join(str(part) for part in first["loc"][1:])
        return Problem(422, "Invalid request", f"{field}: {first['msg']}", field=field).response()

    @app.exception_handler(StoreUnavailableError)
    async def unavailable(_: Request, error: StoreUnavailableError) -> JSONResponse:
        return Problem(
            503,
            "Record unavailable",
            f"{error}; nothing is known to have been written, repeat with the same Idempotency-Key",
            headers={"Retry-After": "2"},
        ).response()

    @app.exception_handler(UnrecordableError)
    async def unrecordable(_: Request, error: UnrecordableError) -> JSONResponse:
        return Problem(
            422, "Invalid request", f"{error}: take NUL characters and lone surrogates out"
        ).response()

    @app.exception_handler(ConflictError)
    async def busy(_: Request, error: ConflictError) -> JSONResponse:
        detail = f"{error}; others were faster, repeat in a moment"
        return Problem(503, "Busy", detail, headers={"Retry-After": "1"}).response()

    @app.exception_handler(NotLeaderError)
    @app.exception_handler(StaleLeaseError)
    async def standby(_: Request, error: Exception) -> JSONResponse:
        return Problem(
            503, "Not the leader", f"{error}; repeat in a moment", headers={"Retry-After": "1"}
        ).response()


async def body_of(request: Request) -> bytes:
    """Read a request body. Raises Problem 413 beyond MAX_BODY."""
    chunks: list[bytes] = []
    size = 0
    async for chunk in request.stream():
        size += len(chunk)
        if size > MAX_BODY:
            raise Problem(413, "Request too large", f"the body may have at most {MAX_BODY} bytes")
        chunks.append(chunk)
    return b"".join(chunks)
