"""Dead letters: what they hold back, and how a stream goes on after somebody has mended the cause."""

from __future__ import annotations

import asyncio
import random
from typing import Any

import httpx
import pytest
from fastapi import FastAPI

from libs.messaging.bus import MAX_DELIVER
from libs.messaging.outcome import Reject
from libs.runtime import redrive as module
from libs.runtime.http import Problem
from libs.runtime.redrive import LetterRef, Wish, redrive
from libs.runtime.service import Consumer
from libs.runtime.work import Work
from tests.unit.runtime.house import Aside, House
from tests.unit.runtime.test_consumption import Listener, asides, house_with, rounds

DURABLE = "keeper-hear"


@pytest.fixture
def listener() -> Listener:
    return Listener()


@pytest.fixture
async def house(listener: Listener) -> House:
    made = house_with(listener)
    await made.lead()
    return made


def wish(house: House, stream: str = "side-x") -> Wish:
    """Redrive a stream with all of its letters."""
    letters = [letter for letter in house.server.open_letters() if letter.stream == stream]
    refs = tuple(LetterRef(id=letter.id, version=letter.version) for letter in letters)
    return Wish(consumer=DURABLE, stream=stream, letters=refs, reason="mended")


async def test_what_follows_a_dead_letter_in_its_stream_waits_behind_it(
    house: House, listener: Listener
) -> None:
    listener.trouble["x.2"] = Reject(reason="makes no sense")
    await house.news(*asides("x", 4), *asides("y", 2))
    await rounds(house, 3)
    assert sorted(listener.heard) == ["x.1", "y.1", "y.2"]
    assert await house.store.handled(DURABLE, "side-x") == 1
    assert [letter.version for letter in house.server.open_letters()] == [4, 3, 2]


@pytest.mark.parametrize("which", [2, 3, 4])
async def test_a_redrive_goes_on_where_the_inbox_stands_and_ends_at_the_end(
    house: House, listener: Listener, which: int
) -> None:
    listener.trouble["x.2"] = Reject(reason="makes no sense")
    await house.news(*asides("x", 4))
    await rounds(house, 3)
    listener.trouble.clear()
    # Recorded meanwhile, and not even published.
    await house.news(*asides("x"), publish=lambda _: False)
    letters = tuple(letter for letter in wish(house).letters if letter.version == which)
    done = await redrive(house.running, Wish(consumer=DURABLE, stream="side-x", letters=letters), "ann")
    assert (done.handled, done.upto, done.failure) == (4, 5, "")
    assert listener.heard == ["x.1", "x.2", "x.3", "x.4", "x.5"]
    assert await house.texts("x") == listener.heard
    assert len(house.server.open_letters()) == 2


async def test_what_was_redriven_and_is_delivered_after_all_is_a_duplicate(
    house: House, listener: Listener
) -> None:
    listener.trouble["x.1"] = Reject(reason="makes no sense")
    await house.news(*asides("x", 2))
    await rounds(house, 2)
    messages = list(house.server.messages)
    listener.trouble.clear()
    await redrive(house.running, wish(house), "ann")
    house.clock.advance(1_000)
    for message in messages:
        house.server.inject(message.subject, message.headers, message.payload)
    await rounds(house, 2)
    again = await redrive(house.running, wish(house), "ann")
    assert (again.handled, again.upto) == (0, 2)
    assert listener.heard == ["x.1", "x.2"]
    assert house.server.open_letters() == []


async def test_one_that_fails_again_keeps_its_letters_and_says_why(house: House, listener: Listener) -> None:
    listener.trouble["x.1"] = Reject(reason="makes no sense")
    await house.news(*asides("x", 3))
    await rounds(house, 3)
    listener.trouble = {"x.2": RuntimeError("still no luck")}
    done = await redrive(house.running, wish(house), "ann")
    assert (done.handled, done.upto) == (1, 1)
    assert done.failure == "version 2 (aside): RuntimeError: still no luck"
    assert [letter.version for letter in house.server.open_letters()] == [3, 2]


async def test_a_letter_keeps_who_settled_it_and_why_and_so_do_the_events(
    house: House, listener: Listener
) -> None:
    listener.trouble["x.1"] = Reject(reason="makes no sense")
    await house.news(*asides("x"))
    await rounds(house)
    listener.trouble.clear()
    await redrive(house.running, wish(house), "ann")
    (note,) = house.server.settled.values()
    assert (note.actor, note.reason, note.outcome) == ("ann", "mended", "handled 1 events, up to version 1")
    (event,) = await house.store.read_stream("case-x")
    assert event.meta.actor == "ann"
    (news,) = await house.store.read_stream("side-x")
    assert event.meta.causation_id == news.id


