"""A unit of work: what a handler loads, decides and sets becomes true at once, or not at all."""

from __future__ import annotations

import dataclasses
from datetime import timedelta
from typing import Any

import msgspec
import pytest

from contracts.message import Recorded
from libs.eventsourcing.decider import Decider
from libs.eventstore.store import ConflictError, DuplicateDeliveryError, InboxMark, StaleLeaseError
from libs.runtime.running import MAX_CONFLICTS, NotLeaderError
from libs.runtime.work import Work
from tests.unit.runtime.house import Add, Aside, House, cases


@pytest.fixture
async def house() -> House:
    made = House()
    await made.lead()
    return made


def adding(*texts: str, case_id: str = "a") -> Any:
    """Work that writes texts down."""

    async def act(work: Work) -> Any:
        for text in texts:
            await work.decide(cases, case_id, Add(case_id=case_id, text=text))
        return await work.load(cases, case_id)

    return act


async def test_what_was_decided_is_seen_at_once_and_recorded_together(house: House) -> None:
    state = await house.running.perform(adding("one", "two", "one"))
    assert state.texts == ("one", "two")
    assert await house.texts("a") == ["one", "two"]


async def test_several_aggregates_become_true_together_or_not_at_all(house: House) -> None:
    async def act(work: Work) -> None:
        await adding("one", case_id="a")(work)
        await adding("two", case_id="b")(work)
        raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        await house.running.perform(act)
    assert (await house.texts("a"), await house.texts("b")) == ([], [])
    assert (await house.running.perform(lambda work: work.load(cases, "a"))).texts == ()


async def test_a_faster_writer_makes_it_decide_again(house: House) -> None:
    other = house.process("keeper-2")
    other.lead(house.running.lease)  # type: ignore[arg-type]
    await house.running.perform(adding("one"))
    await other.perform(adding("two"))  # the first one's cache is stale now
    state = await house.running.perform(adding("two", "three"))
    assert state.texts == ("one", "two", "three")
    assert await house.texts("a") == ["one", "two", "three"]


async def test_it_does_not_decide_again_for_ever(house: House) -> None:
    other = house.process("keeper-2")
    other.lead(house.running.lease)  # type: ignore[arg-type]
    tries = 0

    async def act(work: Work) -> None:
        nonlocal tries
        tries += 1
        await adding(f"mine {tries}")(work)
        await other.perform(adding(f"theirs {tries}"))

    with pytest.raises(ConflictError):
        await house.running.perform(act)
    assert tries == MAX_CONFLICTS + 1


async def test_without_a_lease_nothing_is_decided(house: House) -> None:
    house.running.stand_down()
    with pytest.raises(NotLeaderError):
        await house.running.perform(adding("one"))


async def test_a_holder_that_was_replaced_writes_nothing(house: House) -> None:
    successor = await house.lead(house.process("keeper-2"))
    with pytest.raises(StaleLeaseError):
        await house.running.perform(adding("one"))
    await successor.perform(adding("two"))
    assert await house.texts("a") == ["two"]


async def test_a_new_leader_forgets_what_it_had_folded(house: House) -> None:
    await house.running.perform(adding("one"))
    await (await house.lead(house.process("keeper-2"))).perform(adding("two"))
    await house.lead()
    assert (await house.running.perform(lambda work: work.load(cases, "a"))).texts == ("one", "two")


async def test_a_message_takes_effect_once(house: House) -> None:
    mark = InboxMark(consumer="keeper-watch", stream="side-x", before=0, version=1)
    await house.running.perform(adding("one"), inbox=mark)
    with pytest.raises(DuplicateDeliveryError):
        await house.running.perform(adding("two"), inbox=mark)
    assert await house.texts("a") == ["one"]


async def test_silence_towards_an_unknown_stream_is_checked_in_the_record(house: House) -> None:
    await house.running.perform(adding("one"))
    restarted = await house.lead(house.process("keeper-2"))

    class Quiet(msgspec.Struct):
        """Says something only where there is a text already."""

    def decide(command: Any, state: Any) -> Any:
        return cases.decide(Add(case_id="a", text="two"), state) if state.texts else ()

    only_then = Decider("case", cases.initial, decide, cases.evolve)
    await restarted.perform(lambda work: work.decide(only_then, "a", Quiet()))
    assert await house.texts("a") == ["one", "two"]


async def test_what_was_taken_for_new_and_undone_is_looked_up_after_all(house: House) -> None:
    """Else silence would be taken for the answer of a stream that is there, and kept for the next work."""
    await house.running.perform(adding("one"))
    restarted = await house.lead(house.process("keeper-2"))

    async def act(work: Work) -> Any:
        await adding("two")(work)
        work.undo()
        return await work.load(cases, "a")

    assert (await restarted.perform(act)).texts == ("one",)
    assert (await restarted.perform(lambda work: work.load(cases, "a"))).texts == ("one",)


async def test_what_is_derived_is_derived_once_before_the_commit(house: House) -> None:
    ran: list[str] = []

    async def act(work: Work) -> None:
        for name in ("early", "late"):

            async def derive(name: str = name) -> None:
                ran.append(name)
                await work.decide(cases, "a", Add(case_id="a", text=name))

            work.derive("the same", derive)

    await house.running.perform(act)
    assert ran == ["late"]
    assert await house.texts("a") == ["late"]


async def test_work_that_changes_nothing_appends_nothing(house: House) -> None:
    ran: list[str] = []

    async def after() -> None:
        ran.append("after")

    async def act(work: Work) -> None:
        await work.load(cases, "a")
        work.after_commit(after)

    await house.running.perform(act)
    assert ran == ["after"]
    assert await house.store.heads("case") == []


