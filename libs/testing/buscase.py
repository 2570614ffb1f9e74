"""What every implementation of the bus must do. A test module gives `world` and inherits the cases."""

from __future__ import annotations

import asyncio
import contextlib
import time
import uuid
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Protocol

import pytest

from contracts.message import Event, Meta, Recorded, stream_of, subject_of, wire_type
from libs.messaging import cloudevents
from libs.messaging.bus import Bus, BusUnavailableError, ConsumerSpec, Delivery, RefusedError, Settlement
from libs.messaging.outcome import Done, Outcome, Reject, Retry, settle
from libs.messaging.topology import ServiceDeclaration, derive
from libs.testing.samples import Aside, Closed, Noted, Novel, registry

NOON = datetime(2026, 1, 1, 12, 0, 0, 250_000, tzinfo=UTC)
#: Seconds after which an unacknowledged message comes again in these cases.
ACK_WAIT_S = 0.5
#: Seconds; generous, since the machine may be busy with other things.
DEADLINE_S = 60.0

KEEPER = ServiceDeclaration(
    name="keeper",
    consumes=(
        ConsumerSpec(
            durable="keeper-notes",
            filters=("autopilot.v1.case.*.noted",),
            ack_wait_s=ACK_WAIT_S,
            max_ack_pending=8,
        ),
    ),
    publishes=("case",),
    reads_dead_letters=True,
)
WATCHER = ServiceDeclaration(
    name="watcher",
    consumes=(ConsumerSpec(durable="watcher-all", filters=("autopilot.v1.>",), ack_wait_s=ACK_WAIT_S),),
    publishes=("side",),
    hears=("autopilot.v1.case.*.closed",),
)
TOPOLOGY = derive([KEEPER, WATCHER])


class World(Protocol):
    """A bus with TOPOLOGY, from outside."""

    async def connect(self, service: str) -> Bus:
        """Connect a service; the fixture closes what it opened."""
        ...

    async def elapse(self, seconds: float) -> None:
        """Let time pass, where it does not pass by itself."""
        ...

    async def inject(self, subject: str, headers: Mapping[str, str], payload: bytes) -> None:
        """Store a message as it is."""
        ...

    async def stop(self) -> None:
        """End the server without warning."""
        ...

    async def start(self) -> None:
        """Bring it back with what it had stored."""
        ...

    async def wipe(self) -> None:
        """End the server, delete what it stored, bring it back and make the topology true."""
        ...


def recorded(event: Event, version: int, *, meta: Meta | None = None) -> Recorded:
    """Make an event as the record would hold it."""
    return Recorded(
        id=str(uuid.uuid4()),
        stream=stream_of(event),
        version=version,
        type=wire_type(type(event)),
        schema_version=1,
        event=event,
        meta=meta or Meta(service="keeper"),
        recorded_at=NOON,
        prev_hash="0" * 64,
        hash="1" * 64,
        position=100 + version,
        xid=7,
    )


def notes(case: str, count: int) -> list[Recorded]:
    """Make the first events of a stream."""
    return [recorded(Noted(case_id=case, count=n), n) for n in range(1, count + 1)]


def note_about(letter_id: str) -> Settlement:
    """Make a note that settles a letter."""
    return Settlement(letter_id=letter_id, outcome="handled", actor="ann", reason="mended", at=NOON)


async def take(bus: Bus, durable: str, count: int, *, within_s: float = DEADLINE_S) -> list[Delivery]:
    """Fetch until so many messages have come; fails when they do not come in time."""
    taken: list[Delivery] = []
    until = time.monotonic() + within_s
    while len(taken) < count:
        assert time.monotonic() < until, f"{len(taken)} of {count} messages came from {durable}"
        taken += await bus.fetch(durable, count - len(taken), 1.0)
    return taken


async def settled(bus: Bus, durable: str, outcome: Outcome) -> Delivery:
    """Take one message and settle it."""
    (delivery,) = await take(bus, durable, 1)
    await settle(bus, delivery, durable, outcome, NOON)
    return delivery


