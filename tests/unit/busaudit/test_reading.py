"""Which part of stream and record is looked at in one look, and what waits for the next."""

from __future__ import annotations

import random
from itertools import pairwise
from typing import Any

import msgspec
import pytest

from libs.busaudit import stranding
from libs.busaudit.auditor import LOOK_S, SEQUENCES, Auditor
from libs.busaudit.comparison import NEXT
from libs.busaudit.memory import MemoryRecord, MemoryView
from libs.busaudit.ports import LEASE_S, Stretch, Wanted
from libs.busaudit.sight import MARKS, Mark, thinned
from libs.busaudit.stranding import Stranding
from libs.eventstore.store import Append, InboxMark
from libs.testing.samples import registry
from tests.unit.busaudit.test_auditor import NOTES, TOPOLOGY, Place


def marks(*sequences: int) -> tuple[Mark, ...]:
    return tuple(Mark(sequence, str(sequence)) for sequence in sequences)


def test_of_too_many_marks_the_one_goes_that_tells_least() -> None:
    full = range(10, 10 * MARKS + 1, 10)
    assert thinned(marks(*full[:-1]), *marks(full[-1])) == marks(*full)
    assert thinned(marks(*full), *marks(full[-1] + 1)) == marks(*full[:-1], full[-1] + 1)
    assert thinned(marks(10, 11, *full[1:-1]), *marks(1_000)) == marks(10, *full[1:-1], 1_000)


def test_a_thousand_marks_become_a_few_that_are_spread_from_the_first_to_the_newest() -> None:
    kept: tuple[Mark, ...] = ()
    for sequence in range(1, 1_001):
        kept = thinned(kept, *marks(sequence))
    assert (len(kept), kept[0].sequence, kept[-1].sequence) == (MARKS, 1, 1_000)
    # Half of them would be 83 apart if all gaps were alike.
    assert max(later.sequence - sooner.sequence for sooner, later in pairwise(kept)) <= 83


def test_marks_behind_a_newer_one_are_forgotten() -> None:
    assert thinned(marks(1, 5, 9), *marks(5)) == marks(1, 5)


async def foreign(place: Place) -> None:
    message = place.server.messages[-1]
    place.server.inject(
        message.subject,
        {**message.headers, "ce-id": "00000000-0000-4000-8000-00000000abcd", "Nats-Msg-Id": "x"},
        message.payload,
    )


@pytest.mark.parametrize("behind", [NEXT, NEXT + 1, 2 * NEXT + 10])
async def test_the_newest_messages_are_read_even_while_older_ones_wait(behind: int) -> None:
    place = Place()
    await place.looks(2)
    await place.write(behind)
    await foreign(place)
    await place.looks()
    assert "is no event of the record" in place.epoch.reason


async def test_messages_that_come_one_by_one_are_compared_one_by_one() -> None:
    place = Place()
    await place.write(30)
    await place.consume()
    await place.looks(3)
    for due in range(31, 35):
        await place.write(1)
        await place.consume()
        await place.looks()
        assert place.memory().compared == due


async def test_an_older_message_that_is_not_what_it_was_is_found_sooner_or_later() -> None:
    place = Place()
    await place.looks(2)
    for _ in range(12):
        await place.write(1)
        await place.consume()
        await place.looks()
    log = place.server._log
    log[4] = log[4]._replace(payload=b"{}")
    await place.looks(100)
    assert "message 4 on" in place.epoch.reason


class Counted(MemoryRecord):
    """Counts how often it is asked for a stretch."""

    asked = 0

    async def stretch(self, *args: Any, **options: Any) -> Stretch:
        """Count and answer."""
        self.asked += 1
        return await super().stretch(*args, **options)


