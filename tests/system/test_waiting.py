"""Why a task does not run yet, as the API tells it from the record."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import httpx
import pytest

from libs.testing.world import World
from services.scheduler.domain.admission import POOL, Hold, PauseQueue, admission
from services.scheduler.domain.commands import Cancel
from services.scheduler.domain.pool import FORESIGHT, Admission
from services.scheduler.handlers.wishes import operate
from tests.system.test_batches import ids_of, post, task
from tests.system.walking import limit, restart, submit, tell


@pytest.fixture
def world(stepwise: World) -> World:
    """Services whose stages end for the tasks that a test lets go."""
    return stepwise


async def shown(api: httpx.AsyncClient, task_id: str) -> dict[str, Any]:
    """One task as the API shows it."""
    answer = await api.get(f"/v1/tasks/{task_id}")
    assert answer.status_code == 200, answer.text
    told: dict[str, Any] = answer.json()
    return told


def reads_of(world: World) -> list[str]:
    """List the streams that are read from now on."""
    streams: list[str] = []
    real = world.store.read_stream

    async def read(stream: str, after: int = 0, **options: Any) -> Any:
        streams.append(stream)
        return await real(stream, after, **options)

    world.store.read_stream = read  # type: ignore[method-assign]
    return streams


async def turn_over(world: World, going: set[str], count: int, seconds: float) -> None:
    """Let so many tasks end, one after the other."""
    for number in range(count):
        going.add(f"t{number}")
        await world.pass_time(seconds)


async def test_position_and_estimate_follow_from_the_last_slots_that_came_free(
    world: World, api: httpx.AsyncClient, going: set[str]
) -> None:
    await limit(world, 1)
    for number in range(20):
        await submit(world, f"t{number}")
    early = await shown(api, "t19")
    assert early["position"] == {"ahead": 18, "exact": True}
    assert early["estimate"]["seconds"] is None
    assert "no estimate: fewer than 5 slots have come free" in early["why_not_yet"]
    await world.pass_time(8)
    await turn_over(world, going, 8, 8)
    late = await shown(api, "t19")
    assert late["position"] == {"ahead": 10, "exact": True}
    # Seven came free after the first one, 8 s after each other.
    assert late["estimate"]["seconds"] == pytest.approx(11 * 8)
    assert late["why_not_yet"] == (
        "1 of 1 slots are taken; about 88 s: 10 starts ahead, a slot has come free every 8.0 s over the last 7"
    )
    await restart(world, "scheduler")
    assert await shown(api, "t19") == late, "it follows from the record alone"


async def test_a_dependency_is_told_with_where_it_is(world: World, api: httpx.AsyncClient) -> None:
    await submit(world, "t1")
    await submit(world, "t2", depends_on=["t1"])
    told = await shown(api, "t2")
    assert told["waits"] == [{"kind": "dependency", "detail": "waits for t1 (running at spec)", "on": ["t1"]}]
    assert "position" not in told
    await tell(world, "t1", Cancel(actor="ann", reason=""))
    await world.settle()
    parked = await shown(api, "t2")
    assert (parked["phase"], [wait["kind"] for wait in parked["waits"]]) == ("parked", ["person"])
    assert "autopilot retry t1" in parked["why_not_yet"]


async def test_a_paused_queue_and_a_hold_are_told_with_who_said_so(
    world: World, api: httpx.AsyncClient
) -> None:
    pause = PauseQueue(queue="shop", actor="ann", reason="release day")
    await world.perform("scheduler", lambda work: operate(work, pause))
    await world.perform("scheduler", lambda work: operate(work, Hold(cause="drain", actor="bob")))
    await submit(world, "t1", queue="shop")
    await submit(world, "t2")
    one, other = await shown(api, "t1"), await shown(api, "t2")
    assert [wait["kind"] for wait in one["waits"]] == ["queue", "hold"]
    assert "queue shop is paused by ann (release day)" in one["why_not_yet"]
    assert [wait["kind"] for wait in other["waits"]] == ["hold"]
    assert "draining, by bob" in other["why_not_yet"]
    assert other["estimate"]["seconds"] is None


async def test_what_runs_has_nothing_to_explain(world: World, api: httpx.AsyncClient) -> None:
    await submit(world, "t1")
    told = await shown(api, "t1")
    assert told["phase"] == "running"
    assert not {"why_not_yet", "waits", "position", "estimate"} & set(told)


async def test_a_list_of_tasks_looks_ahead_once_for_all_of_them(
    world: World, api: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    await limit(world, 1)
    for number in range(120):
        await submit(world, f"t{number}")
    looked, real = 0, Admission.upcoming

    def upcoming(pool: Admission, count: int = FORESIGHT) -> tuple[str, ...]:
        nonlocal looked
        looked += 1
        return real(pool, count)

    monkeypatch.setattr(Admission, "upcoming", upcoming)
    streams = reads_of(world)
    page = (await api.get("/v1/tasks", params={"limit": 100})).json()
    assert looked == 1
    assert streams == ["admission-main"], "what this process has decided it knows; the pace it has to read"
    assert len(page["tasks"]) == 100
    for place in (0, 57):
        assert page["tasks"][place] == await shown(api, f"t{119 - place}"), "a list says what one does"
    assert page["tasks"][0]["position"] == {"ahead": 118, "exact": True}
    rest = (await api.get("/v1/tasks", params={"limit": 100, "after": page["next"]})).json()
    assert [one["id"] for one in rest["tasks"]] == [f"t{number}" for number in reversed(range(20))]


async def test_a_list_of_tasks_that_this_process_does_not_know_is_read_at_once_and_holds_up_nobody(
    world: World, api: httpx.AsyncClient
) -> None:
    for number in range(60):
        await submit(world, f"t{number}")
    await world.settle()
    known = (await api.get("/v1/tasks")).json()
    await restart(world, "scheduler")
    running, asked = world.running["scheduler"], list[list[str]]()
    real = world.store.read_streams

    async def read(streams: Sequence[str], *, upto: int) -> Any:
        asked.append(list(streams))
        return await real(streams, upto=upto)

    world.store.read_streams = read  # type: ignore[method-assign]
    # Whoever decides has the turn meanwhile.
    await running.recall(admission, POOL)
    held = asyncio.Event()
    deciding = asyncio.create_task(running.perform(lambda _: held.wait()))
    await asyncio.sleep(0)
    page = (await api.get("/v1/tasks")).json()
    assert not deciding.done()
    held.set()
    await deciding
    assert page == known
    assert sum(map(len, asked)) == 60
    assert len(asked) <= 3


async def test_tasks_are_shown_by_name(world: World, api: httpx.AsyncClient) -> None:
    await limit(world, 1)
    for number in range(3):
        await submit(world, f"t{number}")
    await submit(world, "t3", depends_on=["t0"])
    named = [("id", "t3"), ("id", "tnobody"), ("id", "t1"), ("id", "%00"), ("id", "t3")]
    page = (await api.get("/v1/tasks", params=named)).json()  # type: ignore[arg-type]
    assert [one["id"] for one in page["tasks"]] == ["t3", "t1"]
    assert page["next"] is None
    assert page["tasks"][0]["waits"][0]["detail"] == "waits for t0 (running at spec)"
    assert page["tasks"][1]["position"] == {"ahead": 0, "exact": True}
    many = await api.get("/v1/tasks", params=[("id", f"t{number}") for number in range(501)])  # type: ignore[arg-type]
    assert (many.status_code, many.json()["field"]) == (422, "id")


@pytest.mark.parametrize("after", ["tnobody", "t1\0", "t1\n", "../t1", "x" * 5_000, "t1' or '1'='1"])
async def test_a_list_does_not_go_on_behind_what_is_not_there(
    world: World, api: httpx.AsyncClient, after: str
) -> None:
    await submit(world, "t1")
    answer = await api.get("/v1/tasks", params={"after": after})
    assert (answer.status_code, answer.json()["field"]) == (422, "after")
    assert len(answer.content) < 1_000


async def test_within_the_second_newcomers_and_wishes_of_people_count(
    world: World, api: httpx.AsyncClient
) -> None:
    await limit(world, 1)
    for number in range(5):
        await submit(world, f"t{number}")
    assert (await shown(api, "t4"))["position"] == {"ahead": 3, "exact": True}
    await submit(world, "t5")
    assert (await shown(api, "t5"))["position"] == {"ahead": 4, "exact": True}
    await api.post("/v1/tasks/t5/reprioritise", json={"priority": "urgent"})
    assert (await shown(api, "t5"))["position"] == {"ahead": 0, "exact": True}
    await tell(world, "t1", Cancel(actor="ann", reason=""))
    assert (await shown(api, "t4"))["position"] == {"ahead": 3, "exact": True}


async def test_beyond_the_look_ahead_a_position_is_a_bound(world: World, api: httpx.AsyncClient) -> None:
    await limit(world, 1)
    for number in range(FORESIGHT + 2):
        await submit(world, f"t{number}")
    assert (await shown(api, f"t{FORESIGHT}"))["position"] == {"ahead": FORESIGHT - 1, "exact": True}
    last = await shown(api, f"t{FORESIGHT + 1}")
    assert last["position"]["exact"] is False
    assert last["position"]["ahead"] >= FORESIGHT
    assert "at most" in last["why_not_yet"]


async def test_a_page_that_was_cut_says_where_it_goes_on(world: World, api: httpx.AsyncClient) -> None:
    for number in range(3):
        await submit(world, f"t{number}")
    assert (await api.get("/v1/tasks", params={"limit": 0})).json()["next"] == "t2"
    for number in range(3, 501):
        await submit(world, f"t{number}")
    page = (await api.get("/v1/tasks", params={"limit": 9_999})).json()
    assert (len(page["tasks"]), page["next"]) == (500, "t1")


async def test_many_who_ask_within_a_second_read_the_record_once(
    world: World, api: httpx.AsyncClient, going: set[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    await limit(world, 1)
    for number in range(20):
        await submit(world, f"t{number}")
    await turn_over(world, going, 6, 3)
    looked, real = 0, Admission.upcoming

    def upcoming(pool: Admission, count: int = FORESIGHT) -> tuple[str, ...]:
        nonlocal looked
        looked += 1
        return real(pool, count)

    monkeypatch.setattr(Admission, "upcoming", upcoming)
    streams = reads_of(world)
    for _ in range(50):
        await shown(api, "t19")
    assert streams == ["admission-main"]
    assert looked == 1
    world.clock.advance(1)
    await shown(api, "t19")
    assert streams == ["admission-main"] * 2


async def test_of_a_batch_is_told_who_holds_up_whom_and_how_often_one_ends(
    world: World, api: httpx.AsyncClient, going: set[str]
) -> None:
    [outer] = ids_of(await post(api, task("outer"), key="outer")).values()
    tasks = [
        task("a"),
        task("b", "a"),
        task("c", "b", outer),
        task("d", "c"),
        *(task(f"n{n}") for n in range(7)),
    ]
    answer = await post(api, *tasks)
    ids, where = ids_of(answer), answer.headers["location"]
    await world.settle()
    early = (await api.get(where)).json()
    assert (early["total"], early["pace"], early["on_failed_dependency"]) == (11, None, "park")
    assert [(one["key"], one["id"], one["phase"], one["blocks"]) for one in early["blockers"]] == [
        ("a", ids["a"], "running", 3),
        ("outer", outer, "running", 2),
    ]
    blocked = {one["key"]: one["blocked_by"] for one in early["tasks"] if one["blocked_by"]}
    assert blocked == {"b": [ids["a"]], "c": [ids["b"], outer], "d": [ids["c"]]}
    for key in ("a", *(f"n{n}" for n in range(7))):
        going.add(ids[key])
        await world.pass_time(30)
    late = (await api.get(where)).json()
    assert late["phases"] == {"done": 8, "running": 1, "queued": 2}
    assert late["pace"] == {"every_s": 30.0, "over": 7}
    assert {one["key"]: one["blocks"] for one in late["blockers"]} == {"b": 2, "outer": 2}