async def eventually_lag(bus: Bus, durable: str, expected: tuple[int, int]) -> None:
    """Wait until a durable's (pending, unacknowledged) are as expected: nobody waits for an answer's arrival."""
    until = time.monotonic() + DEADLINE_S
    while (lag := await bus.lag(durable)) != expected:
        assert time.monotonic() < until, f"{durable} has {lag}, not {expected}"
        await asyncio.sleep(0.01)


class DeliveryCase:
    """Publishing, and what reaches a consumer."""

    async def test_what_is_published_is_confirmed_and_delivered_in_order(self, world: World) -> None:
        bus = await world.connect("keeper")
        meta = Meta(
            service="keeper",
            causation_id="c-1",
            correlation_id="t-1",
            actor='Zoë "the 100 %" O\'Neil\n',
            traceparent="00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
            synthetic=True,
            lease="keeper:4",
        )
        events = [
            recorded(Noted(case_id="a", text="grün", tags={"x": "y"}), n, meta=meta) for n in range(1, 6)
        ]
        assert await bus.publish(events) == events
        assert [delivery.recorded for delivery in await take(bus, "keeper-notes", 5)] == events

    async def test_a_consumer_gets_the_types_it_declared(self, world: World) -> None:
        bus, watcher = await world.connect("keeper"), await world.connect("watcher")
        note, closed = recorded(Noted(case_id="a"), 1), recorded(Closed(case_id="a"), 2)
        aside = recorded(Aside(case_id="b"), 1)
        assert await bus.publish([note, closed]) == [note, closed]
        assert await watcher.publish([aside]) == [aside]
        assert [delivery.recorded for delivery in await take(bus, "keeper-notes", 1)] == [note]
        assert [delivery.recorded for delivery in await take(watcher, "watcher-all", 3)] == [
            note,
            closed,
            aside,
        ]
        assert await bus.fetch("keeper-notes", 1, 0.0) == []

    async def test_an_unknown_type_is_carried(self, world: World) -> None:
        bus, watcher = await world.connect("keeper"), await world.connect("watcher")
        await bus.publish([recorded(Novel(case_id="a", depth=3), 1)])
        (delivery,) = await take(watcher, "watcher-all", 1)
        assert delivery.recorded.type == "novel"
        assert getattr(delivery.recorded.event, "data", None) == {"type": "novel", "case_id": "a", "depth": 3}
        again = cloudevents.encode(delivery.recorded)
        assert cloudevents.decode(registry, again.headers, again.payload) == delivery.recorded

    async def test_what_is_published_twice_is_confirmed_twice_and_delivered_once(self, world: World) -> None:
        bus = await world.connect("keeper")
        events = notes("a", 3)
        assert await bus.publish(events) == events
        assert await bus.publish(events) == events
        assert await bus.lag("keeper-notes") == (3, 0)

    async def test_a_fetch_ends_without_a_message(self, world: World) -> None:
        bus = await world.connect("keeper")
        assert await bus.fetch("keeper-notes", 10, 0.05) == []

    async def test_a_waiting_fetch_sees_what_comes(self, world: World) -> None:
        bus = await world.connect("keeper")
        waiting = asyncio.create_task(bus.fetch("keeper-notes", 10, 10.0))
        await asyncio.sleep(0)
        events = notes("a", 1)
        await bus.publish(events)
        assert [delivery.recorded for delivery in await waiting] == events

    async def test_two_processes_share_a_durable(self, world: World) -> None:
        one, other = await world.connect("keeper"), await world.connect("keeper")
        events = notes("a", 6)
        await one.publish(events)
        taken = [*await take(one, "keeper-notes", 3), *await take(other, "keeper-notes", 3)]
        assert sorted(delivery.recorded.version for delivery in taken) == [1, 2, 3, 4, 5, 6]

    async def test_no_more_is_handed_out_than_may_be_unacknowledged(self, world: World) -> None:
        bus = await world.connect("keeper")
        await bus.publish(notes("a", 12))
        taken = await take(bus, "keeper-notes", 8)
        assert await bus.lag("keeper-notes") == (4, 8)
        for delivery in taken:
            await delivery.ack()
        assert {delivery.recorded.version for delivery in await take(bus, "keeper-notes", 4)} == {
            9,
            10,
            11,
            12,
        }


