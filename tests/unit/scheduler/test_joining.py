"""A workspace is made ready beside `think`; the change begins when both have ended."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts.gate import GateDecided
from contracts.message import Event
from contracts.resolution import PlanDeltaRecorded
from contracts.stage import TOKENS_EXHAUSTED, StageOutput
from contracts.task import (
    GateRequested,
    Plan,
    PlanDelta,
    ResolutionAwaited,
    RunJoined,
    RunRequest,
    StageCancelRequested,
    StageRequested,
    TaskCancelled,
    TaskParked,
    WorkspaceRequested,
)
from services.scheduler.domain.commands import Cancel, Conditions, Halt, Observe, RetryStage, Start, Unpark
from services.scheduler.domain.known import is_prepared
from services.scheduler.domain.state import Task
from services.scheduler.domain.walk import task
from tests.unit.scheduler import facts

STOPPED = Conditions(mode="emergency-stop")
DELTA = PlanDelta(loop=1, different="d", answers=("x",), signature="s")


def decide(state: Task, *commands: Any) -> tuple[Task, list[Event]]:
    made: list[Event] = []
    for command in commands:
        for event in list(task.decide(command, state)):
            state = task.evolve(state, event)
            made.append(event)
    return state, made


def approved(**values: Any) -> tuple[Task, list[Event]]:
    """A task whose plan was approved a moment ago."""
    state, events = facts.walk_to("plan", (facts.submit(**values), Start()))
    state, made = decide(state, facts.observe(facts.completed(request_of(events))))
    return decide(state, facts.observe(facts.decided(gate_of(made))))


def thinking() -> tuple[Task, StageRequested, WorkspaceRequested]:
    """A task that thinks while its workspace is made ready."""
    state, made = approved(priority="urgent")
    think, workspace = made[-2:]
    assert isinstance(think, StageRequested)
    assert isinstance(workspace, WorkspaceRequested)
    return state, think, workspace


def request_of(events: list[Event]) -> Any:
    return next(event for event in reversed(events) if isinstance(event, RunRequest))


def gate_of(events: list[Event]) -> GateRequested:
    return next(event for event in reversed(events) if isinstance(event, GateRequested))


def completed(events: list[Event]) -> Observe:
    return facts.observe(facts.completed(request_of(events)))


def names(events: list[Event]) -> list[str]:
    return [type(event).__name__ for event in events]


def test_the_workspace_is_asked_for_beside_think() -> None:
    state, think, workspace = thinking()
    assert (think.stage, workspace.beside) == ("think", think.run_id)
    assert state.live == {think.run_id: "think", workspace.run_id: "workspace"}


def test_without_think_the_workspace_is_waited_for_alone() -> None:
    state, made = approved()
    assert names(made) == ["GateAnswered", "StageSkipped", "WorkspaceRequested"]
    assert request_of(made).beside == ""
    assert state.live == {"t1-workspace-1": "workspace"}
    state, made = decide(state, completed(made))
    assert [event.stage for event in made if isinstance(event, StageRequested)] == ["implement"]
    assert made[0].input.baselines == (facts.baseline(),)  # type: ignore[attr-defined]


@pytest.mark.parametrize("first", ["think", "workspace"])
def test_the_change_begins_when_both_have_ended(first: str) -> None:
    state, think, workspace = thinking()
    runs: list[RunRequest] = [think, workspace] if first == "think" else [workspace, think]
    state, made = decide(state, facts.observe(facts.completed(runs[0])))
    assert names(made) == ["RunJoined"]
    state, made = decide(state, facts.observe(facts.completed(runs[1])))
    (request,) = made
    assert isinstance(request, StageRequested)
    assert request.stage == "implement"
    assert request.input.thoughts == ("hm",)
    assert request.input.baselines == (facts.baseline(),)


def test_a_workspace_takes_no_attempt_and_has_a_limit_of_its_own() -> None:
    state, made = approved()
    request = request_of(made)
    assert request.wall_s == 120 + 900
    for number in range(1, 12):
        state, _ = decide(state, facts.observe(facts.failed(request, "transient")))
        state, made = decide(state, RetryStage())
        request = request_of(made)
        assert (request.attempt, request.retry, request.failures) == (1, number, number)


def test_another_plan_on_the_same_base_needs_no_new_workspace() -> None:
    state, made = approved()
    state, made = decide(state, completed(made))
    state, made = decide(state, facts.observe(facts.failed(request_of(made))))
    state, made = replanned(state, facts.BASE)
    assert [event.stage for event in made if isinstance(event, RunRequest)] == ["think"]
    state, made = decide(state, completed(made))
    assert request_of(made).stage == "implement"
    assert request_of(made).input.baselines == (facts.baseline(),)


def test_another_plan_on_another_base_needs_a_new_workspace() -> None:
    state, made = approved()
    state, made = decide(state, completed(made))
    state, made = decide(state, facts.observe(facts.failed(request_of(made))))
    state, made = replanned(state, "9" * 40)
    assert [event.stage for event in made if isinstance(event, RunRequest)] == ["think", "workspace"]
    assert request_of(made).attempt == 2


def replanned(state: Task, base: str) -> tuple[Task, list[Event]]:
    """Plan anew, on a base, until gate 0 has approved."""
    state, made = decide(state, facts.observe(PlanDeltaRecorded(task_id="t1", delta=DELTA)))
    plan = StageOutput(plan=Plan(approach="b", repos=(facts.planned(base),), risk="low", digest="other"))
    state, made = decide(state, facts.observe(facts.completed(request_of(made), plan)))
    return decide(state, facts.observe(facts.decided(gate_of(made))))


@pytest.mark.parametrize("fails", ["think", "workspace"])
@pytest.mark.parametrize("other_ends", ["completed", "failed", "cancelled"])
def test_a_failure_of_one_stops_the_other_and_resolution_is_asked_once(fails: str, other_ends: str) -> None:
    state, think, workspace = thinking()
    broken, other = (think, workspace) if fails == "think" else (workspace, think)
    state, made = decide(state, facts.observe(facts.failed(broken, code="first")))
    assert names(made) == ["RunJoined", "StageCancelRequested"]
    assert made[1].run_id == other.run_id  # type: ignore[attr-defined]
    state, made = decide(state, facts.observe(getattr(facts, other_ends)(other)))
    (awaited,) = [event for event in made if isinstance(event, ResolutionAwaited)]
    assert (awaited.stage, awaited.failure.code, awaited.cause) == (fails, "first", broken.run_id)
    assert awaited.subject.spec == state.spec
    assert state.phase == "resolving"
    for late in (facts.failed(broken), facts.completed(broken), facts.failed(other)):
        assert decide(state, facts.observe(late))[1] == []


@pytest.mark.parametrize("other_ends", ["completed", "failed", "cancelled"])
def test_a_think_that_gets_no_more_tokens_is_made_again_and_resolution_is_not_asked(other_ends: str) -> None:
    state, think, workspace = thinking()
    state, _ = decide(state, facts.observe(facts.failed(think, "transient", code=TOKENS_EXHAUSTED)))
    state, made = decide(state, facts.observe(getattr(facts, other_ends)(workspace)))
    again = [(event.stage, event.attempt, event.retry) for event in made if isinstance(event, RunRequest)]
    assert again == [("think", 1, 1), *([] if other_ends == "completed" else [("workspace", 1, 1)])]
    assert not [event for event in made if isinstance(event, ResolutionAwaited)]
    assert state.phase == "running"


def test_after_a_passing_failure_only_what_is_missing_is_done_again() -> None:
    state, think, workspace = thinking()
    state, _ = decide(state, facts.observe(facts.failed(workspace, "transient")))
    stopped, _ = decide(state, facts.observe(facts.cancelled(think)))
    _, made = decide(stopped, RetryStage())
    assert [(event.stage, event.retry) for event in made if isinstance(event, RunRequest)] == [
        ("think", 1),
        ("workspace", 1),
    ]
    came_through, _ = decide(state, facts.observe(facts.completed(think)))
    state, made = decide(came_through, RetryStage())
    assert [(event.stage, event.retry) for event in made if isinstance(event, RunRequest)] == [
        ("workspace", 1)
    ]
    assert state.input is not None
    assert state.input.thoughts == ("hm",)


def test_a_cancellation_stops_both_and_ends_the_task_when_both_have_ended() -> None:
    state, think, workspace = thinking()
    state, made = decide(state, Cancel(actor="me", reason="no"))
    assert [event.run_id for event in made if isinstance(event, StageCancelRequested)] == [
        think.run_id,
        workspace.run_id,
    ]
    state, made = decide(state, facts.observe(facts.failed(workspace)))
    assert names(made) == ["RunJoined"]
    state, made = decide(state, facts.observe(facts.cancelled(think)))
    assert made == [TaskCancelled(task_id="t1", actor="me", reason="no")]


@pytest.mark.parametrize("first", ["think", "workspace"])
@pytest.mark.parametrize("think_ends", ["completed", "cancelled"])
@pytest.mark.parametrize("workspace_ends", ["completed", "cancelled"])
def test_an_emergency_stop_stops_both_and_what_was_stopped_is_done_again(
    first: str, think_ends: str, workspace_ends: str
) -> None:
    state, think, workspace = thinking()
    state, made = decide(state, Halt())
    assert names(made) == ["StageCancelRequested", "StageCancelRequested"]
    news = [getattr(facts, think_ends)(think), getattr(facts, workspace_ends)(workspace)]
    one, other = news if first == "think" else reversed(news)
    state, made = decide(state, Observe(news=one, now=facts.NOW, conditions=STOPPED))
    assert names(made) == ["RunJoined"]
    state, made = decide(state, Observe(news=other, now=facts.NOW, conditions=STOPPED))
    assert isinstance(made[-1], TaskParked)
    state, _ = decide(state, Unpark(reason="mode is normal"))
    state, made = decide(state, Start())
    asked = [event.stage for event in made if isinstance(event, RunRequest)]
    missing = (["think"] if think_ends == "cancelled" else []) + (
        ["workspace"] if workspace_ends == "cancelled" else []
    )
    assert asked == (missing or ["implement"])
    for event in [event for event in made if isinstance(event, RunRequest) and event.stage != "implement"]:
        state, made = decide(state, facts.observe(facts.completed(event)))
    assert request_of(made).stage == "implement"


WISHES = ("completed", "failed", "transient", "cancelled", "cancel", "halt", "wake", "retry", "delta")


@given(st.lists(st.tuples(st.sampled_from(WISHES), st.integers(0, 5), st.booleans()), max_size=40))
def test_whatever_ends_in_whatever_order_nothing_begins_too_early(wishes: list[Any]) -> None:
    state, log = approved(priority="urgent")
    for wish, which, stopped in wishes:
        conditions = STOPPED if stopped else Conditions()
        runs = [event for event in log if isinstance(event, RunRequest)][-3:]
        run = runs[which % len(runs)]
        news: dict[str, Any] = {
            "completed": facts.completed(run),
            "failed": facts.failed(run),
            "transient": facts.failed(run, "transient"),
            "cancelled": facts.cancelled(run),
            "delta": PlanDeltaRecorded(task_id="t1", delta=DELTA),
        }
        commands: dict[str, tuple[Any, ...]] = {
            "cancel": (Cancel(actor="a", reason="r"),),
            "halt": (Halt(),),
            "wake": (Unpark(reason="r"), Start(conditions=conditions)),
            "retry": (RetryStage(conditions=conditions),),
        }
        given_ = commands.get(wish) or (Observe(news=news[wish], now=facts.NOW, conditions=conditions),)
        live = state.live
        state, made = decide(state, *given_)
        for gate in [event for event in made if isinstance(event, GateRequested)]:
            answer: GateDecided = facts.decided(gate)
            state, more = decide(state, facts.observe(answer))
            made += more
        log += made
        _hold(state, live, made)
    asked = [event for event in log if isinstance(event, RunRequest)]
    assert len({event.run_id for event in asked}) == len(asked)


def _hold(state: Task, live: dict[str, Any], made: list[Event]) -> None:
    assert len(state.live) <= 2
    for event in made:
        if isinstance(event, StageRequested) and event.stage == "implement":
            assert is_prepared(event.input)
        if isinstance(event, ResolutionAwaited | TaskParked | TaskCancelled):
            # All but the one of which the news came had ended.
            joined = {one.run_id for one in made if isinstance(one, RunJoined)}
            assert len(set(live) - joined) <= 1
            assert state.live == {} or made.index(event) < len(made) - 1
    if state.phase in ("running", "cancelling", "suspending"):
        assert state.live
    else:
        assert not state.beside
