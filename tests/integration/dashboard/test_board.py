"""What the board and the panels of a task are drawn from."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import httpx
import pytest

from contracts.resolution import IncidentFiled
from contracts.stage import StageCompleted, StageOutput
from contracts.task import STAGES, RepoChange
from tests.integration.dashboard.history import Life
from tests.integration.dashboard.world import World

Program = Callable[[World], httpx.AsyncClient]


async def cards(world: World, program: Program, query: str = "") -> dict[str, dict[str, Any]]:
    answer = await program(world).get(f"/api/v1/tasks?{query}")
    assert answer.status_code == 200, answer.text
    return {card["id"]: card for card in answer.json()["tasks"]}


async def test_a_card_tells_the_state_of_every_stage_and_gate(told: World, program: Program) -> None:
    shown = await cards(told, program)
    assert shown["t-done"]["stages"] == ["completed" if stage != "think" else "skipped" for stage in STAGES]
    assert shown["t-done"]["gates"] == {str(gate): "approve" for gate in range(6)}
    assert shown["t-wrong"]["stages"][4:] == ["not accepted", "pending", "pending", "pending"]
    assert shown["t-wrong"]["gates"]["1"] == "reject"
    assert shown["t-verifying"]["stages"][4] == "started"
    assert shown["t-queued"]["stages"] == ["pending"] * 8


async def test_a_new_plan_makes_what_came_of_the_old_one_pending_again(
    scenes: World, program: Program
) -> None:
    life = Life(scenes.pen, scenes.running.parts.evidence, "t-broken", "again")
    life.attempts = {"plan": 1}
    await life.started("plan")
    await scenes.deliver()
    stages = (await cards(scenes, program))["t-broken"]["stages"]
    assert stages[:4] == ["completed", "started", "pending", "pending"]
    task = (await program(scenes).get("/api/v1/tasks/t-broken")).json()
    assert [stage["state"] for stage in task["stages"]] == stages
    assert [run["status"] for run in task["stages"][3]["runs"]] == ["failed"]


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("phase=underway", {"t-broken", "t-verifying", "t-refused", "t-watched", "t-synthetic"}),
        ("text=MONEY.split", {"t-done"}),
        ("text=t-watch", {"t-watched"}),
        ("text=quorum", {"t-parked"}),
        ("text=the%20csv", {"t-parked"}),
        ("text=the%20csv%20nowhere", set()),
        ("text=ledgerline&phase=parked", {"t-parked"}),
        ("text=%20", None),
    ],
)
async def test_tasks_are_found_by_their_words(
    told: World, program: Program, query: str, expected: set[str] | None
) -> None:
    found = set(await cards(told, program, query))
    assert found == (set(await cards(told, program)) if expected is None else expected)


async def test_remarks_and_memory_are_told(scenes: World, program: Program) -> None:
    run = {"run_id": "t-refused-plan-1", "task_id": "t-refused", "stage": "plan", "attempt": 1}
    change = RepoChange(
        repo="r", base_commit="b", commit="c", tree="t", files=(), remarks=("Only refunds.", "y" * 3_000)
    )
    await scenes.pen.write(StageCompleted(**run, output=StageOutput(changes=(change,)), duration_s=1.0))
    await scenes.deliver()
    task = (await program(scenes).get("/api/v1/tasks/t-refused")).json()
    remarks = task["runs"][-1]["changes"][0]["remarks"]
    assert (remarks[0], len(remarks[1])) == ("Only refunds.", 2_000)
    done = (await program(scenes).get("/api/v1/tasks/t-done")).json()
    assert {check["memory_mb"] for run in done["runs"] for check in run["checks"]} == {48.0}


async def test_what_is_filed_with_an_incident_is_told_by_its_names(told: World, program: Program) -> None:
    incident = (await program(told).get("/api/v1/incidents/inc-t-wrong")).json()
    known = {"type", "incident_id", "task_id", "path", "reproducible", "reason"}
    assert set(incident["filed"]) == set(IncidentFiled.__struct_fields__) - known