class AnswerCase:
    """What a consumer answers, and what follows from it."""

    async def test_done_is_not_delivered_again(self, world: World) -> None:
        bus = await world.connect("keeper")
        await bus.publish(notes("a", 1))
        delivery = await settled(bus, "keeper-notes", Done())
        await delivery.ack()
        await eventually_lag(bus, "keeper-notes", (0, 0))

    async def test_a_retry_comes_again_and_is_counted(self, world: World) -> None:
        bus = await world.connect("keeper")
        await bus.publish(notes("a", 1))
        first = await settled(bus, "keeper-notes", Retry(after_s=0.05, reason="busy"))
        await world.elapse(0.05)
        (again,) = await take(bus, "keeper-notes", 1)
        assert again.recorded == first.recorded
        assert (again.attempts, again.failures) == (2, 1)

    async def test_a_silent_message_comes_again_after_its_ack_wait(self, world: World) -> None:
        bus = await world.connect("keeper")
        await bus.publish(notes("a", 1))
        (lost,) = await take(bus, "keeper-notes", 1)
        await world.elapse(ACK_WAIT_S)
        (again,) = await take(bus, "keeper-notes", 1)
        assert (again.recorded, again.attempts, again.failures) == (lost.recorded, 2, 0)

    async def test_a_late_ack_counts_for_the_copy_that_somebody_else_holds(self, world: World) -> None:
        # Known and accepted: an acknowledgement is no fence. The inbox in the record is.
        slow, quick = await world.connect("keeper"), await world.connect("keeper")
        await slow.publish(notes("a", 1))
        (late,) = await take(slow, "keeper-notes", 1)
        await world.elapse(ACK_WAIT_S)
        (held,) = await take(quick, "keeper-notes", 1)
        await late.ack()
        await eventually_lag(quick, "keeper-notes", (0, 0))
        await held.ack()

    async def test_decisions_that_keep_failing_end_as_a_dead_letter(self, world: World) -> None:
        bus = await world.connect("keeper")
        poison, healthy = recorded(Noted(case_id="poison"), 1), recorded(Noted(case_id="healthy"), 1)
        await bus.publish([poison])
        for _ in range(3):
            (delivery,) = await take(bus, "keeper-notes", 1)
            retry = Retry(after_s=0.0, reason="ZeroDivisionError")
            await settle(bus, delivery, "keeper-notes", retry, NOON, max_deliver=3)
        await eventually_lag(bus, "keeper-notes", (0, 0))
        (letter,) = await bus.dead_letters()
        assert (letter.event_id, letter.stream, letter.type, letter.version) == (
            poison.id,
            "case-poison",
            "noted",
            1,
        )
        assert (letter.consumer, letter.attempts, letter.at) == ("keeper-notes", 3, NOON)
        assert letter.reason == "failed 3 times, at last: ZeroDivisionError"
        await bus.publish([healthy])
        assert (await settled(bus, "keeper-notes", Done())).recorded == healthy

    async def test_a_poison_message_blocks_no_other_stream(self, world: World) -> None:
        bus = await world.connect("keeper")
        await bus.publish([*notes("poison", 1), *notes("healthy", 4)])
        done: list[int] = []
        while len(done) < 4:
            for delivery in await bus.fetch("keeper-notes", 2, 1.0):
                if delivery.recorded.stream == "case-poison":
                    await settle(bus, delivery, "keeper-notes", Retry(after_s=0.0, reason="x"), NOON)
                else:
                    await settle(bus, delivery, "keeper-notes", Done(), NOON)
                    done.append(delivery.recorded.version)
        assert done == [1, 2, 3, 4]

    async def test_waiting_for_the_world_never_makes_a_dead_letter(self, world: World) -> None:
        bus = await world.connect("keeper")
        await bus.publish(notes("a", 1))
        for _ in range(12):
            (delivery,) = await take(bus, "keeper-notes", 1)
            away = Retry(after_s=0.0, reason="the record is away", counted=False)
            await settle(bus, delivery, "keeper-notes", away, NOON, max_deliver=3)
        assert await bus.dead_letters() == []
        assert (await settled(bus, "keeper-notes", Done())).failures == 0

    async def test_a_rejected_message_is_a_dead_letter_at_once(self, world: World) -> None:
        bus = await world.connect("keeper")
        first, second = notes("a", 1), notes("b", 1)
        for events, reason in ((first, "of no use"), (second, "nor this")):
            await bus.publish(events)
            await settled(bus, "keeper-notes", Reject(reason))
        letters = await bus.dead_letters()
        assert [(letter.event_id, letter.reason) for letter in letters] == [
            (second[0].id, "nor this"),
            (first[0].id, "of no use"),
        ]
        assert await bus.dead_letters(limit=1) == letters[:1]
        await eventually_lag(bus, "keeper-notes", (0, 0))

    async def test_a_settled_letter_waits_for_nobody(self, world: World) -> None:
        bus = await world.connect("keeper")
        for case in "abcd":
            await bus.publish(notes(case, 1))
            await settled(bus, "keeper-notes", Reject(f"no {case}"))
        letters = await bus.dead_letters()
        for letter in letters[:2]:
            for _ in range(2):
                await bus.settle_letter("keeper-notes", note_about(letter.id))
        assert await bus.dead_letters() == letters[2:]
        # Notes and settled letters take no room in a short listing.
        assert await bus.dead_letters(limit=2) == letters[2:]

    @pytest.mark.parametrize("payload", [b"", b"\xff\x00", b"[]", b'{"type": "noted", "case_id": 3}'])
    async def test_the_undecodable_is_a_dead_letter_and_holds_nobody_up(
        self, world: World, payload: bytes
    ) -> None:
        bus = await world.connect("keeper")
        headers = cloudevents.encode(recorded(Noted(case_id="a"), 1)).headers
        await world.inject("autopilot.v1.case.a.noted", headers, payload)
        await world.inject("autopilot.v1.case.a.noted", {}, b"{}")
        events = notes("b", 1)
        await bus.publish(events)
        assert (await settled(bus, "keeper-notes", Done())).recorded == events[0]
        await eventually_lag(bus, "keeper-notes", (0, 0))
        bare, broken = await bus.dead_letters()
        assert (broken.event_id, broken.raw) == (headers["ce-id"], payload.decode(errors="backslashreplace"))
        assert (bare.reason, bare.event_id, bare.raw) == ("header ce-type is missing", "", "{}")