class Walk:
    """A record that is looked at in stretches of ten events, three in a look."""

    def __init__(self, *wanted: Wanted) -> None:
        self.place = Place()
        self.record = Counted(self.place.store)
        self.stranding = Stranding(MemoryView(self.place.server, TOPOLOGY), self.record, wanted or (NOTES,))
        self.settled = (0, 0)

    async def look(self) -> list[str]:
        self.record.asked = 0
        self.settled, found = await self.stranding.look(self.settled)
        return found

    async def lose(self) -> None:
        """Acknowledge what nobody has handled."""
        while deliveries := await self.place.bus.fetch("keeper-notes", 64, 0.0):
            for delivery in deliveries:
                await delivery.ack()

    async def slow(self) -> list[Any]:
        """Record five events of one stream that stay in hand, and 25 of another that are handled."""
        await self.place.write(5, "a")
        held = await self.place.bus.fetch("keeper-notes", 5, 0.0)
        assert len(held) == 5
        await self.place.write(25, "b")
        await self.place.store.append(
            Append(
                service="tester",
                inbox=(InboxMark(consumer="keeper-notes", stream="case-b", before=0, version=25),),
            )
        )
        await self.lose()
        self.place.clock.advance(3)
        return held


@pytest.fixture(autouse=True)
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stranding, "STRETCH", 10)
    monkeypatch.setattr(stranding, "STRETCHES", 3)


async def test_what_is_handled_is_walked_through_a_few_stretches_a_look() -> None:
    walk = Walk()
    await walk.place.write(45)
    await walk.place.consume()
    seen = []
    for _ in range(4):
        assert await walk.look() == []
        seen.append((walk.settled[1], walk.record.asked))
    assert seen == [(30, 3), (45, 2), (45, 1), (45, 1)]


async def test_behind_what_is_open_nothing_counts_as_settled() -> None:
    walk = Walk()
    await walk.slow()
    asked = []
    for _ in range(3):
        assert await walk.look() == []
        assert walk.settled == (0, 0)
        asked.append(walk.record.asked)
    # The open ones alone; what lies behind them, to the end; the open ones again.
    assert asked == [1, 3, 1]


async def test_after_a_restart_the_open_events_are_looked_at_first() -> None:
    walk = Walk()
    held = await walk.slow()
    assert await walk.look() == []
    for delivery in held:
        await delivery.ack()
    walk.stranding.restart()
    (found,) = await walk.look()
    assert found == "5 events never reach keeper-notes, the first is version 1 of case-a"


async def test_an_event_is_given_time_to_arrive() -> None:
    walk = Walk()
    await walk.place.write(1)
    await walk.lose()
    walk.place.clock.advance(stranding.GRACE_S)
    assert await walk.look() == []
    walk.place.clock.advance(0.001)
    assert await walk.look() != []


async def test_a_durable_that_is_not_idle_hides_no_loss_of_the_next_one() -> None:
    walk = Walk(Wanted(durable="gone", types=("noted",)), NOTES)
    await walk.place.write(1)
    await walk.lose()
    walk.place.clock.advance(3)
    (found,) = await walk.look()
    assert "never reach keeper-notes" in found


async def test_who_does_not_lead_looks_at_nothing() -> None:
    place = Place()
    await place.write(3)
    await place.looks(2)
    view = MemoryView(place.server, TOPOLOGY)
    standby = Auditor(
        view, MemoryRecord(place.store, "other"), [NOTES], registry, place.clock.now, random.Random(1)
    )
    place.server.available = False
    # It would raise that the bus is not there.
    assert await standby.look() == LOOK_S
    place.server.available = True
    place.server.wipe()
    assert await standby.look() == LOOK_S
    assert place.epoch.epoch == 1
    place.clock.advance(LEASE_S + 1)
    assert await standby.look() == 0.0
    assert place.epoch.epoch == 2


@pytest.mark.parametrize("remembered", [None, 7])
async def test_a_bus_of_whose_epoch_nothing_is_remembered_is_made_anew(remembered: int | None) -> None:
    place = Place()
    await place.write(3)
    await place.looks(3)
    other = None if remembered is None else msgspec.structs.replace(place.memory(), epoch=remembered)
    place.store.audit = None if other is None else msgspec.json.encode(other)
    place.auditor = place.another()
    place.clock.advance(LEASE_S + 1)
    await place.looks()
    assert (place.epoch.epoch, place.epoch.reason) == (2, "nothing is remembered of this epoch")
    await place.looks(10)
    assert place.epoch.sound


