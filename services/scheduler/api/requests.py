"""What the routes take out of a request, and what they look up."""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Iterable, Sequence
from typing import Annotated, Any, TypeVar

import msgspec
from fastapi import Request
from msgspec import Meta as Constraint

from contracts.message import TOKEN
from libs.runtime.http import Problem, body_of
from libs.runtime.running import Running
from services.scheduler.domain.admission import POOL, admission
from services.scheduler.domain.pool import Admission
from services.scheduler.domain.reading import read
from services.scheduler.domain.state import Task
from services.scheduler.domain.walk import task

T = TypeVar("T")
#: Why somebody wants something; it is recorded for ever, and shown.
Reason = Annotated[str, Constraint(max_length=1_000)]
#: Faults that an answer lists, and characters of what it says about each.
MAX_ERRORS, MAX_DETAIL = 1_000, 1_000


class Submission(msgspec.Struct, frozen=True, kw_only=True):
    """A request that shall have its effect once."""

    #: The decoded body.
    data: Any
    #: SHA-256 of the body as it came.
    digest: str
    #: What ids are derived from.
    seed: str
    key: str
    actor: str


async def submission_of(request: Request, running: Running) -> Submission:
    """Read a request to submit. Raises Problem 400 and 413."""
    body = await body_of(request)
    key = request.headers.get("idempotency-key", "")
    return Submission(
        data=decoded(body),
        digest=hashlib.sha256(body).hexdigest(),
        seed=key or running.ids.new(),
        key=key,
        actor=actor(request),
    )


def require_same(submission: Submission, known: Task) -> None:
    """Hold a repeated Idempotency-Key to the body that it came with first. Raises Problem 422."""
    if known.request_digest != submission.digest:
        detail = f"Idempotency-Key {submission.key!r} was used for another body"
        raise Problem(422, "Idempotency key reused", detail)


async def look(running: Running, task_id: str) -> Task:
    """Read a task's state; phase `none` if there is no such task."""
    return (await look_all(running, [task_id]))[task_id]


async def look_all(running: Running, task_ids: Iterable[str]) -> dict[str, Task]:
    """Read the states of tasks by id; phase `none` where there is no such task."""
    found = {task_id: Task() for task_id in task_ids}
    named = [task_id for task_id in found if TOKEN.match(task_id)]
    return found | dict(zip(named, await running.look(task, named), strict=True))


async def pool_of(running: Running) -> Admission:
    """Read who holds a slot and who waits."""
    return await running.recall(admission, POOL)


def decoded(body: bytes) -> Any:
    """Decode JSON. Raises Problem 400."""
    try:
        return msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise Problem(400, "Malformed JSON", str(error)) from error
    except RecursionError as error:
        raise Problem(400, "Malformed JSON", "the body is nested too deeply") from error


def parse(body: bytes, type_: type[T]) -> T:
    """Decode a request body. Raises Problem 400 and 422, naming the fields."""
    return typed(decoded(body), type_)


def typed(data: Any, type_: type[T]) -> T:
    """Give decoded JSON its type. Raises Problem 422, naming every field that does not fit."""
    value, faults = read(data, type_)
    if value is None:
        raise refusal("Invalid request", [{"field": field, "detail": detail} for field, detail in faults])
    return value


def refusal(title: str, errors: Sequence[dict[str, Any]], field: str = "") -> Problem:
    """Build a Problem 422 that lists every fault; `field` names the place of the first if it is not its own."""
    # What is wrong may be quoted in it, and be as large as the body.
    told = [{**error, "detail": _shortened(error["detail"])} for error in errors[:MAX_ERRORS]]
    place, more = field or told[0]["field"], len(errors) - 1
    detail = f"{place or 'the body'}: {told[0]['detail']}" + (
        f" (and {more} more in `errors`)" if more else ""
    )
    return Problem(422, title, detail, field=place, errors=told)


def _shortened(text: str) -> str:
    """Cut a text that is too long to be read."""
    return text if len(text) <= MAX_DETAIL else f"{text[:MAX_DETAIL]}…"


def actor(request: Request) -> str:
    """Name who asks in a line that can be shown; a bearer token has no name of its own, so the client may give one."""
    given = request.headers.get("x-actor", "")
    with contextlib.suppress(UnicodeDecodeError):
        # UTF-8, as clients send it; else what the protocol calls text.
        given = given.encode("latin-1").decode()
    shown = "".join(letter if letter.isprintable() else " " for letter in given)
    return " ".join(shown.split())[:100] or "api"
