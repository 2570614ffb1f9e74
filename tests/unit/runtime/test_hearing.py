"""Control events: told to each process once and in order, whatever becomes of the hints."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from libs.eventstore.store import StoreUnavailableError
from libs.runtime import hearing as hearing_
from libs.runtime.hearing import Hearing
from libs.runtime.running import Running
from libs.runtime.service import Hearer
from libs.testing.samples import Aside, Closed
from tests.unit.runtime.house import House


class Place(House):
    """A house whose service writes down what it hears."""

    def __init__(self, in_force: str = "") -> None:
        self.heard: list[str] = []
        self.trouble: Exception | None = None

        async def hear(event: Aside | Closed, running: Running) -> None:
            if self.trouble is not None:
                raise self.trouble
            self.heard.append(event.case_id)

        super().__init__(hears=(Hearer(hear, in_force=in_force),))
        self.hearing = Hearing(self.running)

    async def say(self, *cases: str) -> None:
        """Let the visitor say something."""
        await self.news(*(Aside(case_id=case) for case in cases))


async def test_what_is_said_from_the_beginning_on_is_told_once_and_in_order() -> None:
    place = Place()
    await place.say("before")
    await place.hearing.open()
    await place.say("a", "b")
    await place.hearing.step()
    await place.say("c")
    await place.hearing.step()
    await place.hearing.step()
    assert place.heard == ["a", "b", "c"]


async def test_what_is_in_force_is_told_first() -> None:
    place = Place(in_force="side-a")
    await place.say("a", "b")
    await place.hearing.open()
    assert place.heard == ["a"]


async def test_what_cannot_be_handled_holds_nothing_up() -> None:
    place = Place()
    await place.hearing.open()
    place.trouble = ValueError("a fault of the handler")
    await place.say("a")
    await place.hearing.step()
    place.trouble = None
    await place.say("b")
    await place.hearing.step()
    assert place.heard == ["b"]


async def test_while_the_record_is_away_nothing_is_lost() -> None:
    place = Place()
    await place.hearing.open()
    await place.say("a")
    place.trouble = StoreUnavailableError("away")
    with pytest.raises(StoreUnavailableError):
        await place.hearing.step()
    place.trouble = None
    await place.hearing.step()
    assert place.heard == ["a"]


@pytest.mark.parametrize("hinted", [True, False])
async def test_a_hint_is_not_needed_and_not_waited_for(hinted: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    # With hints nothing waits for the next look; without any, the next look finds it.
    monkeypatch.setattr(hearing_, "LOOK_S", 3_600.0 if hinted else 0.01)
    place = Place()
    if not hinted:
        monkeypatch.setattr(place.running.bus, "hear", _deaf)
    await place.hearing.open()
    listening = asyncio.create_task(place.hearing.run())
    await asyncio.sleep(0)
    await place.say("a")
    async with asyncio.timeout(30):
        while not place.heard:
            await asyncio.sleep(0.001)
    listening.cancel()
    assert place.heard == ["a"]


async def test_what_was_hinted_at_too_early_is_found_soon_after(monkeypatch: pytest.MonkeyPatch) -> None:
    """The hint is faster than the record may be read: another transaction is open."""
    monkeypatch.setattr(hearing_, "LOOK_S", 3_600.0)
    place = Place()
    await place.hearing.open()
    read, early = place.store.read_page, 3

    async def late(*args: Any, **options: Any) -> Any:
        nonlocal early
        early -= 1
        return None if early >= 0 else await read(*args, **options)

    monkeypatch.setattr(place.store, "read_page", late)
    listening = asyncio.create_task(place.hearing.run())
    await asyncio.sleep(0)
    await place.say("a")
    async with asyncio.timeout(30):
        while not place.heard:
            await asyncio.sleep(0.001)
    listening.cancel()
    assert early == -1


async def _deaf(*_: Any) -> None:
    """Hear nothing, as on a bus that loses every hint."""