async def test_a_bus_without_its_stream_is_made_anew() -> None:
    place = Place()
    await place.write(3)
    await place.looks(3)
    view = place.auditor._bus

    async def nothing() -> None:
        return None

    sight, view.sight = view.sight, nothing  # type: ignore[method-assign]
    await place.looks()
    assert (place.epoch.epoch, place.epoch.reason) == (2, "there is no stream of events")
    # Nor is there one a turn later: it goes on once there is.
    await place.looks(3)
    assert place.epoch.state == "rebuilding"
    view.sight = sight  # type: ignore[method-assign]
    await place.looks(10)
    assert place.epoch.sound


def alter_first(place: Place) -> None:
    log = place.server._log
    log[min(log)] = log[min(log)]._replace(payload=b"{}")


async def test_the_very_first_message_is_compared_in_the_first_epoch() -> None:
    place = Place()
    await place.write(3)
    alter_first(place)
    await place.looks(2)
    assert "message 1 on" in place.epoch.reason


async def test_the_very_first_message_is_compared_again_after_a_start_of_the_server() -> None:
    place = Place()
    await place.write(3)
    await place.consume()
    await place.looks(3)
    alter_first(place)
    place.server.starts += 1
    await place.looks()
    assert "message 1 on" in place.epoch.reason


async def test_the_very_first_message_is_compared_in_an_epoch_that_was_made_anew() -> None:
    place = Place()
    await place.write(3)
    await place.looks(3)
    place.server.wipe()
    place.server.ensure(TOPOLOGY)
    while place.epoch.epoch < 2 or not place.epoch.sound:
        await place.looks()
    alter_first(place)
    await place.looks()
    assert f"message {2 * SEQUENCES} on" in place.epoch.reason


async def test_an_auditor_that_dies_after_its_first_look_is_followed_by_one_that_goes_on() -> None:
    place = Place()
    await place.write(3)
    await place.auditor.look()
    place.auditor = place.another()
    place.clock.advance(LEASE_S + 1)
    await place.looks(3)
    assert (place.epoch.epoch, place.memory().compared) == (1, 3)


async def test_before_there_is_a_stream_no_epoch_begins() -> None:
    place = Place()
    view = place.auditor._bus

    async def nothing() -> None:
        return None

    sight, view.sight = view.sight, nothing  # type: ignore[method-assign]
    await place.looks(3)
    assert place.epoch.epoch == 0
    view.sight = sight  # type: ignore[method-assign]
    await place.looks()
    assert (place.epoch.epoch, place.epoch.sound) == (1, True)


async def test_what_everybody_had_handled_is_not_read_again_for_a_new_epoch() -> None:
    place = Place()
    await place.write(30)
    await place.consume()
    await place.looks(10)
    settled = place.memory().settled
    assert settled[1] == 30
    record = place.auditor._record
    requeue, asked = record.requeue, list[Any]()

    async def noted(claim: Any, wanted: Any, after: Any) -> int:
        asked.append(after)
        return await requeue(claim, wanted, after)

    record.requeue = noted  # type: ignore[method-assign]
    place.server.wipe()
    place.server.ensure(TOPOLOGY)
    await place.looks(10)
    assert place.epoch.sound
    assert asked == [settled]
    assert place.memory().settled == settled


async def test_what_the_limits_remove_between_look_and_reading_is_not_missing() -> None:
    place = Place()
    await place.write(10)
    await place.looks()
    view, log = place.auditor._bus, place.server._log
    read = view.read

    async def later(sequence: int, count: int) -> Any:
        for oldest in range(1, 6):
            log.pop(oldest, None)
        return await read(sequence, count)

    view.read = later  # type: ignore[method-assign]
    await place.looks()
    assert (place.epoch.epoch, place.memory().compared) == (1, 10)


async def test_where_nothing_can_be_read_the_first_message_is_missing() -> None:
    place = Place()
    await place.write(10)
    await place.looks()

    async def nothing(sequence: int, count: int) -> Any:
        return []

    place.auditor._bus.read = nothing  # type: ignore[method-assign]
    await place.looks()
    assert place.epoch.reason == "message 1 is missing"
