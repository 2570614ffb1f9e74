"""The judge bites: what is bent by hand after a sound run is named."""

from __future__ import annotations

import random
from typing import Any

import msgspec
import pytest
import structlog

from libs.eventstore.store import BusEpoch, Cursor
from libs.testing.virtualtime import VirtualLoop
from tests.simulation.judge import (
    leaked,
    lost_messages,
    lost_tasks,
    missing_alerts,
    record,
    stale_views,
    unhandled,
    wrong_pull_requests,
)
from tests.simulation.process import config
from tests.simulation.run import Scene, run

SEEDS = range(1, 30)


@pytest.fixture(scope="module")
def sound() -> Scene:
    """The first run in which a task that is no simulation gets done, and somebody is told of an alert."""
    before = structlog.get_config()
    results = (run(seed) for seed in SEEDS)
    result = next(one for one in results if one.scene and _tells_enough(one.scene))
    structlog.configure(**before)
    assert result.scene is not None
    assert result.breaches == []
    return result.scene


def _tells_enough(scene: Scene) -> bool:
    done: list[Any] = [event.event for event in record(scene.world) if event.type == "task_done"]
    return any(fact.pull_requests for fact in done) and bool(scene.world.paged)


def test_a_task_that_was_accepted_and_is_not_recorded_is_named(
    sound: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    events = record(sound.world)
    assert list(lost_tasks(events, sound.people)) == []
    monkeypatch.setitem(sound.people.accepted, "t-lost", {})
    assert list(lost_tasks(events, sound.people)) == ["t-lost was accepted and is recorded 0 times"]


def test_a_message_that_never_reached_its_consumer_is_named(
    sound: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    world, events = sound.world, record(sound.world)
    assert list(unhandled(events, world)) == []
    place, version = next(iter(world.store._inbox.items()))
    monkeypatch.setitem(world.store._inbox, place, version - 1)
    (named,) = unhandled(events, world)
    assert f"{place[0]} has handled {place[1]} up to {version - 1}" in named


def test_a_follower_that_is_behind_or_holds_something_back_is_named(
    sound: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    world, events = sound.world, record(sound.world)
    with monkeypatch.context() as patch:
        patch.setitem(world.store._followers, "dashboard-project", Cursor(xid=1, position=1))
        (named,) = unhandled(events, world)
        assert named.startswith("dashboard-project has read up to")
    monkeypatch.setitem(world.store._held_back, ("dashboard-project", "task-x"), 1)
    assert list(unhandled(events, world)) == ["dashboard-project is held back in task-x"]


def test_a_second_pull_request_is_named(sound: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    world, events = sound.world, record(sound.world)
    assert list(wrong_pull_requests(events, world)) == []
    monkeypatch.setattr(world.forge, "pulls", world.forge.pulls * 2)
    assert any("has 2 open pull requests" in one for one in wrong_pull_requests(events, world))


def test_an_alert_that_nobody_was_told_of_is_named(sound: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    world, events = sound.world, record(sound.world)
    assert list(missing_alerts(events, world)) == []
    monkeypatch.setattr(world, "paged", type(world.paged)())
    assert any("nobody was told of" in one for one in missing_alerts(events, world))
    silent = [event for event in events if event.type != "alert_raised"]
    assert any("has no alert" in one for one in missing_alerts(silent, world))


def test_an_epoch_of_the_bus_without_a_loss_or_without_an_alert_is_named(
    sound: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    world, events = sound.world, record(sound.world)
    loop = VirtualLoop()
    assert loop.run(lost_messages(events, world)) == []
    monkeypatch.setattr(world.store, "_conditions", {})
    monkeypatch.setattr(world.store, "_epoch", BusEpoch(epoch=1))
    world.store.epoch = BusEpoch(epoch=2, state="rebuilding", reason="lost")
    assert loop.run(lost_messages(events, world)) == [
        "epoch 2 has no alert that was told and resolved: lost",
        "the bus was made anew though it lost nothing: lost",
    ]


@pytest.mark.parametrize("secret", list(config("", "", "").secrets))
def test_a_secret_that_got_out_is_named(sound: Scene, secret: str, monkeypatch: pytest.MonkeyPatch) -> None:
    world, events = sound.world, record(sound.world)
    assert list(leaked(events, world)) == []
    bent = msgspec.structs.replace(
        events[0], meta=msgspec.structs.replace(events[0].meta, actor=f"somebody with {secret}")
    )
    assert [one.split(":")[0] for one in leaked([bent], world)] == ["an event holds a secret"]
    monkeypatch.setattr(world.trace, "lines", [f"fails: {secret}"])
    assert [one.split(":")[0] for one in leaked(events, world)] == ["what was done holds a secret"]


def test_a_view_that_counted_twice_is_named(sound: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    world, events = sound.world, record(sound.world)
    place, document = next(one for one in world.store._documents.items() if one[0][0] == "task")
    data = msgspec.json.decode(document.data)
    bent = msgspec.structs.replace(document, data=msgspec.json.encode({**data, "events": data["events"] + 1}))
    loop = VirtualLoop()
    assert loop.run(stale_views(events, world)) == []
    monkeypatch.setitem(world.store._documents, place, bent)
    assert loop.run(stale_views(events, world)) == [f"view task/{place[-1]} is not what a rebuild gives"]


@pytest.mark.parametrize("kind", ["missed", "twice", "disorder"])
def test_a_live_stream_that_leaves_out_or_repeats_is_named(
    sound: Scene, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    viewer = sound.viewer
    assert list(viewer.breaches()) == []
    seen: list[tuple[Cursor, str]] = list(viewer.seen)
    words = {"missed": "never told of", "twice": "twice", "disorder": "out of order"}[kind]
    match kind:
        case "missed":
            del seen[5]
        case "twice":
            seen.insert(5, seen[5])
        case _:
            random.Random(1).shuffle(seen)
    monkeypatch.setattr(viewer, "seen", seen)
    assert any(words in breach for breach in viewer.breaches())