async def test_what_comes_after_the_commit_does_not_come_without_it(house: House) -> None:
    ran: list[str] = []

    async def after() -> None:
        ran.append("after")

    async def act(work: Work) -> None:
        work.after_commit(after)
        await adding("one")(work)
        raise RuntimeError("died")

    with pytest.raises(RuntimeError):
        await house.running.perform(act)
    assert ran == []


async def test_timers_and_documents_belong_to_the_commit(house: House) -> None:
    async def act(work: Work) -> None:
        work.set_timer("k", work.now + timedelta(seconds=5), "wake", "a")
        work.set_timer("gone", work.now, "wake", "b")
        work.clear_timer("gone")
        await work.document(
            "view", "d", dict[str, int], lambda before: {"n": (before or {"n": 0})["n"] + 1}, lambda _: "s"
        )
        await work.document(
            "view", "d", dict[str, int], lambda before: {"n": (before or {"n": 0})["n"] + 1}, lambda _: "s"
        )

    await house.running.perform(act)
    (timer,) = await house.store.due_timers("keeper", house.clock.now() + timedelta(seconds=10))
    assert (timer.key, timer.kind, timer.subject) == ("k", "wake", "a")
    document = await house.store.document("view", "d")
    assert document is not None
    assert msgspec.json.decode(document.data) == {"n": 2}

    async def remove(work: Work) -> None:
        work.clear_timer("k")
        await work.document("view", "d", dict[str, int], lambda before: None, lambda _: "")
        await work.document("view", "never was", dict[str, int], lambda before: None, lambda _: "")

    await house.running.perform(remove)
    assert await house.store.next_timer("keeper") is None
    assert await house.store.document("view", "d") is None


async def test_events_say_where_they_come_from(house: House) -> None:
    await house.running.perform(adding("one"), actor="somebody", synthetic=True)
    (first,) = await house.store.read_stream("case-a")
    lease = house.running.lease
    assert lease is not None
    assert (first.meta.service, first.meta.actor, first.meta.synthetic) == ("keeper", "somebody", True)
    assert first.meta.lease == f"keeper:{lease.epoch}"
    await house.running.perform(adding("two", case_id="b"), cause=first)
    (second,) = await house.store.read_stream("case-b")
    assert second.meta.causation_id == first.id
    assert second.meta.synthetic  # what follows from simulated work is simulated


async def test_a_document_of_a_stream_that_begins_is_taken_for_new_and_read_where_it_is_not(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    house = House()
    await house.lead()
    await house.news(Aside(case_id="k"), Aside(case_id="k"))
    first, second = await house.store.read_stream("side-k")
    asked: list[str] = []
    document = house.store.document

    async def asking(view: str, key: str, **options: Any) -> Any:
        asked.append(key)
        return await document(view, key, **options)

    monkeypatch.setattr(house.store, "document", asking)

    def counting(cause: Recorded, fold: Any = lambda n: (n or 0) + 1) -> Any:
        async def act(work: Work) -> None:
            work.turn(cause)
            await work.document("v", "k", int, fold, str)

        return act

    await house.running.perform(counting(first))
    assert asked == []
    # Another process, which knows nothing of it. Somebody else has made it after all: refused, read, and counted on.
    await house.lead(running := house.process("keeper-2"))
    await running.perform(counting(first))
    assert asked == ["k"]
    # Where the stream goes on, and where nothing can be made of nothing, it is read at once.
    for cause, fold in ((second, lambda n: (n or 0) + 1), (first, lambda n: n + 1), (first, lambda n: n)):
        await house.lead(running := house.process("keeper-3"))
        await running.perform(counting(cause, fold))
    assert asked == ["k"] * 4
    found = await document("v", "k")
    assert found is not None
    assert (found.data, found.version) == (b"4", 5)


async def test_what_was_only_read_is_not_read_again_where_nobody_else_writes(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    read, asked = house.store.read_stream, []

    async def reading(stream: str, *args: Any, **options: Any) -> Any:
        asked.append(stream)
        return await read(stream, *args, **options)

    monkeypatch.setattr(house.store, "read_stream", reading)
    for _ in range(3):
        await house.running.perform(lambda work: work.load(cases, "nothing-of-it"))
    assert asked == ["case-nothing-of-it"]
    # Another process of the same service leads afterwards, and reads for itself.
    await house.running.perform(adding("one"))
    successor = await house.lead(house.process("keeper-2"))
    assert (await successor.perform(lambda work: work.load(cases, "a"))).texts == ("one",)


async def test_what_was_only_read_is_read_again_where_others_write_too(house: House) -> None:
    house.running.service = dataclasses.replace(house.service, lease_per_replica=True)
    other = house.process("keeper-2")
    other.lead(house.running.lease)  # type: ignore[arg-type]
    assert (await house.running.perform(lambda work: work.load(cases, "a"))).texts == ()
    await other.perform(adding("one"))
    assert (await house.running.perform(lambda work: work.load(cases, "a"))).texts == ("one",)


async def test_what_was_taken_for_new_and_undone_is_not_remembered_as_empty(house: House) -> None:
    other = house.process("keeper-2")
    other.lead(house.running.lease)  # type: ignore[arg-type]
    await other.perform(adding("one"))

    async def undone(work: Work) -> None:
        work.turn(None)
        await work.decide(cases, "a", Add(case_id="a", text="two"))
        work.undo()

    await house.running.perform(undone)
    assert (await house.running.perform(lambda work: work.load(cases, "a"))).texts == ("one",)
