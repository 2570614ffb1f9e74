"""Tasks whose planned files overlap go one after the other, each on a tree that has the changes before it."""

from __future__ import annotations

import random
from collections.abc import Awaitable, Callable, Mapping
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from contracts.message import Recorded
from contracts.task import Failure, RunRequest
from libs.forge.local import LocalForge
from libs.testing.world import World
from services.scheduler.domain.commands import Cancel, Retry
from tests.system.shop import PYTEST, RIGHT, Shop
from tests.system.twin import AUDIT, FIX, TEST, Answer, Script, honest, naming, patch_task
from tests.system.walking import (
    api_of,
    end,
    facts_of,
    restart,
    sound,
    stages,
    state_of,
    submit,
    switch,
    tell,
    wait_out,
)

JUDGED: dict[str, Any] = {"fail_to_pass": [FIX], "verify": {"test": TEST, "audit": AUDIT}}
Acted = Callable[[Script], Awaitable[World]]


class Planners:
    """Stages that end well; plans name the files that the test says, runs in `shut` go on until they are let through."""

    def __init__(self, files: Mapping[str, tuple[str, ...]] | None = None, *shut: str) -> None:
        self.files = files
        self.shut = set(shut)

    def __call__(self, request: RunRequest) -> Answer:
        if f"{request.task_id} {request.stage}" in self.shut:
            return None
        output = honest(request)
        if request.stage != "plan":
            return output
        return naming(output, *(("wide.py",) if self.files is None else self.files[request.task_id]))


async def one_behind_the_other(acted: Acted, planners: Planners, **values: Any) -> World:
    """A world in which t1 implements and t2 waits for its files."""
    planners.shut.add("t1 implement")
    world = await acted(planners)
    await submit(world, "t1", patch_task(**values))
    await world.settle()
    await submit(world, "t2", patch_task())
    await world.settle()
    (parked,) = facts_of(await world.events(), "t2", "task_parked")
    assert (parked.code, parked.owner) == ("files_overlap", "t1")
    assert "wide.py" in parked.reason
    return world


def bases(events: list[Recorded], task_id: str) -> list[str]:
    """On whose changes a task was planned last."""
    asked = [one for one in facts_of(events, task_id, "stage_requested") if one.stage == "plan"]
    return [base.task_id for base in asked[-1].input.bases]


async def test_the_later_one_gives_its_slot_back_and_goes_on_with_the_change_of_the_earlier_one(
    acted: Acted,
) -> None:
    planners = Planners()
    world = await one_behind_the_other(acted, planners)
    assert facts_of(await world.events(), "t2", "slot_released")
    planners.shut = set()
    await world.settle()
    events = await sound(world)
    assert (end(events, "t1"), end(events, "t2")) == ("task_done", "task_done")
    assert bases(events, "t2") == ["t1"]
    asked = [one for one in facts_of(events, "t2", "stage_requested") if one.stage in ("spec", "plan")]
    assert [(one.stage, one.attempt, one.retry) for one in asked] == [
        *(("spec", 1, 0), ("plan", 1, 0), ("spec", 1, 1), ("plan", 1, 1))
    ]


async def test_a_chain_of_ten_takes_no_attempts(acted: Acted) -> None:
    world = await acted(Planners())
    names = [f"t{number}" for number in range(10)]
    for name in names:
        await submit(world, name, patch_task())
    await world.settle()
    events = await sound(world)
    assert {end(events, name) for name in names} == {"task_done"}
    assert facts_of(events, "t9", "infinite_loop_detected") == []
    for name in names:
        assert {one.attempt for one in facts_of(events, name, "stage_requested")} == {1}
        # In line, not all woken at each release: planned once before the wait and once after it.
        assert stages(events, name).count("plan 1") <= 2
    done = [event.stream.removeprefix("task-") for event in events if event.type == "task_done"]
    for before, after in pairwise(done):
        assert bases(events, after) == [before]


@pytest.mark.parametrize("ends", ["incident", "cancelled"])
async def test_what_ends_without_a_change_lets_the_other_go_on_without_it(acted: Acted, ends: str) -> None:
    planners = Planners()

    def script(request: RunRequest) -> Answer:
        if (
            ends == "incident"
            and (request.task_id, request.stage) == ("t1", "implement")
            and not planners.shut
        ):
            return Failure(kind="impossible", code="broken", detail="it cannot be done")
        return planners(request)

    planners.shut.add("t1 implement")
    world = await acted(script)
    await submit(world, "t1", patch_task())
    await world.settle()
    await submit(world, "t2", patch_task())
    await world.settle()
    planners.shut = set()
    if ends == "cancelled":
        await tell(world, "t1", Cancel(actor="somebody", reason="enough"))
    await world.settle()
    await wait_out(world)
    events = await sound(world)
    assert end(events, "t1") != "task_done"
    assert end(events, "t2") == "task_done"
    assert bases(events, "t2") == []