class RefusalCase:
    """What a service may not do, and what it does while the server is away."""

    async def test_another_services_events_are_refused_and_ones_own_are_not_held_up(
        self, world: World
    ) -> None:
        bus = await world.connect("keeper")
        foreign, own = recorded(Aside(case_id="a"), 1), recorded(Noted(case_id="a"), 1)
        assert bus.healthy
        with pytest.raises(RefusedError) as refusal:
            await bus.publish([foreign, own])
        assert refusal.value.subjects == (subject_of(foreign.stream, foreign.type),)
        assert refusal.value.confirmed == [own]
        assert not bus.healthy

    async def test_another_services_durable_is_refused(self, world: World) -> None:
        bus = await world.connect("keeper")
        with pytest.raises(RefusedError):
            async with asyncio.timeout(DEADLINE_S):
                await bus.fetch("watcher-all", 1, 2 * DEADLINE_S)
        with pytest.raises(RefusedError):
            await bus.lag("watcher-all")

    async def test_another_services_letters_cannot_be_settled(self, world: World) -> None:
        bus = await world.connect("keeper")
        with pytest.raises(RefusedError):
            await bus.settle_letter("watcher-all", note_about("watcher-all-1"))

    async def test_dead_letters_are_refused_to_those_who_do_not_list_them(self, world: World) -> None:
        with pytest.raises(RefusedError):
            await (await world.connect("watcher")).dead_letters()

    async def test_a_server_that_is_away_confirms_and_delivers_nothing_and_comes_back(
        self, world: World
    ) -> None:
        bus = await world.connect("keeper")
        before, meanwhile = notes("a", 1), notes("b", 1)
        await bus.publish(before)
        await world.stop()
        assert await bus.publish(meanwhile) == []
        assert not bus.healthy
        assert await bus.fetch("keeper-notes", 10, 0.1) == []
        with pytest.raises(BusUnavailableError):
            await bus.lag("keeper-notes")
        await world.start()
        until = time.monotonic() + DEADLINE_S
        while await bus.publish(meanwhile) != meanwhile:
            assert time.monotonic() < until
            await asyncio.sleep(0.02)
        assert [each.recorded for each in await take(bus, "keeper-notes", 2)] == [*before, *meanwhile]
        assert bus.healthy

    async def test_a_waiting_fetch_outlives_the_servers_restart(self, world: World) -> None:
        bus = await world.connect("keeper")
        assert await bus.fetch("keeper-notes", 1, 0.0) == []
        waiting = asyncio.create_task(take(bus, "keeper-notes", 1, within_s=2 * DEADLINE_S))
        await asyncio.sleep(0)
        await world.stop()
        await world.start()
        events = notes("a", 1)
        until = time.monotonic() + DEADLINE_S
        while await bus.publish(events) != events:
            assert time.monotonic() < until
            await asyncio.sleep(0.02)
        assert [delivery.recorded for delivery in await waiting] == events

    async def test_after_the_loss_of_everything_a_durable_delivers_from_the_beginning(
        self, world: World
    ) -> None:
        bus = await world.connect("keeper")
        events = notes("a", 3)
        await bus.publish(events)
        await settled(bus, "keeper-notes", Done())
        await world.wipe()
        # What the auditor does then: the record is published again, ids and all.
        until = time.monotonic() + DEADLINE_S
        while await bus.publish(events) != events:
            assert time.monotonic() < until
            await asyncio.sleep(0.02)
        assert [each.recorded for each in await take(bus, "keeper-notes", 3)] == events


