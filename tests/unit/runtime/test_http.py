"""The HTTP side of every service: probes, tokens, and errors as `application/problem+json`."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from typing import Any

import httpx
import pytest
from fastapi import APIRouter, Depends, Request
from prometheus_client import CollectorRegistry, generate_latest

from libs.eventstore.store import BusEpoch, StaleLeaseError, StoreUnavailableError
from libs.runtime import http
from libs.runtime.http import MAX_BODY, Problem, bearer, body_of, json_response
from libs.runtime.metrics import exposition, observe
from libs.runtime.running import NotLeaderError, Running
from tests.unit.runtime.house import House

Call = Callable[..., Any]
ERRORS: dict[str, Exception] = {
    "/away": StoreUnavailableError("no connection"),
    "/standby": NotLeaderError("keeper-1 does not hold the lease of keeper"),
    "/stale": StaleLeaseError("keeper", 3),
    "/fault": KeyError("a secret"),
    "/problem": Problem(409, "Too late", "it is done", field="state", headers={"X-Hint": "h"}),
}


def routes(running: Running) -> APIRouter:
    """Routes that fail in every way."""
    router = APIRouter(prefix="/v1", dependencies=[Depends(bearer(running.config.api_token))])

    @router.get("/number")
    async def number(of: int) -> dict[str, int]:
        return {"of": of}

    @router.post("/body")
    async def body(request: Request) -> Any:
        return json_response({"size": len(await body_of(request))}, 201, {"X-Made": "yes"})

    def failing(error: Exception) -> Call:
        async def fail() -> None:
            raise error

        return fail

    for path, error in ERRORS.items():
        router.get(path)(failing(error))
    return router


@pytest.fixture
def wrong() -> dict[str, str]:
    """What is not ready."""
    return {}


@pytest.fixture
async def call(wrong: dict[str, str]) -> AsyncIterator[Call]:
    """Calls the service."""

    async def ready() -> dict[str, str]:
        return wrong

    app = http.build(House(routes=routes).running, ready)
    transport = httpx.ASGITransport(app=app, raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://keeper") as client:

        async def one(
            path: str, token: str = "api-token", method: str = "GET", **more: Any
        ) -> httpx.Response:
            headers = {b"authorization": f"Bearer {token}".encode("latin-1")} if token else {}
            return await client.request(method, path, headers=headers, **more)

        yield one


def problem(answer: httpx.Response) -> dict[str, Any]:
    """The problem of an answer."""
    assert answer.headers["content-type"] == "application/problem+json"
    told: dict[str, Any] = answer.json()
    assert told["status"] == answer.status_code
    assert told["type"].startswith("urn:autopilot:problem:")
    return told


async def test_the_probes_want_no_token(call: Call, wrong: dict[str, str]) -> None:
    alive, ready = await call("/healthz", token=""), await call("/readyz", token="")
    assert (alive.status_code, ready.status_code, ready.json()["ready"]) == (200, 200, True)
    assert alive.json() == {"status": "ok", "service": "keeper", "leads": False}
    wrong["record"] = "away"
    answer = await call("/readyz", token="")
    assert (answer.status_code, answer.json()["not_ready"]) == (503, {"record": "away"})


@pytest.mark.parametrize("token", ["", "wrong", "scrape-token", "café"])
async def test_nobody_gets_in_without_the_token(call: Call, token: str) -> None:
    answer = await call("/v1/number?of=1", token=token)
    told = problem(answer)
    assert (answer.status_code, told["title"]) == (401, "Unauthorized")
    assert answer.headers["www-authenticate"] == "Bearer"


async def test_metrics_take_the_scrape_token_or_the_api_token_and_nothing_else(call: Call) -> None:
    statuses = [
        (await call("/metrics", token=token)).status_code for token in ("scrape-token", "api-token", "", "x")
    ]
    assert statuses == [200, 200, 401, 401]


async def test_metrics_tell_the_epoch_of_the_bus(call: Call) -> None:
    # Registered by the runner, for the process; here only that the scrape asks the record, and survives its absence.
    house = House(routes=routes)
    house.store.epoch = BusEpoch(epoch=3, state="rebuilding", reason="lost")
    registry = CollectorRegistry()
    observe(house.running, [], registry)
    await exposition(house.running)
    text = generate_latest(registry).decode()
    assert "autopilot_bus_epoch 3.0" in text
    assert "autopilot_bus_sound 0.0" in text
    house.running.store = Away()  # type: ignore[assignment]
    await exposition(house.running)
    assert "autopilot_bus" not in generate_latest(registry).decode()


class Away:
    """A record that does not answer."""

    async def bus_epoch(self) -> BusEpoch:
        raise StoreUnavailableError("no connection")


async def test_the_description_of_the_api_wants_the_token(call: Call) -> None:
    assert (await call("/openapi.json", token="scrape-token")).status_code == 401
    assert "/v1/number" in (await call("/openapi.json")).json()["paths"]


async def test_a_fault_in_a_parameter_names_its_field(call: Call) -> None:
    told = problem(await call("/v1/number?of=many"))
    assert (told["status"], told["field"]) == (422, "of")
    assert told["detail"].startswith("of: ")


@pytest.mark.parametrize(
    ("path", "method", "status"), [("/v1/nowhere", "GET", 404), ("/v1/body", "GET", 405), ("/x", "GET", 404)]
)
async def test_what_is_not_there_is_a_problem_too(call: Call, path: str, method: str, status: int) -> None:
    assert problem(await call(path, method=method))["status"] == status


async def test_a_body_of_the_greatest_size_is_read_and_one_byte_more_is_refused(call: Call) -> None:
    answer = await call("/v1/body", method="POST", content=b"x" * MAX_BODY)
    assert (answer.status_code, answer.json(), answer.headers["x-made"]) == (201, {"size": MAX_BODY}, "yes")
    told = problem(await call("/v1/body", method="POST", content=b"x" * (MAX_BODY + 1)))
    assert told["status"] == 413
    assert str(MAX_BODY) in told["detail"]


@pytest.mark.parametrize(
    ("path", "words"), [("/away", "Idempotency-Key"), ("/standby", "repeat"), ("/stale", "repeat")]
)
async def test_what_may_be_better_soon_says_when_to_come_again(call: Call, path: str, words: str) -> None:
    answer = await call(f"/v1{path}")
    told = problem(answer)
    assert told["status"] == 503
    assert int(answer.headers["retry-after"]) > 0
    assert words in told["detail"]


async def test_a_fault_of_ours_is_a_problem_too_and_tells_nothing_but_its_kind(call: Call) -> None:
    told = problem(await call("/v1/fault"))
    assert (told["status"], told["title"]) == (500, "Internal error")
    assert "KeyError" in told["detail"]
    assert "secret" not in told["detail"]


async def test_a_problem_is_told_as_it_was_raised(call: Call) -> None:
    answer = await call("/v1/problem")
    assert problem(answer) == {
        "type": "urn:autopilot:problem:too-late",
        "title": "Too late",
        "status": 409,
        "detail": "it is done",
        "field": "state",
    }
    assert answer.headers["x-hint"] == "h"
