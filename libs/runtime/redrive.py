"""Hands a stream that a dead letter holds back to its consumer once more, from the record, in order, with the inbox.

A dead letter holds its stream back: the inbox has not moved past the failed event, so no later one was handled either.
A redrive goes on where the inbox stands and ends at the stream's end. So nothing is left out or handled twice, whichever
of the stream's letters is redriven, and however much has happened since.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import partial
from typing import Annotated, Any

import msgspec
import structlog
from fastapi import APIRouter, Depends, Header, Request
from fastapi.responses import Response

from contracts.message import Recorded
from libs.eventstore.store import DuplicateDeliveryError, InboxMark
from libs.messaging.bus import BusError, Settlement
from libs.messaging.outcome import Reject, Retry
from libs.runtime.http import Problem, bearer, body_of, json_response
from libs.runtime.running import NotLeaderError, Running
from libs.runtime.service import Consumer
from libs.runtime.work import Work

log = structlog.get_logger(__name__)

#: Times that a redrive gives way to an ordinary delivery of the same stream before it gives up.
PATIENCE = 20


class LetterRef(msgspec.Struct, frozen=True, kw_only=True):
    """A dead letter to settle."""

    id: str
    version: int


class Wish(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A stream to redrive, with its letters."""

    consumer: str
    stream: str
    letters: tuple[LetterRef, ...]
    reason: str = ""


class Redriven(msgspec.Struct, frozen=True, kw_only=True):
    """What came of it."""

    consumer: str
    stream: str
    #: Events that took effect now.
    handled: int
    #: Version up to which the consumer has handled the stream.
    upto: int
    #: Letters that need nobody any more.
    settled: tuple[str, ...]
    #: Why it went no further; empty where it reached the end.
    failure: str = ""


class _HeldError(Exception):
    """Leaves `perform` without a commit."""


async def redrive(running: Running, wish: Wish, actor: str) -> Redriven:
    """Handle what a consumer has not handled of a stream, and settle the letters about what it then has.

    What the events lead to names `actor`. If the process dies in between, the letters stay and a repetition finds the
    inbox where it got to. Raises Problem for another service's consumer, NotLeaderError, StaleLeaseError,
    StoreUnavailableError, BusError.
    """
    catch_up = _catch_up_for(running, wish, actor)
    handled, failure = 0, ""
    for _ in range(PATIENCE):
        try:
            done, failure = await catch_up()
            handled += done
            break
        except DuplicateDeliveryError:
            failure = "other deliveries of the stream were faster again and again; repeat it"
    upto = await running.store.handled(wish.consumer, wish.stream)
    # Where the end was reached, a letter beyond it is about an event that the record never held: nothing to hand over.
    settled = [letter.id for letter in wish.letters if not failure or letter.version <= upto]
    outcome = f"handled {handled} events, up to version {upto}"
    for letter_id in settled:
        note = Settlement(
            letter_id=letter_id, outcome=outcome, actor=actor, reason=wish.reason, at=running.clock.now()
        )
        await running.bus.settle_letter(wish.consumer, note)
        running.letter_settled(wish.consumer)
    log.warning(
        "redriven",
        durable=wish.consumer,
        stream=wish.stream,
        actor=actor,
        reason=wish.reason,
        handled=handled,
        upto=upto,
        settled=settled,
        failure=failure,
    )
    return Redriven(
        consumer=wish.consumer,
        stream=wish.stream,
        handled=handled,
        upto=upto,
        settled=tuple(settled),
        failure=failure,
    )


async def _catch_up(running: Running, consumer: Consumer, wish: Wish, actor: str) -> tuple[int, str]:
    before = await running.store.handled(wish.consumer, wish.stream)
    events = await running.store.read_stream(wish.stream, before, types=consumer.types)
    for done, event in enumerate(events):
        mark = InboxMark(consumer=wish.consumer, stream=event.stream, before=before, version=event.version)
        try:
            await running.perform(_turn(consumer, event), cause=event, inbox=mark, actor=actor)
        except _HeldError as error:
            return done, f"version {event.version} ({event.type}): {error}"
        before = event.version
    return len(events), ""


def _turn(consumer: Consumer, event: Recorded) -> Any:
    async def act(work: Work) -> None:
        try:
            outcome = await consumer.handle(event, work)
        except Exception as error:
            raise _HeldError(f"{type(error).__name__}: {error}") from error
        if isinstance(outcome, (Retry, Reject)):
            raise _HeldError(outcome.reason)

    return act


def _catch_up_for(running: Running, wish: Wish, actor: str) -> Callable[[], Awaitable[tuple[int, str]]]:
    if redrive := running.redrives.get(wish.consumer):
        return partial(redrive, wish.stream, actor)
    name = running.service.name
    for consumer in running.service.consumes:
        if consumer.durable(name) == wish.consumer:
            return partial(_catch_up, running, consumer, wish, actor)
    if wish.consumer in (follower.durable(name) for follower in running.service.follows):
        raise NotLeaderError(f"{running.config.holder} does not follow the record at the moment")
    raise Problem(404, "Not found", f"{name} has no consumer {wish.consumer}", field="consumer")


def routes(running: Running) -> APIRouter:
    """Build the route that every service with consumers has."""
    router = APIRouter(prefix="/v1", dependencies=[Depends(bearer(running.config.api_token))])

    @router.post("/redrive")
    async def post(request: Request, x_actor: Annotated[str, Header()] = "") -> Response:
        """Hand a stream that dead letters hold back to its consumer once more."""
        try:
            wish = msgspec.json.decode(await body_of(request), type=Wish)
        except msgspec.MsgspecError as error:
            raise Problem(422, "Invalid request", str(error)) from error
        try:
            return json_response(await redrive(running, wish, x_actor))
        except BusError as error:
            raise Problem(
                503, "Bus unavailable", f"{error}; repeat it", headers={"Retry-After": "2"}
            ) from error

    return router
