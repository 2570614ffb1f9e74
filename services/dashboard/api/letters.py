"""Dead letters: messages that were given up and wait for somebody."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Path
from fastapi.responses import Response

from libs.messaging.bus import BusError, DeadLetter
from libs.runtime.http import Problem, json_response
from libs.runtime.running import Running
from services.dashboard.api.record import Limit
from services.dashboard.api.secure import SecureRoute

#: Letters that are looked through for one.
MANY = 10_000


def routes(running: Running) -> APIRouter:
    """Build the routes about dead letters."""
    router = APIRouter(route_class=SecureRoute)

    async def letters(limit: int) -> list[DeadLetter]:
        try:
            return await running.bus.dead_letters(limit=limit)
        except BusError as error:
            raise Problem(503, "Bus unavailable", str(error), headers={"Retry-After": "2"}) from error

    @router.get("/dead-letters")
    async def listing(limit: Limit = 100) -> Response:
        """List messages that were given up, newest first."""
        return json_response({"dead_letters": await letters(limit)})

    @router.get("/dead-letters/{letter_id}")
    async def one(letter_id: Annotated[str, Path(max_length=300)]) -> Response:
        """Show a message that was given up, and how far its consumer has come in its stream since."""
        letter = next((one for one in await letters(MANY) if one.id == letter_id), None)
        if letter is None:
            raise Problem(404, "Not found", f"no dead letter {letter_id} waits for anybody")
        recorded = await running.store.find(letter.event_id) is not None
        handled = await running.store.handled(letter.consumer, letter.stream)
        hint = hint_about(letter, handled, recorded=recorded)
        return json_response({"letter": letter, "recorded": recorded, "handled": handled, "hint": hint})

    return router


def hint_about(letter: DeadLetter, handled: int, *, recorded: bool) -> str:
    """Tell what a person can do about a letter."""
    redrive = f"`autopilot dlq redrive {letter.id}`"
    if not recorded:
        return f"The record holds no such event, so nobody lacks it; {redrive} takes the letter off the list."
    if handled >= letter.version:
        return f"{letter.consumer} has handled it since; {redrive} takes the letter off the list."
    return (
        f"{letter.consumer} stands at version {handled} of {letter.stream}; what follows waits behind it. Mend the "
        f"cause (`reason`, and the service's log at that time), then {redrive} goes on from there, in order."
    )
