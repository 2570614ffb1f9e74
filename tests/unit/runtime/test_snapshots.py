"""Snapshots of long streams: no answer depends on them, and what is not to be trusted is as if it were not there."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts.message import Event, Recorded
from libs.eventsourcing.decider import Decider
from libs.eventstore.store import EventStoreError, Snapshot
from libs.runtime import snapshots
from libs.runtime.service import Service
from libs.runtime.work import Work
from libs.testing.samples import Noted, registry
from tests.unit.runtime.house import House

STREAM = "case-a"


class Add(msgspec.Struct, frozen=True, kw_only=True):
    """Writes something down."""

    text: str


class Tally(msgspec.Struct, frozen=True, kw_only=True):
    """How much was written down, and the last of it."""

    notes: int = 0
    last: str = ""


def decide(command: Add, state: Tally) -> Iterator[Event]:
    """Write it down."""
    yield Noted(case_id="a", text=command.text)


def evolve(state: Tally, event: Event) -> Tally:
    """Count it."""
    return Tally(notes=state.notes + 1, last=event.text) if isinstance(event, Noted) else state


def evolve_otherwise(state: Tally, event: Event) -> Tally:
    """Count it twice: what the next release makes of the same events."""
    return msgspec.structs.replace(evolve(state, event), notes=state.notes + 2)


cases: Decider[Add, Tally] = Decider("case", Tally(), decide, evolve)


@pytest.fixture(autouse=True)
def _small(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in (("EVERY", 5), ("FIRST_PAGE", 3), ("PAGE", 4)):
        monkeypatch.setattr(snapshots, name, value)


@pytest.fixture
async def house() -> House:
    made = House()
    await made.lead()
    return made


async def add(house: House, *texts: str) -> None:
    """Write texts down, each in a work of its own."""
    for text in texts:

        async def act(work: Work, text: str = text) -> None:
            await work.decide(cases, "a", Add(text=text))

        await house.running.perform(act)


async def fresh(house: House, decider: Decider[Any, Tally] = cases) -> Tally:
    """What a process that takes over loads."""
    head, state = await snapshots.load(house.store, decider, STREAM)
    assert head.version == len(await house.store.read_stream(STREAM))
    assert head.hash == (await house.store.verify(STREAM)).hash
    return state  # type: ignore[no-any-return]


def numbers(count: int) -> list[str]:
    return [str(n) for n in range(1, count + 1)]


class Reads:
    """Which versions were read of the record."""

    def __init__(self, house: House, monkeypatch: pytest.MonkeyPatch) -> None:
        self.versions: list[int] = []
        read = house.store.read_stream

        async def reading(
            stream: str, after: int = 0, *, types: Sequence[str] = (), upto: int = 0
        ) -> list[Recorded]:
            found = await read(stream, after, types=types, upto=upto)
            self.versions += [event.version for event in found]
            return found

        monkeypatch.setattr(house.store, "read_stream", reading)


@pytest.mark.parametrize("count", [1, 2, 3, 4, 5, 6, 9, 10, 11, 17])
async def test_every_length_loads_as_all_its_events_say(house: House, count: int) -> None:
    await add(house, *numbers(count))
    assert await fresh(house) == Tally(notes=count, last=str(count))
    snapshot = await house.store.snapshot(STREAM)
    assert (snapshot.version if snapshot else 0) == count // 5 * 5


async def test_what_is_in_the_snapshot_is_not_read(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    await add(house, *numbers(17))
    reads = Reads(house, monkeypatch)
    _, state = await snapshots.load(house.store, cases, STREAM)
    assert state == Tally(notes=17, last="17")
    # The first page, the snapshot's last event, and what came since.
    assert reads.versions == [1, 2, 3, 15, 16, 17]


async def test_an_append_of_several_events_is_snapshot_at_its_end(house: House) -> None:
    await add(house, *numbers(3))

    async def act(work: Work) -> None:
        for text in ("x", "y", "z"):
            await work.decide(cases, "a", Add(text=text))

    await house.running.perform(act)
    snapshot = await house.store.snapshot(STREAM)
    assert snapshot is not None
    assert snapshot.version == 6
    assert await fresh(house) == Tally(notes=6, last="z")


async def test_deleting_them_all_changes_no_answer(house: House) -> None:
    await add(house, *numbers(12))
    with_them = await fresh(house)
    house.store._snapshots.clear()
    assert await fresh(house) == with_them
    await house.lead()
    await add(house, "13")
    assert await fresh(house) == Tally(notes=13, last="13")


async def test_other_code_does_not_use_them_and_puts_its_own_in_their_place(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    await add(house, *numbers(12))
    monkeypatch.setattr(snapshots, "fingerprint", lambda evolve: f"of {evolve.__name__}")
    newer = dataclasses.replace(cases, evolve=evolve_otherwise)
    assert await fresh(house, newer) == Tally(notes=24, last="12")
    head, state = await snapshots.load(house.store, newer, STREAM)
    await snapshots.save(house.store, newer, head, state)
    kept = await house.store.snapshot(STREAM)
    assert kept is not None
    assert kept.fingerprint == "of evolve_otherwise"
    assert await fresh(house, newer) == Tally(notes=24, last="12")
    assert await fresh(house) == Tally(notes=12, last="12")


@pytest.mark.parametrize(
    "changed",
    [
        {"state": '{"notes":99,"last":"12"}'},
        {"state": '{"notes":'},
        {"state": '{"notes":"many"}'},
        {"state": ""},
        {"version": 9},
        {"version": 11},
        {"version": 10_000},
        {"hash": "00"},
        {"digest": ""},
        {"stream": "case-b"},
        {"fingerprint": ""},
    ],
)
@pytest.mark.parametrize("sealed", [False, True])
async def test_a_corrupted_one_is_as_if_it_were_not_there(
    house: House, changed: dict[str, Any], sealed: bool
) -> None:
    await add(house, *numbers(12))
    snapshot = house.store._snapshots[STREAM]
    spoilt: Snapshot = msgspec.structs.replace(snapshot, **changed)
    if sealed and changed.keys().isdisjoint({"digest"}) and '"notes":99' not in str(changed):
        # Even where somebody has made the digest fit: all but a state that decodes is found out by the stream.
        spoilt = msgspec.structs.replace(spoilt, digest=snapshots._digest(spoilt))
    house.store._snapshots[STREAM] = spoilt
    assert await fresh(house) == Tally(notes=12, last="12")
    await house.lead()
    await add(house, *numbers(3))
    assert await fresh(house) == Tally(notes=15, last="3")


async def test_one_of_another_record_is_not_used(house: House) -> None:
    await add(house, *numbers(12))
    other = House()
    await other.lead()
    await add(other, *(["different"] * 12))
    house.store._snapshots = other.store._snapshots
    assert await fresh(house) == Tally(notes=12, last="12")


async def test_a_state_that_json_does_not_give_back_is_not_kept(house: House) -> None:
    class Lossy(msgspec.Struct, frozen=True):
        notes: Any = ()

    lossy: Decider[Add, Lossy] = Decider("case", Lossy(), decide, lambda state, _: Lossy((*state.notes, 1)))  # type: ignore[arg-type, return-value]
    await add(house, *numbers(4))
    head, state = await snapshots.load(house.store, lossy, STREAM)
    await snapshots.save(house.store, lossy, head, state)
    assert await house.store.snapshot(STREAM) is None


async def test_a_snapshot_that_cannot_be_saved_is_nobodys_trouble(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def refuse(snapshot: Snapshot) -> None:
        raise EventStoreError("permission denied")

    monkeypatch.setattr(house.store, "save_snapshot", refuse)
    await add(house, *numbers(6))
    assert await fresh(house) == Tally(notes=6, last="6")


async def test_code_that_is_replaced_while_a_process_runs_is_not_taken_for_its_own(tmp_path: Path) -> None:
    """Else what the old code has folded would be trusted by the new one."""
    source = tmp_path / "domain" / "counting.py"
    source.parent.mkdir()
    source.write_text("def evolve(state, event):\n    return state + 1\n")
    spec = spec_from_file_location("counting", source)
    assert spec is not None
    assert spec.loader is not None
    counting = module_from_spec(spec)
    spec.loader.exec_module(counting)
    loaded = snapshots.fingerprint.__wrapped__(counting.evolve)
    Service(name="counter", registry=registry, owns=(Decider("case", 0, decide, counting.evolve),))
    source.write_text("def evolve(state, event):\n    return state + 2\n")
    assert snapshots.fingerprint.__wrapped__(counting.evolve) != loaded
    assert snapshots.fingerprint(counting.evolve) == loaded


async def test_without_the_source_of_the_code_nothing_is_kept(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert snapshots.fingerprint(len) == ""
    monkeypatch.setattr(snapshots, "fingerprint", lambda _: "")
    await add(house, *numbers(6))
    assert await house.store.snapshot(STREAM) is None


@given(st.lists(st.tuples(st.integers(1, 40), st.integers(-40, 40)), max_size=400))
def test_large_states_are_kept_less_often_and_never_too_seldom(appends: list[tuple[int, int]]) -> None:
    """Of the work that events are, snapshots are a small multiple; what is left to be read is no more than they are."""
    version = since = written = 0
    size = largest = 1
    for events, growth in appends:
        version, since = version + events, since + events
        # No event makes a state larger by more than one part.
        size = max(size + min(growth, events), 1)
        largest = max(largest, size)
        if snapshots.is_due(version, events, size):
            written, since = written + size, 0
        assert since < max(snapshots.EVERY, 2 * largest) + events
    assert written <= 4 * version + snapshots.EVERY


async def test_what_a_state_has_many_of_decides_how_often_it_is_kept(house: House) -> None:
    large = dataclasses.replace(cases, size=lambda state: state.notes)

    async def act(work: Work) -> None:
        await work.decide(large, "a", Add(text="x"))

    kept = []
    for _ in range(40):
        await house.running.perform(act)
        snapshot = await house.store.snapshot(STREAM)
        kept += [snapshot.version] if snapshot and snapshot.version not in kept else []
    assert kept == [5, 10, 20, 40]
    assert await fresh(house) == Tally(notes=40, last="x")
