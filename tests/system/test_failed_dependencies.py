"""What becomes of tasks when one that they depend on ends without a change: they wait, or are cancelled if their batch says so."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from pathlib import Path
from random import Random
from typing import Any

import httpx
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from contracts.batch import MAX_TASKS
from libs.testing.world import World
from services.scheduler.domain.admission import POOL, admission
from services.scheduler.domain.commands import Cancel, Retry, Submit
from services.scheduler.handlers.wishes import submit as take_in
from tests.system.test_batches import ids_of, post, task
from tests.system.walking import (
    CORE,
    end,
    facts_of,
    limit,
    opened,
    sound,
    spec,
    state_of,
    submit,
    tell,
    wait_out,
)


async def test_what_depends_on_a_failed_task_is_cancelled_where_the_batch_says_so(
    world: World, api: httpx.AsyncClient
) -> None:
    tasks = [
        task("a", body="fail verify 9"),
        task("b", "a"),
        task("c", "b", "a"),
        task("d", "c"),
        task("other"),
    ]
    answer = await api.post("/v1/batches", json={"tasks": tasks, "on_failed_dependency": "cancel"})
    ids = ids_of(answer)
    await world.settle()
    await wait_out(world)
    events = await sound(world)
    ends = {key: end(events, task_id) for key, task_id in ids.items()}
    cancelled = dict.fromkeys("bcd", "task_cancelled")
    assert ends == {"a": "task_given_up", **cancelled, "other": "task_done"}
    [of_b] = facts_of(events, ids["b"], "task_cancelled")
    [of_d] = facts_of(events, ids["d"], "task_cancelled")
    assert (of_b.actor, of_b.reason) == ("scheduler", f"it depends on {ids['a']}, which ended as incident")
    assert of_d.reason == f"it depends on {ids['c']}, which ended as cancelled"
    assert (await world.perform("scheduler", lambda work: work.load(admission, POOL))).waiting.plain() == {}


graphs = st.lists(st.tuples(st.sets(st.integers(0, 8), max_size=3), st.booleans()), min_size=1, max_size=9)


@settings(max_examples=12, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(graph=graphs, policy=st.sampled_from(["park", "cancel"]), slots=st.integers(1, 3), seed=st.randoms())
def test_whatever_fails_each_task_ends_or_waits_as_its_dependencies_and_its_batch_say(
    tmp_path: Path, graph: list[tuple[set[int], bool]], policy: Any, slots: int, seed: Random
) -> None:
    # Only backwards, as a batch without a cycle can be written; the order of its body is another matter.
    needs = [sorted(one for one in wanted if one < place) for place, (wanted, _) in enumerate(graph)]
    expected: list[str] = []
    for place, (_, fails) in enumerate(graph):
        behind = {expected[one] for one in needs[place]}
        if behind <= {"task_done"}:
            expected.append("task_given_up" if fails else "task_done")
        elif policy == "cancel":
            expected.append("task_cancelled")
        else:
            # What waits for one that waits for a person may still run: it stays in the queue.
            expected.append("task_parked" if "task_given_up" in behind else "task_submitted")
    wishes = [
        Submit(
            task_id=f"t{place}",
            spec=spec(body="fail implement 4" if fails else ""),
            depends_on=tuple(f"t{one}" for one in needs[place]),
            request_digest="",
            now=datetime(2026, 1, 1, tzinfo=UTC),
            batch="b1",
            on_failed_dependency=policy,
        )
        for place, (_, fails) in enumerate(graph)
    ]
    seed.shuffle(wishes)

    async def run() -> list[str]:
        async with opened(CORE, tmp_path) as world:
            await limit(world, slots)
            await world.running["scheduler"].perform(lambda work: take_in(work, wishes), synthetic=True)
            await world.settle()
            await wait_out(world)
            events = await sound(world)
            return [end(events, f"t{place}") for place in range(len(graph))]

    assert asyncio.run(run()) == expected


async def test_a_long_chain_is_cancelled_to_its_end(world: World, api: httpx.AsyncClient) -> None:
    await limit(world, 1)
    [first] = ids_of(await post(api, task("first"), key="first")).values()
    chain = [task("k0", first), *(task(f"k{place}", f"k{place - 1}") for place in range(1, MAX_TASKS))]
    body = {"tasks": chain, "on_failed_dependency": "cancel"}
    ids = ids_of(await api.post("/v1/batches", json=body))
    assert (await api.post(f"/v1/tasks/{first}/cancel")).status_code == 202
    await world.settle()
    events = await sound(world)
    assert {end(events, task_id) for task_id in ids.values()} == {"task_cancelled"}


async def test_what_comes_to_a_failed_task_is_cancelled_at_once_where_its_batch_says_so(
    world: World, api: httpx.AsyncClient
) -> None:
    [before] = ids_of(await post(api, task("a"), key="before")).values()
    await api.post(f"/v1/tasks/{before}/cancel")
    await world.settle()
    tasks = [task("c", "b"), task("b", before), task("d")]
    body = {"tasks": tasks, "on_failed_dependency": "cancel"}
    ids = ids_of(await api.post("/v1/batches", json=body))
    await world.settle()
    events = await sound(world)
    ends = {key: end(events, task_id) for key, task_id in ids.items()}
    assert ends == {"c": "task_cancelled", "b": "task_cancelled", "d": "task_done"}


async def test_what_is_taken_up_again_is_not_there_before_it_is_watched_anew(
    stepwise: World, going: set[str]
) -> None:
    """Its old change was given up: what depends on it must not be built on that one."""
    world = stepwise
    watched = {"name": "one", "url": "nowhere", "monitor": {"window_s": 100}}
    going |= {"t1", "t2"}
    await submit(world, "t1", repos=[watched])
    await world.settle()
    await tell(world, "t1", Cancel(actor="ann", reason="a wrong change"))
    await limit(world, 1)
    await submit(world, "busy")
    await tell(world, "t1", Retry(actor="ann"))
    await submit(world, "t2", priority="urgent", depends_on=["t1"])
    await world.settle()
    going.add("busy")
    await world.settle()
    for _ in range(12):
        await world.pass_time(10)
    events = await sound(world)
    assert (end(events, "t1"), end(events, "t2")) == ("task_done", "task_done")


async def test_what_runs_is_not_touched_and_is_asked_again_when_it_wants_the_next_slot(
    stepwise: World, going: set[str]
) -> None:
    world = stepwise
    watched = spec(repos=[{"name": "one", "url": "nowhere", "monitor": {"window_s": 100}}])
    wishes = [
        Submit(
            task_id=name,
            spec=watched,
            depends_on=needs,
            request_digest="",
            now=datetime(2026, 1, 1, tzinfo=UTC),
            batch="b1",
            on_failed_dependency="cancel",
        )
        for name, needs in (("t1", ()), ("t2", ("t1",)))
    ]
    going.add("t1")
    await world.running["scheduler"].perform(lambda work: take_in(work, wishes), synthetic=True)
    await world.settle()
    await tell(world, "t1", Cancel(actor="ann", reason="a wrong change"))
    assert (await state_of(world, "t2")).phase == "running"
    going.add("t2")
    await world.settle()
    assert end(await world.events(), "t2") == "monitor_wait_started"
    await world.pass_time(10)
    [cancelled] = facts_of(await sound(world), "t2", "task_cancelled")
    assert cancelled.reason == "it depends on t1, which ended as cancelled"
