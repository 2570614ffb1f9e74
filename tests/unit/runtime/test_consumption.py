"""From delivery to acknowledgement: duplicates, gaps, failures, refusals and strangers."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from contracts.message import Unknown
from libs.eventstore.store import Append, Cursor, StoreUnavailableError, StreamAppend
from libs.messaging import cloudevents
from libs.messaging.bus import MAX_DELIVER
from libs.messaging.outcome import Reject, Retry
from libs.runtime.consumption import Consumption
from libs.runtime.running import NotLeaderError
from libs.runtime.service import Consumer
from libs.runtime.work import Work
from libs.testing.samples import Novel, head_of, new
from tests.unit.runtime.house import Add, Aside, Closed, House, Noted, cases


class Listener:
    """A handler that writes down what it hears, and fails on request."""

    def __init__(self) -> None:
        self.heard: list[str] = []
        self.trouble: dict[str, Any] = {}

    async def __call__(self, event: Any, work: Work) -> Any:
        name = f"{event.case_id}.{work.cause.version if work.cause else 0}"
        trouble = self.trouble.get(name)
        if isinstance(trouble, Exception):
            raise trouble
        if trouble is not None:
            return trouble
        self.heard.append(name)
        await work.decide(cases, event.case_id, Add(case_id=event.case_id, text=name))
        return None


def house_with(listener: Listener, event: type = Aside) -> House:
    """A house whose handler is the listener, subscribed to a class of events."""

    async def hear(event: Any, work: Work) -> Any:
        return await listener(event, work)

    hear.__annotations__["event"] = event
    return House(hear)


async def rounds(house: House, count: int = 1, seconds: float = 6.0) -> None:
    """Let the consumer fetch, and time pass, again and again."""
    consumption = house.consumption()
    for _ in range(count):
        while await consumption.step(0.0):
            pass
        house.clock.advance(seconds)
        house.server.wake()


@pytest.fixture
def listener() -> Listener:
    return Listener()


@pytest.fixture
async def house(listener: Listener) -> House:
    made = house_with(listener)
    await made.lead()
    return made


def asides(case_id: str, count: int = 1) -> list[Aside]:
    """News about a case."""
    return [Aside(case_id=case_id)] * count


async def test_news_is_handled_in_order_once_and_acknowledged(house: House, listener: Listener) -> None:
    await house.news(*asides("x", 3), *asides("y", 2))
    await rounds(house)
    assert sorted(listener.heard) == ["x.1", "x.2", "x.3", "y.1", "y.2"]
    assert await house.texts("x") == ["x.1", "x.2", "x.3"]
    assert house.server.lag("keeper-hear") == (0, 0)


async def test_what_comes_twice_takes_effect_once(house: House, listener: Listener) -> None:
    await house.news(*asides("x", 2))
    await rounds(house)
    copies = list(house.server.messages)
    house.clock.advance(1_000)  # beyond the window in which the bus itself would notice
    for message in copies:
        house.server.inject(message.subject, message.headers, message.payload)
    await rounds(house, 2)
    assert listener.heard == ["x.1", "x.2"]
    assert house.server.lag("keeper-hear") == (0, 0)


async def test_a_gap_is_filled_from_the_record_first(house: House, listener: Listener) -> None:
    arriving = iter([True, False, False, True])
    await house.news(*asides("x", 4), publish=lambda _: next(arriving))
    await rounds(house)
    assert listener.heard == ["x.1", "x.2", "x.3", "x.4"]


async def test_what_arrives_late_after_its_gap_was_filled_is_a_duplicate(
    house: House, listener: Listener
) -> None:
    arriving = iter([False, True])
    await house.news(*asides("x", 2), publish=lambda _: next(arriving))
    await rounds(house)
    await house.visitor.sweep()
    house.clock.advance(10)
    await house.visitor.sweep()
    await rounds(house)
    assert listener.heard == ["x.1", "x.2"]


async def test_a_gap_of_events_that_are_not_its_own_is_none(listener: Listener) -> None:
    house = house_with(listener, Closed)
    await house.lead()
    for event in (Noted(case_id="x"), Noted(case_id="x"), Closed(case_id="x")):
        append = StreamAppend(head=await head_of(house.store, "case-x"), events=(new(event),))
        recorded = await house.store.append(Append(service="keeper", streams=(append,)))
        await house.running._publish(recorded)
    relay = house.running._publish.__self__  # type: ignore[attr-defined]
    await relay.flush()
    await rounds(house)
    assert listener.heard == ["x.3"]


async def test_a_failing_event_holds_back_its_own_stream_only(house: House, listener: Listener) -> None:
    listener.trouble["x.2"] = RuntimeError("no luck")
    await house.news(*asides("x", 3), *asides("y", 3))
    await rounds(house, 2)
    assert sorted(listener.heard) == ["x.1", "y.1", "y.2", "y.3"]
    listener.trouble.clear()
    await rounds(house, 2)
    assert listener.heard[-2:] == ["x.2", "x.3"]


async def test_after_enough_failures_it_is_a_dead_letter_with_its_reason(
    house: House, listener: Listener
) -> None:
    listener.trouble["x.1"] = RuntimeError("no luck")
    await house.news(*asides("x"))
    await rounds(house, MAX_DELIVER - 1)
    assert not house.server.letters
    await rounds(house, 2)
    (letter,) = house.server.letters.values()
    assert letter.reason == f"failed {MAX_DELIVER} times, at last: RuntimeError: no luck"
    assert house.server.lag("keeper-hear") == (0, 0)


async def test_a_refusal_is_a_dead_letter_at_once_and_changes_nothing(
    house: House, listener: Listener
) -> None:
    listener.trouble["x.1"] = Reject(reason="makes no sense")
    await house.news(*asides("x"))
    await rounds(house)
    (letter,) = house.server.letters.values()
    assert letter.reason == "makes no sense"
    assert await house.texts("x") == []
    assert await house.store.handled("keeper-hear", "side-x") == 0


async def test_a_retry_that_does_not_count_never_becomes_a_dead_letter(
    house: House, listener: Listener
) -> None:
    listener.trouble["x.1"] = Retry(after_s=1.0, reason="the world is not ready", counted=False)
    await house.news(*asides("x"))
    await rounds(house, 3 * MAX_DELIVER)
    assert not house.server.letters
    listener.trouble.clear()
    await rounds(house)
    assert listener.heard == ["x.1"]


async def test_an_outage_of_the_record_turns_nothing_into_a_dead_letter(
    house: House, listener: Listener
) -> None:
    await house.news(*asides("x"))
    append = house.store.append

    async def away(_: Any) -> Any:
        raise StoreUnavailableError("away")

    house.store.append = away  # type: ignore[method-assign,assignment]
    await rounds(house, 2 * MAX_DELIVER)
    house.store.append = append  # type: ignore[method-assign]
    await rounds(house)
    assert not house.server.letters
    assert await house.texts("x") == ["x.1"]


async def test_an_append_whose_answer_was_lost_is_not_done_again(house: House, listener: Listener) -> None:
    await house.news(*asides("x"))
    append, lost = house.store.append, list[Any]()

    async def unknown(wanted: Append) -> Any:
        recorded = await append(wanted)
        if not lost:
            lost.append(recorded)
            raise StoreUnavailableError("the connection broke after the commit")
        return recorded

    house.store.append = unknown  # type: ignore[method-assign,assignment]
    await rounds(house, 3)
    assert lost
    assert await house.texts("x") == ["x.1"]


async def test_a_batch_is_one_append(house: House, listener: Listener) -> None:
    await house.news(*asides("x", 3), *asides("y", 2))
    before = len({event.xid for event in await house.store.read_all(Cursor())})
    await rounds(house)
    events = await house.store.read_all(Cursor(), categories=["case"])
    assert len(events) == 5
    assert len({event.xid for event in events}) == 1
    assert before == 5
    causes = {event.event.text: event.meta.causation_id for event in events if isinstance(event.event, Noted)}
    news = {
        f"{one.stream[5:]}.{one.version}": one.id
        for one in await house.store.read_all(Cursor(), categories=["side"])
    }
    assert causes == news


async def test_what_a_failing_message_had_decided_is_taken_back_and_the_others_stay() -> None:
    done: list[str] = []

    async def hear(event: Aside, work: Work) -> None:
        assert work.cause is not None
        name = f"{event.case_id}.{work.cause.version}"

        async def after() -> None:
            done.append(name)

        await work.decide(cases, "all", Add(case_id="all", text=name))
        await work.decide(cases, event.case_id, Add(case_id=event.case_id, text=name))
        work.set_timer(name, work.now, "none", name)
        work.after_commit(after)
        if name == "x.2":
            raise RuntimeError("no luck")

    house = House(hear)
    await house.lead()
    await house.news(*asides("x", 3), *asides("y", 1))
    await house.consumption().step(0.0)
    assert await house.texts("all") == ["x.1", "y.1"]
    assert (await house.texts("x"), await house.texts("y")) == (["x.1"], ["y.1"])
    assert [timer.key for timer in await house.store.due_timers("keeper", house.clock.now())] == [
        "x.1",
        "y.1",
    ]
    assert done == ["x.1", "y.1"]
    assert await house.store.handled("keeper-hear", "side-x") == 1


async def test_a_batch_that_is_refused_is_decided_in_parts(house: House, listener: Listener) -> None:
    """Another process has written a stream that this one takes for new."""
    append = StreamAppend(
        head=await head_of(house.store, "case-y"), events=(new(Noted(case_id="y", text="first")),)
    )
    await house.store.append(Append(service="keeper", streams=(append,)))
    await house.news(*asides("x", 2), *asides("y", 1))
    await rounds(house)
    assert await house.texts("x") == ["x.1", "x.2"]
    assert await house.texts("y") == ["first", "y.1"]
    assert house.server.lag("keeper-hear") == (0, 0)


async def test_one_event_that_cannot_be_recorded_holds_back_only_its_own_stream(house: House) -> None:
    async def hear(event: Aside, work: Work) -> None:
        text = "\0" if event.case_id == "x" and work.cause and work.cause.version == 2 else "fine"
        await work.decide(cases, event.case_id, Add(case_id=event.case_id, text=text))

    house = House(hear)
    await house.lead()
    await house.news(*asides("x", 3), *asides("y", 1))
    await rounds(house, 2)
    assert await house.store.handled("keeper-hear", "side-x") == 1
    assert await house.store.handled("keeper-hear", "side-y") == 1


async def test_two_processes_on_one_durable_lose_nothing_between_them(
    house: House, listener: Listener
) -> None:
    """One is busy filling a gap while the other handles the event that the gap begins with."""
    arriving = iter([True, False, True])
    await house.news(*asides("x", 3), publish=lambda _: next(arriving))
    first, second = house.consumption(), house.consumption()
    append, ahead = house.store.append, list[bool]()

    async def overtaken(wanted: Append) -> Any:
        if wanted.inbox and wanted.inbox[0].version == 3 and not ahead:
            ahead.append(True)
            # The other one gets the missing event from a sweep, just now.
            house.clock.advance(1)
            await house.visitor.sweep()
            while await second.step(0.0):
                pass
        return await append(wanted)

    house.store.append = overtaken  # type: ignore[method-assign,assignment]
    while await first.step(0.0):
        pass
    house.store.append = append  # type: ignore[method-assign]
    await rounds(house, 3)
    assert ahead
    assert sorted(set(listener.heard)) == ["x.1", "x.2", "x.3"]
    assert await house.texts("x") == ["x.1", "x.2", "x.3"]


async def test_whoever_lost_the_lease_stops_consuming(house: House, listener: Listener) -> None:
    await house.news(*asides("x"))
    house.running.stand_down()
    with pytest.raises(NotLeaderError):
        await house.consumption().step(0.0)
    await house.lead()
    await rounds(house, 2)
    assert listener.heard == ["x.1"]


async def test_unknown_events_reach_those_who_take_everything() -> None:
    seen: list[Any] = []

    async def hear_all(event: Any, work: Work) -> None:
        seen.append((event.type, type(event.event)))

    house = House(Consumer(hear_all, everything=True))
    await house.lead()
    append = StreamAppend(head=await head_of(house.store, "case-x"), events=(new(Noted(case_id="x")),))
    (known,) = await house.store.append(Append(service="keeper", streams=(append,)))
    # A newer release has written a type that this one does not know.
    stranger = msgspec.structs.replace(known, type="novel", event=Novel(case_id="x", depth=3))
    message = cloudevents.encode(stranger)
    house.server.inject(message.subject, message.headers, message.payload)
    await rounds(house)
    assert seen == [("novel", Unknown)]


async def test_a_consumer_without_room_takes_nothing(listener: Listener) -> None:
    house = house_with(listener)
    await house.lead()
    await house.news(*asides("x", 3))
    room = 0
    consumer = Consumer(house.service.consumes[0].handler, room=lambda _: room)
    consumption = Consumption(house.running, consumer)
    assert await consumption.step(0.0) == 0
    room = 2
    assert await consumption.step(0.0) == 2
    assert listener.heard == ["x.1", "x.2"]
