"""A batch is accepted whole or not at all, once, whatever happens on the way."""

from __future__ import annotations

import asyncio
from typing import Any

import httpx
import msgspec
import pytest

from contracts.batch import MAX_TASKS
from libs.eventstore.store import Append, ConflictError, StoreUnavailableError
from libs.testing.world import World
from tests.system.faults import KillAt, Killed
from tests.system.walking import end, facts_of, limit, restart, sound, wait_out


def task(key: str | None = None, *needs: str, **values: Any) -> dict[str, Any]:
    """A simulated task as a client sends it."""
    given = {"title": key or "t", "engine": "noop", "synthetic": True, "repos": [{"name": "r", "url": "/r"}]}
    return {**given, "key": key, "depends_on": needs, **values}


async def post(api: httpx.AsyncClient, *tasks: Any, key: str = "once") -> httpx.Response:
    """Submit a batch."""
    return await api.post("/v1/batches", json={"tasks": tasks}, headers={"idempotency-key": key})


def ids_of(answer: httpx.Response) -> dict[str, str]:
    """Task ids by key."""
    assert answer.status_code in (200, 202), answer.text
    return {one["key"]: one["id"] for one in answer.json()["tasks"]}


async def submitted(world: World) -> list[str]:
    """Ids of the tasks that were accepted, as the record tells them."""
    return [event.event.task_id for event in await world.events("task_submitted")]  # type: ignore[union-attr]


async def test_a_batch_runs_in_the_order_of_its_dependencies_whatever_that_of_its_body(
    world: World, api: httpx.AsyncClient
) -> None:
    answer = await post(api, task("last", "middle"), task("first"), task("middle", "first"))
    ids = ids_of(answer)
    assert list(ids) == ["last", "first", "middle"]
    assert answer.headers["location"] == f"/v1/batches/{answer.json()['batch']}"
    await world.settle()
    events = await sound(world)
    assert [end(events, task_id) for task_id in ids.values()] == ["task_done"] * 3
    granted = [event.event.task_id for event in events if event.type == "slot_granted"]
    assert list(dict.fromkeys(granted)) == [ids["first"], ids["middle"], ids["last"]]
    [of_last] = facts_of(events, ids["last"], "task_submitted")
    assert of_last.depends_on == (ids["middle"],)
    assert of_last.batch == answer.json()["batch"]
    assert of_last.spec.depends_on == ("middle",), "the task file is kept as it was sent"


async def test_it_is_one_append(world: World, api: httpx.AsyncClient) -> None:
    appends: list[Append] = []
    real = world.store.append

    async def seen(append: Append) -> Any:
        appends.append(append)
        return await real(append)

    world.store.append = seen  # type: ignore[method-assign]
    await post(api, *(task(f"k{place}") for place in range(30)))
    assert len(appends) == 1
    assert len(appends[0].streams) == 31


async def test_the_most_urgent_of_a_batch_gets_the_first_slot(world: World, api: httpx.AsyncClient) -> None:
    await limit(world, 1)
    tasks = [task("low", priority="low"), task("normal"), task("urgent", priority="urgent")]
    ids = ids_of(await post(api, *tasks))
    await world.settle()
    granted = [event.event.task_id for event in await sound(world) if event.type == "slot_granted"]
    assert list(dict.fromkeys(granted)) == [ids["urgent"], ids["normal"], ids["low"]]


async def test_a_batch_may_depend_on_tasks_that_are_there_already(
    world: World, api: httpx.AsyncClient
) -> None:
    [before] = ids_of(await post(api, task("a"), key="before")).values()
    ids = ids_of(await post(api, task("b", before), task("c", "b", before)))
    await world.settle()
    events = await sound(world)
    assert [end(events, task_id) for task_id in ids.values()] == ["task_done"] * 2


async def test_one_that_is_refused_refuses_all_and_every_fault_is_told(
    world: World, api: httpx.AsyncClient
) -> None:
    answer = await post(
        api,
        task("good"),
        task("a", "b"),
        task("b", "a"),
        task("lost", "tnobody", "also/nobody", engine="noop", synthetic=False),
        task("good"),
    )
    assert (answer.status_code, answer.headers["content-type"]) == (422, "application/problem+json")
    problem = answer.json()
    assert problem["title"] == "Invalid batch"
    assert problem["field"] == "tasks[3].engine"
    assert "5 more" in problem["detail"]
    told = [(one["task"], one["key"], one["field"]) for one in problem["errors"]]
    assert told == [
        (3, "lost", "engine"),
        (0, "good", "key"),
        (4, "good", "key"),
        (1, "a", "depends_on"),
        (3, "lost", "depends_on[0]"),
        (3, "lost", "depends_on[1]"),
    ]
    assert "a -> b -> a" in problem["errors"][3]["detail"]
    assert await world.events() == []


