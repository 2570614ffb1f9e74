"""What a newer release has recorded passes the views, the API and the live stream unharmed, and so does a rebuild."""

from __future__ import annotations

import asyncio
from contextlib import aclosing
from typing import Any, ClassVar

import msgspec
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from contracts.message import Event, Recorded, Unknown
from contracts.task import TaskEvent
from libs.eventstore.store import Append, DocumentWrite
from libs.runtime.projection import Folding
from services.dashboard.app import service
from tests.integration.dashboard.world import World

texts = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=8)
values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53) + 1, 2**53 - 1) | st.floats(-1e15, 1e15) | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=6,
)


class TaskBlessed(Event, frozen=True, kw_only=True):
    """A type that this release does not know."""

    stream: ClassVar[str] = "task"
    task_id: str
    blessing: Any = None


class TaskDone(Event, frozen=True, kw_only=True):
    """A type that it knows, in a schema version that it does not."""

    stream: ClassVar[str] = "task"
    schema_version: ClassVar[int] = 7
    task_id: str
    blessing: Any = None


def known_types() -> set[str]:
    return {cls.__name__ for cls in TaskEvent.__args__}


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(blessing=values, cls=st.sampled_from([TaskBlessed, TaskDone]))
async def test_it_is_shown_as_it_was_written(
    world: World, program: Any, blessing: Any, cls: type[Any]
) -> None:
    task = f"x{len(await world.history())}"
    written = await world.pen.write(cls(task_id=task, blessing=blessing))
    event = {"type": written.type, "task_id": task, "blessing": blessing}
    recorded = (await world.history())[-1]
    assert recorded.event == Unknown(type=written.type, data=event)
    await world.handle(recorded)
    (document,) = [one for key, one, _ in (await world.documents())["task"] if key == task]
    assert (document["phase"], document["events"]) == ("unknown", 1)
    assert [entry["type"] for entry in document["timeline"]] == [written.type]
    since = written.position - 1
    (shown,) = (await program(world).get("/api/v1/events", params={"since": since})).json()["events"]
    assert shown["data"] == event
    assert (shown["type"], shown["schema_version"]) == (written.type, cls.schema_version)
    async with aclosing(world.running.parts.feed.events(since)) as frames, asyncio.timeout(60):
        assert msgspec.json.decode((await anext(frames)).full)["data"] == event
    assert await _rebuilt(world, recorded) == document
    assert (await world.store.verify(f"task-{task}")).hash == written.hash


async def _rebuilt(world: World, event: Recorded) -> Any:
    """Fold an event into another generation, as a rebuild does, and return its task's document."""
    assert service.projection is not None
    assert world.running.lease is not None
    number = 1 + event.position
    folding = Folding(world.store, "dashboard", world.running.lease, service.projection, number)
    await folding.take(event)
    await folding.flush()
    (row,) = await world.store.documents("task", generation=number)
    return msgspec.json.decode(row.data)


def test_one_of_the_two_is_a_type_of_today() -> None:
    assert (TaskDone.__name__ in known_types(), TaskBlessed.__name__ in known_types()) == (True, False)


async def test_a_document_of_other_code_that_cannot_be_read_is_an_answer_and_not_a_crash(
    world: World, program: Any
) -> None:
    write = DocumentWrite(view="task", key="x", before=0, data=b'{"task_id": 7}')
    await world.store.append(Append(service="dashboard", documents=(write,)))
    answer = await program(world).get("/api/v1/tasks/x")
    assert answer.status_code == 503
    assert "built anew" in answer.json()["detail"]
