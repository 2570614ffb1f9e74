"""The auditor's turns over the in-memory twins: what it finds, what it leaves alone, and how often it rebuilds."""

from __future__ import annotations

import itertools
import random
from datetime import timedelta
from typing import Any

import msgspec
import pytest

from contracts.message import Recorded
from libs.busaudit.auditor import SEQUENCES, Auditor
from libs.busaudit.comparison import NEXT
from libs.busaudit.memory import MemoryRecord, MemoryView
from libs.busaudit.ports import Wanted
from libs.busaudit.sight import Notes
from libs.eventstore.memory import MemoryStore
from libs.eventstore.outbox import Relay
from libs.eventstore.store import Append, InboxMark, NewEvent, StreamAppend, StreamHead
from libs.messaging import cloudevents
from libs.messaging.memory import MemoryBus, MemoryServer
from libs.messaging.topology import ServiceDeclaration, derive
from libs.testing.buscase import KEEPER
from libs.testing.clock import ManualClock
from libs.testing.samples import Noted, first, registry

TESTER = ServiceDeclaration(name="tester", publishes=("side",))
TOPOLOGY = derive([msgspec.structs.replace(KEEPER, name="keeper"), TESTER])
NOTES = Wanted(durable="keeper-notes", types=("noted",))


class Place:
    """A writer, a consumer, a bus and its auditor."""

    def __init__(self, seed: int = 1) -> None:
        self.clock = ManualClock()
        self.store = MemoryStore(registry, self.clock)
        self.server = MemoryServer(TOPOLOGY, self.clock)
        self.bus = MemoryBus(self.server, registry, "keeper")
        self.relay = Relay("tester", self.store, self.bus, back_off_s=0.0)
        self.auditor = self.another(seed)

    def another(self, seed: int = 1) -> Auditor:
        return Auditor(
            MemoryView(self.server, TOPOLOGY),
            MemoryRecord(self.store),
            [NOTES],
            registry,
            self.clock.now,
            random.Random(seed),
        )

    async def write(self, count: int, case: str = "a") -> tuple[Recorded, ...]:
        notes = [Noted(case_id=case, count=n) for n in range(count)]
        stream = f"case-{case}"
        before = await self.store.read_stream(stream)
        append = first(*notes)
        if before:
            head = StreamHead(stream=stream, version=before[-1].version, hash=before[-1].hash)
            append = StreamAppend(head=head, events=append.events)
        news = tuple(
            NewEvent(id=one.id, event=one.event, meta=one.meta, recorded_at=self.clock.now())
            for one in append.events
        )
        recorded = await self.store.append(
            Append(service="tester", streams=(StreamAppend(head=append.head, events=news),))
        )
        await self.relay.publish(recorded)
        await self.relay.flush()
        return recorded

    async def consume(self) -> None:
        while deliveries := await self.bus.fetch("keeper-notes", 64, 0.0):
            for delivery in deliveries:
                event = delivery.recorded
                before = await self.store.handled("keeper-notes", event.stream)
                if event.version > before:
                    mark = InboxMark(
                        consumer="keeper-notes", stream=event.stream, before=before, version=event.version
                    )
                    await self.store.append(Append(service="tester", inbox=(mark,)))
                await delivery.ack()

    async def looks(self, count: int = 1) -> None:
        for _ in range(count):
            wait_s = await self.auditor.look()
            self.clock.advance(max(wait_s, 0.01))
            await self.relay.sweep()

    @property
    def epoch(self) -> Any:
        return self.store.epoch

    def memory(self) -> Notes:
        assert self.store.audit is not None
        return msgspec.json.decode(self.store.audit, type=Notes)


@pytest.fixture
async def place() -> Place:
    place = Place()
    await place.write(30)
    await place.consume()
    await place.looks(3)
    assert place.memory().compared == 30
    return place


async def test_a_sound_bus_is_left_alone_and_nothing_is_written_at_rest(place: Place) -> None:
    kept = place.store.audit
    await place.looks(50)
    assert place.epoch.epoch == 1
    assert place.store.audit is kept


async def test_every_message_is_compared_once_a_part_at_a_time() -> None:
    place = Place()
    await place.looks(2)
    await place.write(2 * NEXT + 10)
    await place.consume()
    seen = []
    for _ in range(4):
        await place.looks()
        seen.append(place.memory().compared)
    assert seen == [NEXT, 2 * NEXT, 2 * NEXT + 10, 2 * NEXT + 10]
    assert place.epoch.epoch == 1


async def test_after_a_start_of_the_server_everything_is_read_again(place: Place) -> None:
    # What it lost it does not miss: no count tells.
    lost = dict(place.server._log)
    del lost[7]
    view = place.auditor._bus
    read = view.read

    async def holed(sequence: int, count: int) -> Any:
        return [message for message in await read(sequence, count) if message.sequence in lost]

    view.read = holed  # type: ignore[method-assign]
    place.server.starts += 1
    await place.looks()
    assert place.epoch.reason == "message 7 is missing"