async def test_to_retry_who_waits_for_files_is_refused_and_says_whom_it_waits_for(acted: Acted) -> None:
    planners = Planners()
    world = await one_behind_the_other(acted, planners)
    async with api_of(world) as api:
        answer = await api.post("/v1/tasks/t2/retry", json={"memory_mb": 300})
    assert answer.status_code == 409
    assert "t1 done, in monitor, or given up" in answer.json()["detail"]
    assert (await state_of(world, "t2")).spec.budget.memory_mb != 300
    planners.shut.clear()
    await world.settle()
    await wait_out(world)
    assert end(await sound(world), "t2") == "task_done"


async def test_who_is_planned_anew_lets_go_and_stands_behind_the_other(acted: Acted) -> None:
    planners = Planners()

    def script(request: RunRequest) -> Answer:
        if (request.task_id, request.stage, request.attempt) == (
            "t1",
            "implement",
            1,
        ) and "t1 implement" not in planners.shut:
            return Failure(kind="persistent", code="broken", detail="another plan is needed")
        return planners(request)

    planners.shut.add("t1 implement")
    world = await acted(script)
    await submit(world, "t1", patch_task(engine="repair", patch=None))
    await world.settle()
    await submit(world, "t2", patch_task())
    await world.settle()
    planners.shut = {"t2 implement"}
    await world.settle()
    (parked,) = facts_of(await world.events(), "t1", "task_parked")
    assert (parked.code, parked.owner) == ("files_overlap", "t2")
    planners.shut = set()
    await world.settle()
    events = await sound(world)
    assert (end(events, "t1"), end(events, "t2")) == ("task_done", "task_done")
    assert (bases(events, "t1"), bases(events, "t2")) == (["t2"], [])


async def test_a_change_that_is_watched_is_there(acted: Acted) -> None:
    planners = Planners()
    repo = {"name": "r", "url": "/somewhere/r.git", "base": "main", **JUDGED, "monitor": {"window_s": 3_600}}
    world = await one_behind_the_other(acted, planners, repos=[repo])
    planners.shut = set()
    await world.settle()
    events = await sound(world)
    assert end(events, "t1") == "monitor_wait_started"
    assert end(events, "t2") == "task_done"
    assert bases(events, "t2") == ["t1"]


@pytest.mark.parametrize("wish", ["cancel", "retry", "emergency stop", "scheduler dies"])
async def test_a_task_in_line_heeds_what_happens_meanwhile(acted: Acted, wish: str) -> None:
    planners = Planners()
    world = await one_behind_the_other(acted, planners)
    match wish:
        case "cancel":
            await tell(world, "t2", Cancel(actor="somebody", reason="enough"))
        case "retry":
            await tell(world, "t2", Retry(actor="somebody"))
        case "emergency stop":
            await switch(world, "emergency-stop")
            await world.settle()
            await switch(world, "normal")
        case _:
            await restart(world, "scheduler")
    planners.shut = set()
    await world.settle()
    await wait_out(world)
    events = await sound(world)
    assert end(events, "t1") == "task_done"
    assert end(events, "t2") == ("task_cancelled" if wish == "cancel" else "task_done")
    if wish != "cancel":
        assert bases(events, "t2") == ["t1"]


async def test_an_approval_that_comes_after_the_end_claims_nothing(acted: Acted) -> None:
    """Else whoever plans the same files would wait for ever for a task that has ended."""
    world = await acted(Planners())
    await world.crash("gate")
    await submit(world, "t1", patch_task())
    await world.settle()
    await tell(world, "t1", Cancel(actor="somebody", reason="enough"))
    await world.start("gate")
    await submit(world, "t2", patch_task())
    await world.settle()
    events = await sound(world)
    assert facts_of(events, "t1", "files_claimed") == []
    assert (end(events, "t1"), end(events, "t2")) == ("task_cancelled", "task_done")


async def test_other_branches_and_other_repositories_do_not_meet(acted: Acted) -> None:
    planners = Planners(None, *(f"t{number} implement" for number in range(3)))
    world = await acted(planners)
    repo = {"name": "r", **JUDGED}
    places = [("/somewhere/r.git", "main"), ("/somewhere/r.git", "release"), ("/elsewhere/r.git", "main")]
    for number, (url, base) in enumerate(places):
        await submit(world, f"t{number}", patch_task(repos=[{**repo, "url": url, "base": base}]))
    await world.settle()
    for number in range(3):
        assert (await state_of(world, f"t{number}")).stage == "implement"


