"""One dead letter, with what a person can do about it."""

from __future__ import annotations

from typing import Any

import pytest

from libs.eventstore.store import Append, InboxMark
from libs.messaging.bus import DeadLetter
from tests.integration.dashboard.test_api import Program, World, read


def letter(world: World, **values: Any) -> DeadLetter:
    return DeadLetter(
        id="gate-judge-7", consumer="gate-judge", reason="broken", attempts=8, at=world.clock.now(), **values
    )


async def test_a_letter_about_nothing_that_was_recorded_says_so(world: World, program: Program) -> None:
    world.bus.letters = (letter(world, event_id="invented"),)
    shown = await read(program(world), "dead-letters/gate-judge-7")
    assert shown["letter"]["reason"] == "broken"
    assert not shown["recorded"]
    assert "nobody lacks it" in shown["hint"]


@pytest.mark.parametrize(("handled", "hint"), [(0, "stands at version 0"), (1, "has handled it since")])
async def test_the_hint_says_how_far_the_consumer_has_come(
    told: World, program: Program, handled: int, hint: str
) -> None:
    event = (await told.pen.store.read_stream("task-t-wrong"))[0]
    told.bus.letters = (letter(told, event_id=event.id, stream=event.stream, version=1),)
    if handled:
        mark = InboxMark(consumer="gate-judge", stream=event.stream, before=0, version=handled)
        await told.pen.store.append(Append(service="gate", inbox=(mark,)))
    shown = await read(program(told), "dead-letters/gate-judge-7")
    assert (shown["recorded"], shown["handled"]) == (True, handled)
    assert hint in shown["hint"]
    assert "autopilot dlq redrive gate-judge-7" in shown["hint"]


async def test_a_letter_that_is_not_there_is_not_found(world: World, program: Program) -> None:
    answer = await program(world).get("/api/v1/dead-letters/none")
    assert answer.status_code == 404