async def test_a_letter_about_what_was_never_recorded_is_settled_and_nothing_is_handled(
    house: House, listener: Listener
) -> None:
    house.server.inject("autopilot.v1.side.z.aside", {"ce-id": "nothing"}, b"?")
    await rounds(house)
    (letter,) = house.server.open_letters()
    ref = LetterRef(id=letter.id, version=letter.version)
    done = await redrive(house.running, Wish(consumer=DURABLE, stream=letter.stream, letters=(ref,)), "ann")
    assert (done.handled, done.settled) == (0, (letter.id,))
    assert listener.heard == []
    assert house.server.open_letters() == []


async def test_an_ordinary_delivery_at_the_same_time_leaves_nothing_out(
    house: House, listener: Listener
) -> None:
    listener.trouble["x.1"] = Reject(reason="makes no sense")
    await house.news(*asides("x"))
    await rounds(house)
    listener.trouble.clear()
    await house.news(*asides("x", 5))
    _, done = await asyncio.gather(rounds(house, 2), redrive(house.running, wish(house), "ann"))
    await rounds(house, 2)
    assert done.failure == ""
    assert sorted(await house.texts("x")) == [f"x.{n}" for n in range(1, 7)]


@pytest.mark.parametrize("seed", range(10))
async def test_whatever_fails_and_is_redriven_everything_takes_effect_once_and_in_order(
    house: House, listener: Listener, seed: int
) -> None:
    chance = random.Random(seed)
    for _ in range(6):
        await house.news(
            *(Aside(case_id=chance.choice("xyz")) for _ in range(chance.randrange(5))),
            publish=lambda _: chance.random() < 0.7,
        )
        listener.trouble = {
            f"{case}.{version}": Reject(reason="no")
            for case in "xyz"
            for version in range(1, 20)
            if chance.random() < 0.2
        }
        await rounds(house, 2)
        for letter in chance.sample(house.server.open_letters(), len(house.server.open_letters())):
            if chance.random() < 0.3:
                await redrive(house.running, wish(house, letter.stream), "ann")
    listener.trouble.clear()
    await house.visitor.sweep()
    await rounds(house, 2)
    for case in "xyz":
        await redrive(house.running, wish(house, f"side-{case}"), "ann")
        recorded = await house.store.read_stream(f"side-{case}")
        assert await house.texts(case) == [f"{case}.{event.version}" for event in recorded]
    assert house.server.open_letters() == []


async def test_another_services_consumer_is_refused(house: House) -> None:
    with pytest.raises(Problem, match="has no consumer"):
        await redrive(house.running, Wish(consumer="visitor-all", stream="side-x", letters=()), "ann")


async def test_a_handler_that_hangs_is_given_up_and_others_go_on() -> None:
    heard: list[str] = []

    async def hear(event: Aside, work: Work) -> Any:
        if event.case_id == "hangs":
            await asyncio.Event().wait()
        heard.append(event.case_id)

    house = House(Consumer(hear, patience_s=0.01))
    await house.lead()
    await house.news(*asides("hangs"), *asides("y", 3))
    await rounds(house)
    assert heard == ["y", "y", "y"]
    await rounds(house, MAX_DELIVER)
    (letter,) = house.server.open_letters()
    assert "NoDecisionError: no decision within 0.01 s" in letter.reason
    assert house.server.lag(DURABLE) == (0, 0)


async def test_a_time_out_of_the_handlers_own_is_not_taken_for_ours(house: House, listener: Listener) -> None:
    listener.trouble["x.1"] = TimeoutError("of its own")
    await house.news(*asides("x"))
    await rounds(house, MAX_DELIVER + 1)
    (letter,) = house.server.open_letters()
    assert letter.reason.endswith("TimeoutError: of its own")


async def test_over_http_it_wants_a_token_and_a_wish_that_can_be_read(
    house: House, listener: Listener
) -> None:
    listener.trouble["x.1"] = Reject(reason="makes no sense")
    await house.news(*asides("x"))
    await rounds(house)
    listener.trouble.clear()
    app = FastAPI()
    app.include_router(module.routes(house.running))
    app.add_exception_handler(Problem, lambda _, error: error.response())  # type: ignore[attr-defined,arg-type]
    transport = httpx.ASGITransport(app=app)
    async with httpx.AsyncClient(transport=transport, base_url="http://keeper") as client:
        (ref,) = wish(house).letters
        body = {"consumer": DURABLE, "stream": "side-x", "letters": [{"id": ref.id, "version": 1}]}
        assert (await client.post("/v1/redrive", json=body)).status_code == 401
        headers = {"Authorization": "Bearer api-token", "X-Actor": "ann"}
        assert (await client.post("/v1/redrive", json={"x": 1}, headers=headers)).status_code == 422
        answer = await client.post("/v1/redrive", json=body, headers=headers)
    assert answer.json()["handled"] == 1
    assert await house.texts("x") == ["x.1"]