@pytest.mark.parametrize("seed", range(8))
async def test_whatever_depends_on_what_and_shares_which_files_everything_ends(
    acted: Acted, seed: int
) -> None:
    """Invariant 7 and 9 for any mix: nobody waits for files of one that waits for it by `depends_on`."""
    dice = random.Random(seed)
    names = [f"t{number}" for number in range(7)]
    planners = Planners({name: tuple(dice.sample("uvwxyz", dice.randint(1, 3))) for name in names})
    broken = {f"{dice.choice(names)} {dice.choice(['monitor', 'verify', 'implement'])}" for _ in range(3)}

    def script(request: RunRequest) -> Answer:
        if f"{request.task_id} {request.stage}" in broken and request.attempt == 1:
            return Failure(kind="persistent", code="broken", detail="another plan is needed")
        return planners(request)

    world = await acted(script)
    for place, name in enumerate(names):
        needs = dice.sample(names[:place], min(place, dice.choice((0, 0, 1, 2))))
        window = {"monitor": {"window_s": dice.choice((0, 60))}}
        repo = {"name": "r", "url": "/somewhere/r.git", "base": "main", **JUDGED, **window}
        wanted = patch_task(engine="repair", patch=None, depends_on=needs, repos=[repo])
        await submit(world, name, wanted)
        if dice.random() < 0.5:
            await world.settle()
    await world.settle()
    for _ in range(20):
        await world.pass_time(30)
    events = await sound(world)
    assert {end(events, name) for name in names} == {"task_done"}


async def test_who_waits_for_a_dependency_again_lets_go_of_what_the_dependency_waits_for(
    acted: Acted,
) -> None:
    """Each would wait for the other: t1 for t0 by `depends_on`, t0 for the files that t1 holds."""
    planners = Planners()
    failed: list[str] = []

    def script(request: RunRequest) -> Answer:
        match request.task_id, request.stage:
            case "t1", "implement" if "t1" not in failed:
                failed.append("t1")
                return Failure(kind="transient", code="busy", detail="later", retry_after_s=300)
            case "t0", "monitor" if "t1" in failed and "t0" not in failed:
                failed.append("t0")
                return Failure(kind="persistent", code="broken", detail="another plan is needed")
        return planners(request)

    world = await acted(script)
    watched = {"name": "r", "url": "/somewhere/r.git", "base": "main", **JUDGED, "monitor": {"window_s": 60}}
    await submit(world, "t0", patch_task(engine="repair", patch=None, repos=[watched]))
    await submit(world, "t1", patch_task(depends_on=["t0"]))
    await world.settle()
    assert (await state_of(world, "t1")).parked == "rate_limited"
    await world.pass_time(30)
    (parked,) = facts_of(await world.events(), "t0", "task_parked")
    assert (parked.code, parked.owner) == ("files_overlap", "t1")
    await world.pass_time(300)
    for _ in range(6):
        await world.pass_time(30)
    events = await sound(world)
    assert (end(events, "t0"), end(events, "t1")) == ("task_done", "task_done")


async def test_two_patches_of_one_file_become_two_pull_requests_on_top_of_each_other(
    world: World, shop: Shop, tmp_path: Path
) -> None:
    text = shop.path.joinpath("wide.py").read_text() + "\n\ndef both(text):\n    return text\n"
    test = "import wide\n\n\ndef test_both():\n    assert wide.both('a') == 'aa'\n"
    shop.commit({"wide.py": text, "test_both.py": test})
    first = shop.patch({"wide.py": text.replace("return text\n", "return text.ljust(width)\n", 1)})
    second = shop.patch(
        {
            "wide.py": text.replace(
                "def both(text):\n    return text", "def both(text):\n    return text + text"
            )
        }
    )
    both = f"{PYTEST} test_both.py"
    await submit(world, "t1", shop.task(first, verify={"test": f"{PYTEST} test_wide.py"}))
    await submit(world, "t2", shop.task(second, fail_to_pass=[both], verify={"test": both}))
    await world.settle()
    await wait_out(world)
    events = await sound(world)
    assert (end(events, "t1"), end(events, "t2")) == ("task_done", "task_done"), facts_of(
        events, "t2", "resolution_awaited"
    )
    behind = "t2" if facts_of(events, "t2", "task_parked") else "t1"
    (parked,) = facts_of(events, behind, "task_parked")
    assert parked.code == "files_overlap"
    forge = LocalForge(tmp_path / "data")
    (top,) = [pull for pull in await forge.list(shop.url) if pull.head == f"autopilot/{behind}"]
    repository = Path(await forge.remote(shop.url))
    seen = shop.git("show", f"refs/pull/{top.number}/head:wide.py", cwd=repository)
    assert RIGHT.splitlines()[1] in seen
    assert "return text + text" in seen