def _headers(**changed: str | None) -> Any:
    def change(message: cloudevents.Message) -> cloudevents.Message:
        given = {name.replace("_", "-"): value for name, value in changed.items()}
        headers = {**message.headers, **given}
        kept = {name: value for name, value in headers.items() if value is not None}
        return message._replace(headers=kept)

    return change


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (_headers(ce_id=None), "no event of the record"),
        (_headers(ce_id="not an id"), "no event of the record"),
        (_headers(ce_id="00000000-0000-4000-8000-00000000abcd"), "no event of the record"),
        (_headers(ce_actor="somebody"), "as it was recorded"),
        (_headers(ce_streamversion="7"), "as it was recorded"),
        (_headers(ce_hash="0" * 64), "as it was recorded"),
        (_headers(ce_time="yesterday"), "cannot be read"),
        (lambda message: message._replace(payload=b"{"), "cannot be read"),
        (
            lambda message: message._replace(payload=message.payload.replace(b"29", b"30")),
            "as it was recorded",
        ),
        (lambda message: message._replace(subject="autopilot.v1.case.b.noted"), "belongs elsewhere"),
    ],
)
async def test_what_differs_from_the_record_in_anything_is_foreign(
    place: Place, change: Any, reason: str
) -> None:
    message = change(place.server.messages[-1])
    place.server.inject(message.subject, {**message.headers, "Nats-Msg-Id": "x"}, message.payload)
    await place.looks()
    assert reason in place.epoch.reason
    await place.looks(10)
    assert place.epoch.sound
    assert place.server.messages == ()


async def test_places_in_the_record_may_differ_as_after_a_restore(place: Place) -> None:
    message = _headers(ce_xid="77", ce_position="12345")(place.server.messages[-1])
    place.server.inject(message.subject, {**message.headers, "Nats-Msg-Id": "x"}, message.payload)
    await place.looks(5)
    assert place.epoch.epoch == 1


async def test_a_sequence_that_holds_another_event_than_before_was_used_again(place: Place) -> None:
    place.server.truncate(20)
    await place.write(15, case="b")
    place.server.starts -= 1
    await place.looks()
    assert "was used again" in place.epoch.reason


async def test_what_is_open_is_published_again_and_nothing_else(place: Place) -> None:
    late = await place.write(5)
    place.server.wipe()
    place.server.ensure(TOPOLOGY)
    await place.looks(10)
    assert place.epoch.sound
    assert place.epoch.epoch == 2
    assert [message.headers["ce-id"] for message in place.server.messages] == [event.id for event in late]
    assert place.server.first_sequence == 2 * SEQUENCES
    await place.consume()
    assert await place.store.handled("keeper-notes", "case-a") == 35


async def test_what_waits_in_the_outbox_or_is_on_its_way_is_not_lost(place: Place) -> None:
    place.server.available = False
    await place.write(3)
    place.server.available = True
    place.clock.advance(100)
    await place.auditor.look()
    assert place.epoch.epoch == 1
    await place.relay.sweep()
    assert place.server.take("keeper-notes", 2)
    place.clock.advance(1)
    await place.looks(20)
    assert place.epoch.epoch == 1


async def test_what_a_dead_letter_holds_back_is_not_lost(place: Place) -> None:
    await place.write(3)
    for delivery in await place.bus.fetch("keeper-notes", 64, 0.0):
        await place.bus.dead_letter(delivery, "keeper-notes", "no", place.clock.now())
    await place.looks(20)
    assert place.epoch.epoch == 1
    # The letters are lost, too: then nothing says any more why the events are open.
    place.server.letters.clear()
    await place.looks(20)
    assert "never reach keeper-notes" in place.epoch.reason
    await place.consume()
    assert await place.store.handled("keeper-notes", "case-a") == 33


async def test_many_events_that_are_open_for_long_hide_none_that_is_lost(place: Place) -> None:
    await place.write(1_500, case="b")
    deliveries = []
    while found := await place.bus.fetch("keeper-notes", 500, 0.0):
        for delivery in found:
            await place.bus.dead_letter(delivery, "keeper-notes", "no", place.clock.now())
            deliveries.append(delivery)
    assert len(deliveries) == 1_500
    await place.write(1, case="c")
    (delivery,) = await place.bus.fetch("keeper-notes", 1, 0.0)
    await delivery.ack()
    await place.looks(5)
    assert "version 1 of case-c" in place.epoch.reason