async def test_a_key_that_is_an_existing_tasks_id_is_refused(world: World, api: httpx.AsyncClient) -> None:
    [before] = ids_of(await post(api, task("a"), key="before")).values()
    answer = await post(api, task(before), task("b", before))
    assert answer.status_code == 422
    assert answer.json()["field"] == "tasks[0].key"
    assert await submitted(world) == [before]


async def test_a_batch_may_not_name_more_tasks_than_can_be_looked_up(
    world: World, api: httpx.AsyncClient
) -> None:
    needs = [[f"t{place}x{number}" for number in range(64)] for place in range(16)]
    answer = await post(api, *(task(None, *of) for of in needs))
    assert answer.status_code == 422
    assert "1024 tasks outside of the batch" in answer.json()["detail"]
    assert await world.events() == []


async def test_who_has_no_token_learns_nothing(world: World, api: httpx.AsyncClient) -> None:
    where = (await post(api, task())).headers["location"]
    headers = {"authorization": "Bearer wrong"}
    assert (await api.get(where, headers=headers)).status_code == 401
    assert (await api.post("/v1/batches", content=b"{", headers=headers)).status_code == 401
    assert len(await submitted(world)) == 1


async def test_the_same_key_and_body_is_the_same_batch(world: World, api: httpx.AsyncClient) -> None:
    first = await post(api, task("a"), task("b", "a"))
    again = await post(api, task("a"), task("b", "a"))
    assert (first.status_code, again.status_code) == (202, 200)
    assert first.json() == again.json()
    await restart(world, "scheduler")
    await wait_out(world)
    late = await post(api, task("a"), task("b", "a"))
    assert (late.status_code, late.json()) == (200, first.json())
    assert len(await submitted(world)) == 2


@pytest.mark.parametrize(
    "other", [[task("a")], [task("b", "a"), task("a")], [task("a"), task("b", "a"), task("c")], [{}]]
)
async def test_the_same_key_for_another_body_is_refused(
    world: World, api: httpx.AsyncClient, other: list[Any]
) -> None:
    await post(api, task("a"), task("b", "a"))
    answer = await post(api, *other)
    assert answer.status_code == 422
    assert "used for another body" in answer.json()["detail"]
    assert len(await submitted(world)) == 2


async def test_a_batch_and_a_task_of_the_same_key_are_two_things(
    world: World, api: httpx.AsyncClient
) -> None:
    headers = {"idempotency-key": "once"}
    alone = await api.post("/v1/tasks", json=task("a"), headers=headers)
    assert alone.status_code == 202
    assert alone.json()["id"] not in ids_of(await post(api, task("a"))).values()


async def test_without_a_key_every_batch_is_another(world: World, api: httpx.AsyncClient) -> None:
    for _ in range(2):
        assert (await api.post("/v1/batches", json={"tasks": [task()]})).status_code == 202
    assert len(set(await submitted(world))) == 2


async def test_the_same_batch_sent_many_times_at_once_is_accepted_once(
    world: World, api: httpx.AsyncClient
) -> None:
    tasks = [task(f"k{place}", *([f"k{place - 1}"] if place else [])) for place in range(20)]
    answers = await asyncio.gather(*(post(api, *tasks) for _ in range(8)))
    assert sorted(answer.status_code for answer in answers) == [200] * 7 + [202]
    assert len({msgspec.json.encode(answer.json()) for answer in answers}) == 1
    assert len(await submitted(world)) == 20