class HearingCase:
    """Hints: every process gets them, none of them counts as a delivery."""

    async def test_every_process_hears_what_passes_and_nothing_else(self, world: World) -> None:
        keeper = await world.connect("keeper")
        ears = [asyncio.Event() for _ in range(3)]
        for ear in ears:
            watcher = await world.connect("watcher")
            await watcher.hear(WATCHER.hears, ear.set)
            # An answer: the server knows of what was asked for before on the same connection.
            await watcher.lag("watcher-all")
        await passed(world, keeper)
        assert not any(ear.is_set() for ear in ears)
        await keeper.publish([recorded(Closed(case_id="a"), 2)])
        async with asyncio.timeout(DEADLINE_S):
            await asyncio.gather(*(ear.wait() for ear in ears))

    async def test_hints_come_again_after_the_servers_restart(self, world: World) -> None:
        keeper, watcher = await world.connect("keeper"), await world.connect("watcher")
        ear = asyncio.Event()
        await watcher.hear(WATCHER.hears, ear.set)
        await world.stop()
        await world.start()
        version = 1
        async with asyncio.timeout(DEADLINE_S):
            while not ear.is_set():
                # What passes before it is connected again is lost: hints are.
                await keeper.publish([recorded(Closed(case_id="a"), version)])
                version += 1
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(ear.wait(), 0.05)
        assert watcher.healthy

    async def test_nobody_hears_what_it_has_not_declared(self, world: World) -> None:
        keeper = await world.connect("keeper")
        heard: list[int] = []
        await keeper.hear(("autopilot.v1.side.*.aside",), lambda: heard.append(1))
        until = time.monotonic() + DEADLINE_S
        while keeper.healthy:
            assert time.monotonic() < until
            await asyncio.sleep(0.01)
        await (await world.connect("watcher")).publish([recorded(Aside(case_id="a"), 1)])
        await passed(world, keeper)
        assert heard == []


async def passed(world: World, keeper: Bus) -> None:
    """Let one event take the whole way over the bus."""
    await keeper.publish(notes("passing", 1))
    await settled(keeper, "keeper-notes", Done())


class BusCase(DeliveryCase, AnswerCase, RefusalCase, HearingCase):
    """All of it."""
