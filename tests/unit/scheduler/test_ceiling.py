"""A ceiling of memory below what the base takes, and time that is used up."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from contracts.receipt import CommandReceipt, RepoBaseline
from contracts.stage import StageCompleted, StageOutput
from contracts.task import (
    Budget,
    MemoryCeilingChanged,
    Plan,
    PlannedRepo,
    ResolutionAwaited,
    StageInput,
    StageRequested,
    TaskParked,
    TaskSpec,
    TaskUnparked,
    WorkspaceRequested,
)
from services.scheduler.domain.asking import ask
from services.scheduler.domain.ceiling import shortfall
from services.scheduler.domain.commands import Conditions, Observe, Retry, Start
from services.scheduler.domain.state import Task
from services.scheduler.domain.walk import task
from tests.unit.scheduler import facts


def receipt(purpose: str, peak: float, ended: str = "exited") -> CommandReceipt:
    return CommandReceipt(
        purpose=purpose,
        command="pytest",
        side="base",
        tree="1" * 40,
        exit_code=0 if ended == "exited" else None,
        ended=ended,
        duration_s=1.0,
        peak_memory_mb=peak,
    )


def known(*receipts: CommandReceipt, worked_s: float = 0.0, **budget: Any) -> StageInput:
    spec = msgspec.convert(
        {"title": "t", "engine": "repair", "repos": [{"name": "r", "url": "u"}], "budget": budget}, TaskSpec
    )
    base = RepoBaseline(repo="r", base_commit="b", tree="1", environment="e", commands=receipts)
    step = PlannedRepo(repo="r", base_commit="b", files=(), verification=("pytest",), rollback="none")
    plan = Plan(approach="a", repos=(step,), risk="low", digest="d")
    return StageInput(spec=spec, plan=plan, baselines=(base,), worked_s=worked_s)


def state(given: StageInput, **values: Any) -> Task:
    return Task(
        task_id="t1", phase="running", input=given, run_id="t1-workspace-1", stage="workspace", **values
    )


def test_a_ceiling_below_what_the_base_took_is_told_with_the_setting_and_both_figures() -> None:
    found = shortfall(known(receipt("build", 40), receipt("test", 188.2)))
    assert found is not None
    assert found.reason == "budget.memory_mb: 100 is below the 188 MB that the test command took on the base"
    assert found.enough_mb == 256


@pytest.mark.parametrize(
    "receipts",
    [
        (receipt("test", 99.9),),
        (receipt("fail_to_pass", 900.0, "memory"), receipt("test", 50)),
    ],
    ids=["enough", "what must fail may fail so"],
)
def test_a_ceiling_that_is_enough_is_none_of_anybodys_business(receipts: tuple[CommandReceipt, ...]) -> None:
    assert shortfall(known(*receipts)) is None


def test_a_command_of_the_base_that_died_on_the_ceiling_is_told_in_the_same_way() -> None:
    found = shortfall(known(receipt("setup", 100.0, "memory")))
    assert found is not None
    assert found.reason.startswith("budget.memory_mb: 100 is below")
    assert found.enough_mb > 100


def decided(state: Task, command: Any) -> tuple[Task, list[Any]]:
    events = list(task.decide(command, state))
    for event in events:
        state = task.evolve(state, event)
    return state, events


def completed(given: StageInput) -> Observe:
    news = StageCompleted(
        run_id="t1-workspace-1",
        task_id="t1",
        stage="workspace",
        attempt=1,
        output=StageOutput(baselines=given.baselines),
        duration_s=5.0,
    )
    return facts.observe(news)


def test_it_is_told_before_anything_is_changed_and_a_retry_with_more_goes_on_with_a_new_look() -> None:
    given = known(receipt("test", 188.2))
    before = state(msgspec.structs.replace(given, baselines=()), attempts={"workspace": 1})
    parked, made = decided(before, completed(given))
    (event,) = made
    assert isinstance(event, TaskParked)
    assert (event.code, event.owner) == ("memory_ceiling", "submitter")
    assert event.wake_up == "autopilot retry t1 --memory 256"
    assert parked.attempts == {"workspace": 1}, "no attempt was made of any stage"

    queued, made = decided(parked, Retry(actor="ann", memory_mb=256))
    assert [type(one) for one in made] == [MemoryCeilingChanged, TaskUnparked]
    running, made = decided(queued, Start())
    assert isinstance(made[-1], WorkspaceRequested)
    assert made[-1].input.spec.budget.memory_mb == 256

    news = msgspec.structs.replace(completed(given).news, run_id=made[-1].run_id, attempt=made[-1].attempt)
    _, made = decided(running, facts.observe(news))
    assert isinstance(made[-1], StageRequested)
    assert made[-1].stage == "implement"


def test_the_time_of_work_is_added_up_over_stages_and_not_over_waiting() -> None:
    given = known()
    before = state(given, attempts={"implement": 1})
    before = msgspec.structs.replace(before, stage="implement", run_id="t1-implement-1")
    news = StageCompleted(
        run_id="t1-implement-1",
        task_id="t1",
        stage="implement",
        attempt=1,
        output=StageOutput(),
        duration_s=40.5,
    )
    after, made = decided(before, facts.observe(news))
    assert isinstance(made[-1], StageRequested)
    assert made[-1].input.worked_s == 40.5
    assert after.input is not None
    assert after.input.worked_s == 40.5


def test_a_task_whose_time_is_up_begins_nothing_more() -> None:
    budget = {"wall_s": 10, "task_wall_s": 100}
    (made,) = ask(state(known(), attempts={}), "pr", known(worked_s=100.0, **budget), Conditions())
    assert isinstance(made, ResolutionAwaited)
    assert (made.failure.kind, made.failure.code) == ("impossible", "task_wall")
    assert "budget.task_wall_s" in made.failure.detail
    (made,) = ask(state(known(), attempts={}), "pr", known(worked_s=99.0, **budget), Conditions())
    assert isinstance(made, StageRequested)


def test_by_default_there_is_time() -> None:
    assert Budget().task_s == 16 * 900