@pytest.mark.parametrize("path", ["/v1/batches", "/v1/tasks"])
async def test_of_two_bodies_sent_at_once_under_one_key_one_is_accepted(
    world: World, api: httpx.AsyncClient, path: str
) -> None:
    real = world.store.read_stream

    async def slow(stream: str, after: int = 0, **options: Any) -> Any:
        # Both look before either has written, as when the record is on another machine.
        await asyncio.sleep(0)
        return await real(stream, after, **options)

    world.store.read_stream = slow  # type: ignore[method-assign]
    headers = {"idempotency-key": "once"}
    bodies = [{"tasks": [task(name)]} if path == "/v1/batches" else task(name) for name in ("a", "b")]
    answers = await asyncio.gather(*(api.post(path, json=body, headers=headers) for body in bodies))
    assert sorted(answer.status_code for answer in answers) == [202, 422]
    assert len(await submitted(world)) == 1


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
async def test_a_scheduler_killed_at_the_append_leaves_all_or_nothing(
    world: World, api: httpx.AsyncClient, after: bool
) -> None:
    tasks = [task("a"), task("b", "a"), task("c", "b")]
    kill = KillAt(world, "scheduler", 1, after=after)
    with pytest.raises(Killed):
        await post(api, *tasks)
    assert len(await submitted(world)) == (3 if after else 0)
    kill.dead = False
    await restart(world, "scheduler")
    answer = await post(api, *tasks)
    assert answer.status_code == (200 if after else 202)
    await wait_out(world)
    events = await sound(world)
    assert len(await submitted(world)) == 3
    assert [end(events, task_id) for task_id in ids_of(answer).values()] == ["task_done"] * 3


async def test_others_that_are_faster_or_a_record_that_fails_leave_nothing_half_done(
    world: World, api: httpx.AsyncClient
) -> None:
    real, failures = world.store.append, [ConflictError("admission-main", 0), StoreUnavailableError("gone")]

    async def failing(append: Append) -> Any:
        if failures:
            raise failures.pop(0)
        return await real(append)

    world.store.append = failing  # type: ignore[method-assign]
    # The conflict is decided again by itself, and then the record is away.
    answer = await post(api, task("a"), task("b", "a"))
    assert answer.status_code == 503
    assert "Idempotency-Key" in answer.json()["detail"]
    assert await world.events() == []
    assert (await post(api, task("a"), task("b", "a"))).status_code == 202
    await world.settle()
    await sound(world)


async def test_how_far_a_batch_is_is_told_from_the_record(world: World, api: httpx.AsyncClient) -> None:
    answer = await post(api, task("a"), task("b", "a", body="fail verify 9"))
    where = answer.headers["location"]
    begun = (await api.get(where)).json()
    assert [one["key"] for one in begun["tasks"]] == ["a", "b"]
    assert (begun["ended"], sum(begun["phases"].values())) == (False, 2)
    await world.settle()
    await wait_out(world)
    over = (await api.get(where)).json()
    assert (over["ended"], over["phases"]) == (True, {"done": 1, "incident": 1})
    assert over["tasks"][1]["reason"]
    one = (await api.get(f"/v1/tasks/{over['tasks'][0]['id']}")).json()
    assert (one["key"], one["batch"]) == ("a", over["batch"])
    for nothing in ("bnothing", "%00", "%ff", "x" * 5_000):
        assert (await api.get(f"/v1/batches/{nothing}")).status_code == 404


@pytest.mark.parametrize(
    ("body", "status", "word"),
    [
        (b"", 400, "Malformed"),
        (b"{", 400, "Malformed"),
        (b'{"tasks": ["\xff"]}', 400, "Malformed"),
        (b'{"tasks": ' + b"[" * 100_000, 400, "nested"),
        (b'{"tasks": [{"env": ' + b'{"a":' * 100_000, 400, "nested"),
        (b"[]", 422, "the body"),
        (b'{"tasks": [' + b"{}," * MAX_TASKS + b"{}]}", 422, str(MAX_TASKS)),
        (b'{"tasks": [' + b"7," * (MAX_TASKS - 1) + b"7]}", 422, "499 more"),
        (b'{"tasks": [{"title": "\\ud800x"}]}', 400, "Malformed"),
        (b'{"tasks": [{"key": "' + b"x" * 10**6 + b'", "engine": "' + b"y" * 10**6 + b'"}]}', 422, "3 more"),
        (b'{"tasks": [{"\\u0000": 1}]}', 422, "unknown field"),
        (b'{"tasks": [{"title": "' + b"x" * 4_300_000 + b'"}]}', 413, "bytes"),
    ],
    ids=[
        "empty",
        "cut",
        "bytes",
        "deep lists",
        "deep maps",
        "list",
        "too many",
        "numbers",
        "half a character",
        "long",
        "NUL",
        "too large",
    ],
)
async def test_what_is_no_batch_is_refused(
    world: World, api: httpx.AsyncClient, body: bytes, status: int, word: str
) -> None:
    answer = await api.post("/v1/batches", content=body)
    assert (answer.status_code, answer.headers["content-type"]) == (status, "application/problem+json")
    assert word in answer.text
    assert len(answer.content) < 200_000
    assert await world.events() == []
