"""Documents in the record: folded once, whatever is delivered twice or at the same time, and rebuilt alike."""

from __future__ import annotations

import asyncio
from pathlib import Path

from contracts.mode import ModeChanged
from contracts.resolution import LoopOpened
from contracts.task import RepoSpec, TaskSpec, TaskSubmitted
from contracts.workspace import WorkspaceRemoved
from services.dashboard.app import service
from tests.integration.dashboard.world import DURABLE, World


async def test_what_was_followed_is_not_followed_again(scenes: World) -> None:
    before = await scenes.documents()
    await scenes.deliver()
    assert await scenes.documents() == before


async def test_a_rebuild_from_nothing_gives_the_same_views(told: World, tmp_path: Path) -> None:
    rebuilt = World(tmp_path / "elsewhere", clock=told.clock)
    await rebuilt.open()
    await rebuilt.deliver(await told.history())
    assert await rebuilt.documents() == await told.documents()


async def test_news_of_one_task_on_many_streams_at_once_is_all_folded(world: World) -> None:
    events = [
        await world.pen.write(WorkspaceRemoved(task_id="x", freed=1)),
        await world.pen.write(
            LoopOpened(
                task_id="x",
                loop=1,
                stage="verify",
                kind="persistent",
                label="flaky_test",
                fingerprint="f",
                signature="s",
            )
        ),
        await world.pen.write(
            TaskSubmitted(
                task_id="x",
                spec=TaskSpec(title="x", repos=(RepoSpec(name="x", url="/x"),)),
                submitted_at=world.clock.now(),
            )
        ),
    ]
    await asyncio.gather(*(world.handle(event) for event in reversed(events)))
    ((_, document, _),) = (await world.documents())["task"]
    assert document["events"] == 3
    assert [entry["position"] for entry in document["timeline"]] == [1, 2, 3]


async def test_a_task_is_listed_only_once_its_submission_is_known(world: World) -> None:
    await world.handle(await world.pen.write(WorkspaceRemoved(task_id="x", freed=1)))
    documents = await world.documents()
    assert len(documents["task"]) == 1
    assert documents["card"] == documents["active"] == []


async def test_events_about_no_task_write_no_task(world: World) -> None:
    changed = ModeChanged(mode="minimal", before="normal", actor="ada", reason="")
    await world.handle(await world.pen.write(changed))
    documents = await world.documents()
    assert documents["task"] == []
    assert documents["mode"][0][1]["mode"] == "minimal"


async def test_no_document_is_written_by_all_tasks(world: World, told: World) -> None:
    for recorded in (await told.history())[:60]:
        before = await world.documents()
        await world.handle(recorded)
        after = await world.documents()
        written = {(view, row[0]) for view, rows in after.items() for row in rows if row not in before[view]}
        about = getattr(recorded.event, "task_id", "")
        tasks = {key for view, key in written if view in ("task", "card", "active")}
        assert tasks <= {about}


def test_the_front_door_says_what_the_service_value_says() -> None:
    assert service.categories == ()
    assert service.consumes == ()
    (follower,) = service.follows
    assert follower.durable(service.name) == DURABLE == "dashboard-project"
    assert follower.filters == ("autopilot.v1.>",)
