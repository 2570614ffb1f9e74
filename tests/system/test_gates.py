"""Each gate is the only one that stops something.

Every test here bends one fact of a change that would pass otherwise, and sees exactly one gate refuse it. Taken out of the
walk, that gate could not refuse, and its test fails: `test_gate_removal.py` tries it.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import msgspec
import pytest

from contracts.receipt import ChangeFacts, CommandReceipt
from contracts.stage import StageOutput
from contracts.task import StageRequested, TaskSpec
from libs.testing.world import World
from tests.system.twin import Answer, Script, honest, measured, patch_task, receipts, verification
from tests.system.walking import end, facts_of, sound, submit, verdicts, wait_out

Acted = Callable[[Script], Awaitable[World]]


def measuring(facts: ChangeFacts | None = None, commands: list[CommandReceipt] | None = None) -> Script:
    """Stages that do their work; the verifier measures what is given here."""

    def script(request: StageRequested) -> Answer:
        if request.stage == "verify":
            return StageOutput(verifications=(verification(facts, commands),))
        return honest(request)

    return script


async def refused(world: World, gate: int, code: str, wanted: TaskSpec | None = None) -> None:
    """Submit a task and see this gate, and no other, stop it with this finding."""
    await submit(world, "t1", wanted or patch_task())
    await wait_out(world)
    events = await sound(world)
    said = verdicts(events)
    assert {number: votes for number, votes in said.items() if votes != ["approve"]} == {gate: ["reject"]}
    (decided,) = [one for one in facts_of(events, "t1", "gate_decided") if one.gate == gate]
    assert code in {found.code for found in decided.findings}
    assert end(events) == "task_given_up"
    (incident,) = facts_of(events, "t1", "incident_opened")
    assert code in {found.code for found in incident.findings}
    requested = {request.stage for request in facts_of(events, "t1", "stage_requested")}
    assert not {"pr", "monitor"} & requested


async def test_the_change_that_the_others_bend_passes_every_gate(acted: Acted) -> None:
    world = await acted(honest)
    await submit(world, "t1", patch_task())
    await wait_out(world)
    events = await sound(world)
    assert verdicts(events) == {gate: ["approve"] for gate in range(6)}
    assert end(events) == "task_done"


async def test_gate_0_stops_a_plan_without_a_way_back(acted: Acted) -> None:
    def script(request: StageRequested) -> Answer:
        answer = honest(request)
        if answer.plan is None:
            return answer
        steps = tuple(msgspec.structs.replace(step, rollback="") for step in answer.plan.repos)
        return StageOutput(plan=msgspec.structs.replace(answer.plan, repos=steps))

    await refused(await acted(script), 0, "no_rollback")


async def test_gate_1_stops_a_change_whose_audit_nobody_saw(acted: Acted) -> None:
    seen = [one for one in receipts() if (one.purpose, one.side) != ("audit", "change")]
    await refused(await acted(measuring(commands=seen)), 1, "no_evidence")


async def test_gate_2_stops_a_change_that_is_too_large(acted: Acted) -> None:
    many = tuple(f"part_{number}.py" for number in range(61))
    wide = measuring(measured(files=many, added_lines=122))

    def script(request: StageRequested) -> Answer:
        answer = wide(request)
        if isinstance(answer, StageOutput) and answer.plan is not None:
            steps = tuple(msgspec.structs.replace(step, files=many) for step in answer.plan.repos)
            return StageOutput(plan=msgspec.structs.replace(answer.plan, repos=steps))
        return answer

    await refused(await acted(script), 2, "too_wide")


async def test_gate_3_stops_a_change_that_touches_what_was_not_planned(acted: Acted) -> None:
    await refused(await acted(measuring(measured(files=("wide.py", "elsewhere.py")))), 3, "out_of_plan")


async def test_gate_4_stops_a_change_that_complicates_the_code(acted: Acted) -> None:
    await refused(await acted(measuring(measured(complexity_delta=40))), 4, "vote")


async def test_gate_5_stops_a_change_that_takes_a_public_name_away_unsaid(acted: Acted) -> None:
    await refused(await acted(measuring(measured(public_removed=("wide.pad",)))), 5, "vote")


async def test_the_same_change_passes_when_it_says_so(acted: Acted) -> None:
    world = await acted(measuring(measured(public_removed=("wide.pad",), docs_touched=True)))
    await submit(world, "t1", patch_task())
    await wait_out(world)
    events = await sound(world)
    assert end(events) == "task_done"
    (decided,) = [one for one in facts_of(events, "t1", "gate_decided") if one.gate == 5]
    assert [(vote.voter, vote.verdict) for vote in decided.votes] == [("public API", "approve")]


async def test_a_rubric_that_could_not_be_measured_is_no_quorum_and_ends_with_a_person(acted: Acted) -> None:
    """F17: abstentions do not count as votes; the question is put three times, then somebody is asked."""
    unmeasured = measured(complexity_delta=None)
    seen = [one for one in receipts() if (one.purpose, one.side) in (("test", "change"), ("audit", "change"))]
    task: dict[str, Any] = {"name": "r", "url": "/somewhere/r.git", "base": "main"}
    task["verify"] = {"test": "python -m pytest -q", "audit": "python -m compileall -q ."}
    world = await acted(measuring(unmeasured, seen))
    await submit(world, "t1", patch_task(repos=[task], body="words"))
    await wait_out(world)
    events = await sound(world)
    assert verdicts(events)[4] == ["abstain"] * 3
    (parked,) = facts_of(events, "t1", "task_parked")
    assert (parked.code, parked.owner) == ("no_quorum", "operator")


@pytest.mark.parametrize("stage", ["plan", "verify", "review"])
async def test_no_evidence_is_a_rejection(acted: Acted, stage: str) -> None:
    """F4: a stage that says it is done and shows nothing gets nowhere."""
    world = await acted(lambda request: StageOutput() if request.stage == stage else honest(request))
    await submit(world, "t1", patch_task())
    await wait_out(world)
    events = await sound(world)
    assert end(events) == "task_given_up"
    refusals = [one for one in facts_of(events, "t1", "gate_decided") if one.verdict != "approve"]
    assert refusals
    assert {found.code for one in refusals for found in one.findings} == {"no_evidence"}


async def test_an_engine_that_claims_everything_and_did_nothing_is_not_done(acted: Acted) -> None:
    """F1: no diff, no command run: nothing that looks like it may pass."""

    def script(request: StageRequested) -> Answer:
        if request.stage == "verify":
            empty = verification(measured(files=(), added_lines=0, removed_lines=0), [], tree="1" * 40)
            return StageOutput(verifications=(empty,))
        return honest(request)

    world = await acted(script)
    await submit(world, "t1", patch_task())
    await wait_out(world)
    assert end(await sound(world)) == "task_given_up"