async def test_a_cause_that_stays_does_not_make_one_rebuild_after_the_other(place: Place) -> None:
    rebuilt: list[Any] = []
    rebuild = place.server.rebuild

    def counted(topology: Any, first_sequence: int) -> None:
        rebuilt.append(place.clock.now())
        rebuild(topology, first_sequence)

    place.server.rebuild = counted  # type: ignore[method-assign]
    for _ in range(300):
        await place.consume()
        if place.epoch.sound:
            await place.write(1)
            place.server.truncate(place.server.last_sequence - 1)
        await place.looks()
        place.clock.advance(2)
    pauses = [(later - sooner).total_seconds() for sooner, later in itertools.pairwise(rebuilt)]
    assert len(pauses) >= 5
    assert all(pause >= due for pause, due in zip(pauses, (10, 20, 40, 80, 160), strict=False)), pauses


class FullDisk:
    """A stream that stores nothing and answers nobody from a failed write on, until it is made anew with room."""

    def __init__(self, place: Place) -> None:
        self.server, self.full, self.failed = place.server, True, True
        self._store, self._rebuild = place.server.store, place.server.rebuild
        self.server.store, self.server.rebuild = self.store, self.rebuild  # type: ignore[method-assign]
        self.server.lose_confirmation = lambda event: self.failed

    def store(self, message: Any) -> None:
        self.failed = self.failed or self.full
        if not self.failed:
            self._store(message)

    def rebuild(self, topology: Any, first_sequence: int) -> None:
        self._rebuild(topology, first_sequence)
        self.failed = False


async def test_a_stream_that_stores_nothing_any_more_is_made_anew(place: Place) -> None:
    disk = FullDisk(place)
    await place.write(3, "b")
    disk.full = False
    await place.looks(25)
    assert place.epoch.epoch == 1
    await place.looks(20)
    assert place.epoch.epoch == 2
    assert "stored nothing" in place.epoch.reason
    assert place.epoch.sound
    await place.consume()
    assert await place.store.handled("keeper-notes", "case-b") == 3


async def test_while_the_disk_stays_full_it_is_tried_twice_a_minute_and_goes_on_once_there_is_room(
    place: Place,
) -> None:
    disk = FullDisk(place)
    await place.write(3, "b")
    began = place.clock.now()
    while place.epoch.epoch < 6:
        await place.looks()
    assert not place.epoch.sound
    assert (place.clock.now() - began).total_seconds() >= 5 * 30
    disk.full = False
    freed = place.clock.now()
    while not place.epoch.sound:
        await place.looks()
    assert (place.clock.now() - freed).total_seconds() <= 60
    await place.consume()
    assert await place.store.handled("keeper-notes", "case-b") == 3


async def test_a_stream_for_which_nothing_waits_is_not_stuck(place: Place) -> None:
    await place.looks(200)
    assert place.epoch.epoch == 1


async def test_what_waits_for_a_relay_that_does_not_try_says_nothing_about_the_bus(place: Place) -> None:
    disk = FullDisk(place)
    await place.write(3, "b")
    disk.full = disk.failed = False
    for _ in range(200):
        await place.auditor.look()
        place.clock.advance(1)
    assert place.epoch.epoch == 1


async def test_it_is_red_while_it_waits_with_a_rebuild(place: Place) -> None:
    for _ in range(2):
        place.server.wipe()
        place.server.ensure(TOPOLOGY)
        await place.looks(8)
    assert not place.epoch.sound
    assert place.epoch.epoch == 3
    place.clock.advance(timedelta(seconds=30).total_seconds())
    await place.looks(8)
    assert place.epoch.sound


@pytest.mark.parametrize("state", ["rebuilding", "rebuilt", "republishing"])
async def test_an_auditor_that_dies_in_any_state_leaves_the_next_one_to_go_on(
    place: Place, state: str
) -> None:
    await place.write(5)
    place.server.wipe()
    place.server.ensure(TOPOLOGY)
    while place.epoch.state != state:
        await place.auditor.look()
    place.auditor = place.another()
    place.clock.advance(10)
    await place.looks(10)
    assert place.epoch.sound
    assert place.epoch.epoch == 2
    await place.consume()
    assert await place.store.handled("keeper-notes", "case-a") == 35


async def test_a_stream_that_others_make_during_a_rebuild_is_made_again(place: Place) -> None:
    view = place.auditor._bus
    rebuild, calls = view.rebuild, list[int]()

    async def beaten(first_sequence: int) -> None:
        calls.append(first_sequence)
        await rebuild(1 if len(calls) == 1 else first_sequence)

    view.rebuild = beaten  # type: ignore[method-assign]
    place.server.wipe()
    place.server.ensure(TOPOLOGY)
    await place.looks(10)
    assert len(calls) == 2
    assert place.epoch.sound
    assert place.server.first_sequence >= 2 * SEQUENCES


async def test_the_first_epoch_takes_the_bus_as_it_is() -> None:
    place = Place()
    await place.write(30)
    await place.looks(4)
    assert (place.epoch.epoch, place.epoch.sound, place.epoch.reason) == (1, True, "")
    assert place.memory().compared == 30
