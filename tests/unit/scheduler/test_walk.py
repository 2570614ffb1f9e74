"""A task's way through the stages, forward and back."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts.message import Event
from contracts.receipt import Problem
from contracts.resolution import IncidentFiled, PlanDeltaRecorded, StageRetryAdvised
from contracts.stage import StageOutput
from contracts.task import (
    GateRequested,
    IncidentReport,
    InfiniteLoopDetected,
    MemoryCeilingChanged,
    MonitorWaitStarted,
    PlanDelta,
    Reproduction,
    ResolutionAwaited,
    RunRequest,
    StageCancelRequested,
    StageRequested,
    StageSkipped,
    TaskCancelled,
    TaskCancelRequested,
    TaskDone,
    TaskGivenUp,
    TaskParked,
    TaskPriorityChanged,
    WithdrawalRequested,
)
from services.scheduler.domain.commands import (
    Cancel,
    Conditions,
    Halt,
    LoseDependency,
    Observe,
    Prioritise,
    Retry,
    RetryStage,
    Start,
    Unpark,
)
from services.scheduler.domain.proof import proof_lacking
from services.scheduler.domain.state import ATTEMPTS, ENDS, Task
from services.scheduler.domain.walk import task
from tests.unit.scheduler import facts

OPENING = (facts.submit(), Start())


def stages(events: list[Event]) -> list[str]:
    return [event.stage for event in events if isinstance(event, StageRequested)]


def decide(state: Task, *commands: Any) -> tuple[Task, list[Event]]:
    made: list[Event] = []
    for command in commands:
        for event in list(task.decide(command, state)):
            state = task.evolve(state, event)
            made.append(event)
    return state, made


def test_a_task_that_goes_well_passes_every_stage_and_gate() -> None:
    state, events = facts.walk_to("nowhere", OPENING)
    assert stages(events) == ["spec", "plan", "implement", "verify", "review", "pr", "monitor"]
    assert [event.gate for event in events if isinstance(event, GateRequested)] == [0, 1, 2, 3, 4, 5]
    assert [event.stage for event in events if isinstance(event, StageSkipped)] == ["think"]
    assert isinstance(events[-1], TaskDone)
    assert state.phase == "done"


@pytest.mark.parametrize("values", [{"priority": "urgent"}])
def test_think_runs_when_called_for(values: dict[str, Any]) -> None:
    _, events = facts.walk_to("nowhere", (facts.submit(**values), Start()))
    assert "think" in stages(events)


@pytest.mark.parametrize("stage", ["spec", "plan", "implement", "verify", "review", "pr", "monitor"])
def test_a_failed_stage_waits_for_resolution(stage: str) -> None:
    state, events = facts.walk_to(stage, OPENING)
    request = events[-1]
    assert isinstance(request, StageRequested)
    state, made = decide(state, facts.observe(facts.failed(request)))
    assert [type(event) for event in made] == [ResolutionAwaited]
    assert state.phase == "resolving"
    incident = IncidentFiled(incident_id="t1-1", task_id="t1", path="p", reproducible=True, reason="why")
    state, made = decide(state, facts.observe(incident))
    assert made == [TaskGivenUp(task_id="t1", incident_id="t1-1", reason="why")]


@pytest.mark.parametrize("gate", range(6))
@pytest.mark.parametrize("verdict", ["reject", "error"])
def test_a_gate_that_does_not_approve_stops_the_task(gate: int, verdict: Any) -> None:
    state, log = task.initial, list[Event]()
    queue: list[Any] = list(OPENING)
    while queue:
        state, made = decide(state, queue.pop(0))
        log += made
        for event in made:
            if isinstance(event, RunRequest):
                queue.append(facts.observe(facts.completed(event)))
            elif isinstance(event, GateRequested):
                queue.append(
                    facts.observe(facts.decided(event, verdict if event.gate == gate else "approve"))
                )
    assert state.phase == "resolving"
    assert isinstance(log[-1], ResolutionAwaited)
    assert log[-1].gates == (gate,)
    assert not any(isinstance(event, TaskDone) for event in log)


def test_a_gate_without_quorum_is_asked_three_times_and_then_a_person() -> None:
    state, _ = facts.walk_to("review", OPENING)
    state, made = decide(state, facts.observe(facts.completed(_requested(state, "review"))))
    asked = [event for event in made if isinstance(event, GateRequested) and event.gate == 4]
    for number in (1, 2):
        state, made = decide(state, facts.observe(facts.decided(asked[-1], "abstain")))
        asked += [event for event in made if isinstance(event, GateRequested)]
        assert asked[-1].round == number + 1
    state, made = decide(state, facts.observe(facts.decided(asked[-1], "abstain")))
    assert isinstance(made[-1], TaskParked)
    assert made[-1].owner == "operator"


def test_a_plan_delta_leads_back_to_the_plan_and_through_think() -> None:
    state, events = facts.walk_to("verify", OPENING)
    request = events[-1]
    assert isinstance(request, StageRequested)
    state, _ = decide(state, facts.observe(facts.failed(request)))
    delta = PlanDelta(loop=1, different="d", answers=("broken",), signature="s")
    state, made = decide(state, facts.observe(PlanDeltaRecorded(task_id="t1", delta=delta)))
    again = made[-1]
    assert isinstance(again, StageRequested)
    assert (again.stage, again.attempt, again.input.delta) == ("plan", 2, delta)
    assert again.input.changes == ()
    assert state.approved == {}
    state, made = decide(state, facts.observe(facts.completed(again)))
    gate = made[-1]
    assert isinstance(gate, GateRequested)
    state, made = decide(state, facts.observe(facts.decided(gate)))
    assert stages(made) == ["think"]


def test_more_than_five_attempts_of_a_stage_are_a_loop() -> None:
    state, _ = facts.walk_to("plan", OPENING)
    made: list[Event] = []
    for loop in range(1, ATTEMPTS + 2):
        state, made = decide(state, facts.observe(facts.failed(_requested(state, "plan"))))
        delta = PlanDelta(loop=loop, different="d", answers=("x",), signature=str(loop))
        state, made = decide(state, facts.observe(PlanDeltaRecorded(task_id="t1", delta=delta)))
        if isinstance(made[0], InfiniteLoopDetected):
            break
    assert isinstance(made[0], InfiniteLoopDetected)
    assert made[0].attempts == ATTEMPTS
    assert isinstance(made[1], ResolutionAwaited)
    assert made[1].failure.kind == "impossible"


def test_a_transient_retry_is_not_an_attempt() -> None:
    state, _ = facts.walk_to("verify", OPENING)
    for _ in range(ATTEMPTS + 3):
        state, _made = decide(state, facts.observe(facts.failed(_requested(state, "verify"), "transient")))
        state, made = decide(state, RetryStage())
        assert isinstance(made[-1], StageRequested)
        assert made[-1].attempt == 1
    assert state.phase == "running"


def test_a_persons_retry_grants_one_more_allowance_and_numbering_goes_on() -> None:
    state, _ = facts.walk_to("verify", OPENING)
    incident = IncidentFiled(incident_id="t1-1", task_id="t1", path="p", reproducible=True, reason="why")
    state, _ = decide(
        state, facts.observe(facts.failed(_requested(state, "verify"))), facts.observe(incident)
    )
    state, _ = decide(state, Retry(actor="somebody"))
    assert state.phase == "queued"
    state, made = decide(state, Start())
    assert isinstance(made[-1], StageRequested)
    assert (made[-1].stage, made[-1].attempt) == ("spec", 2)


def test_an_answer_about_an_earlier_failure_is_not_taken_for_one_about_this() -> None:
    """An incident is filed in the background, and somebody may have cancelled and retried its task meanwhile."""
    state, _ = facts.walk_to("verify", OPENING)
    state, (first,) = decide(state, facts.observe(facts.failed(_requested(state, "verify"))))
    state, _ = decide(state, Cancel(actor="ann", reason="no"), Retry(actor="ann"), Start())
    state, (second,) = decide(state, facts.observe(facts.failed(_requested(state, "spec"))))
    assert isinstance(first, ResolutionAwaited)
    assert isinstance(second, ResolutionAwaited)
    delta = PlanDelta(loop=1, different="d", answers=("x",), signature="s")
    old: list[Any] = [
        IncidentFiled(
            incident_id="t1-1", task_id="t1", path="p", reproducible=True, reason="why", number=first.number
        ),
        PlanDeltaRecorded(task_id="t1", delta=delta, number=first.number),
        StageRetryAdvised(
            task_id="t1", run_id="t1-verify", stage="verify", retry=1, after_s=60, number=first.number
        ),
    ]
    for news in old:
        assert decide(state, facts.observe(news))[1] == []
        assert decide(state, facts.observe(msgspec.structs.replace(news, number=second.number)))[1] != []


def test_a_persons_retry_may_raise_the_ceiling_of_memory() -> None:
    state, _ = facts.walk_to("verify", OPENING)
    incident = IncidentFiled(incident_id="t1-1", task_id="t1", path="p", reproducible=True, reason="why")
    state, _ = decide(
        state, facts.observe(facts.failed(_requested(state, "verify"))), facts.observe(incident)
    )
    state, made = decide(state, Retry(actor="ann", memory_mb=512))
    assert made[0] == MemoryCeilingChanged(task_id="t1", memory_mb=512, before=100, actor="ann")
    state, made = decide(state, Start())
    assert isinstance(made[-1], StageRequested)
    assert made[-1].input.spec.budget.memory_mb == 512
    assert decide(state, Retry(actor="ann", memory_mb=1024))[1] == [], "a task that runs keeps its ceiling"


REPORT = IncidentReport(
    incident_id="t1-1",
    stage="verify",
    code="gate_refused",
    reason="why",
    path="p",
    reproduction=Reproduction(gave="as_recorded"),
)


@pytest.mark.parametrize("report", [REPORT, None])
@pytest.mark.parametrize("then", [(), (Cancel(actor="me", reason="no"), Retry(actor="me"))])
def test_a_retry_after_an_incident_carries_it_and_does_not_skip_think(
    report: IncidentReport | None, then: tuple[Any, ...]
) -> None:
    state, _ = facts.walk_to("verify", OPENING)
    news = IncidentFiled(
        incident_id="t1-1", task_id="t1", path="p", reproducible=True, reason="why", report=report
    )
    state, _ = decide(state, facts.observe(facts.failed(_requested(state, "verify"))), facts.observe(news))
    assert state.incident is not None
    state, _ = decide(state, Retry(actor="somebody"), *then)
    asked: list[RunRequest] = []
    queue: list[Any] = [Start()]
    while queue:
        state, made = decide(state, queue.pop(0))
        for event in made:
            assert not isinstance(event, StageSkipped)
            if isinstance(event, RunRequest):
                asked.append(event)
                queue += [facts.observe(facts.completed(event))] if event.stage != "implement" else []
            elif isinstance(event, GateRequested):
                queue.append(facts.observe(facts.decided(event)))
    assert [event.stage for event in asked] == ["spec", "plan", "think", "workspace", "implement"]
    for event in asked:
        assert event.input.incident is not None
        assert (event.input.incident.incident_id, event.input.incident.reason) == ("t1-1", "why")


@pytest.mark.parametrize("stage", ["spec", "verify", "pr", "monitor"])
def test_cancelling_a_running_task_stops_its_stage_first(stage: str) -> None:
    state, _ = facts.walk_to(stage, OPENING)
    request = _requested(state, stage)
    state, made = decide(state, Cancel(actor="me", reason="no"))
    assert [type(event) for event in made] == [TaskCancelRequested, StageCancelRequested]
    state, made = decide(state, Cancel(actor="me", reason="no"))
    assert made == []
    state, made = decide(state, facts.observe(facts.cancelled(request)))
    if stage in ("pr", "monitor"):
        assert [type(event) for event in made] == [WithdrawalRequested]
        state, made = decide(state, facts.observe(facts.completed(made[0], StageOutput())))
    assert made == [TaskCancelled(task_id="t1", actor="me", reason="no")]


def test_a_stage_that_ends_while_being_cancelled_does_not_go_on() -> None:
    state, _ = facts.walk_to("verify", OPENING)
    request = _requested(state, "verify")
    state, _ = decide(state, Cancel(actor="me", reason="no"))
    state, made = decide(state, facts.observe(facts.completed(request)))
    assert [type(event) for event in made] == [TaskCancelled]


def test_an_emergency_stop_parks_and_normal_goes_on_with_the_same_attempt() -> None:
    state, _ = facts.walk_to("verify", OPENING)
    request = _requested(state, "verify")
    state, made = decide(state, Halt())
    assert [type(event) for event in made] == [StageCancelRequested]
    stopped = Observe(
        news=facts.cancelled(request), now=facts.NOW, conditions=Conditions(mode="emergency-stop")
    )
    state, made = decide(state, stopped)
    assert isinstance(made[-1], TaskParked)
    state, _ = decide(state, Unpark(reason="mode is normal"))
    state, made = decide(state, Start())
    again = made[-1]
    assert isinstance(again, StageRequested)
    assert (again.stage, again.attempt, again.retry) == ("verify", 1, 1)
    assert again.run_id != request.run_id


def test_during_an_emergency_stop_no_stage_is_requested() -> None:
    state, _ = facts.walk_to("implement", OPENING)
    request = _requested(state, "implement")
    news = Observe(news=facts.completed(request), now=facts.NOW, conditions=Conditions(mode="emergency-stop"))
    state, made = decide(state, news)
    assert [type(event) for event in made] == [TaskParked]


def test_in_mode_minimal_the_pull_request_is_an_unreviewed_draft() -> None:
    state, _ = facts.walk_to("verify", OPENING)
    state, made = decide(state, facts.observe(facts.completed(_requested(state, "verify"))))
    gates = [event for event in made if isinstance(event, GateRequested)]
    made = []
    for gate in gates:
        state, made = decide(
            state, Observe(news=facts.decided(gate), now=facts.NOW, conditions=Conditions(mode="minimal"))
        )
    assert isinstance(made[-1], StageRequested)
    assert made[-1].stage == "pr"
    assert made[-1].input.draft
    assert any(isinstance(event, StageSkipped) and event.stage == "review" for event in made)


def test_a_monitor_window_is_waited_out_between_probes() -> None:
    values = {"repos": [{"name": "r", "url": "u", "fail_to_pass": ["x"], "monitor": {"window_s": 100}}]}
    state, _ = facts.walk_to("monitor", (facts.submit(**values), Start()))
    state, made = decide(state, facts.observe(facts.completed(_requested(state, "monitor"))))
    waiting = made[-1]
    assert isinstance(waiting, MonitorWaitStarted)
    assert waiting.until == facts.NOW + timedelta(seconds=100)
    state, made = decide(state, Start())
    assert isinstance(made[-1], StageRequested)
    assert made[-1].attempt == 1
    late = Observe(news=facts.completed(made[-1]), now=waiting.until)
    state, made = decide(state, late)
    assert isinstance(made[-1], TaskDone)


@pytest.mark.parametrize(
    "broken",
    [
        facts.verification(tree="9" * 40),
        facts.verification(base_tree=facts.TREE),
        facts.verification(problems=(Problem(code="x", detail="y"),)),
    ],
    ids=["receipt of another tree", "empty change", "refused receipt"],
)
def test_done_needs_proof(broken: Any) -> None:
    state, _ = facts.walk_to("monitor", OPENING)
    assert state.input is not None
    known = msgspec.structs.replace(state.input, verifications=(broken,))
    assert proof_lacking(known, state)
    assert not proof_lacking(state.input, state)


def test_done_needs_every_gate() -> None:
    state, _ = facts.walk_to("monitor", OPENING)
    assert state.input is not None
    for gate in range(6):
        without = msgspec.structs.replace(
            state, approved={key: value for key, value in state.approved.items() if key != gate}
        )
        assert f"gate {gate}" in proof_lacking(state.input, without)


def test_news_of_an_earlier_run_changes_nothing() -> None:
    state, events = facts.walk_to("verify", OPENING)
    earlier = next(event for event in events if isinstance(event, StageRequested))
    assert decide(state, facts.observe(facts.completed(earlier)))[1] == []


def test_every_command_twice_is_once() -> None:
    state, _ = facts.walk_to("verify", OPENING)
    news = facts.observe(facts.completed(_requested(state, "verify")))
    state, first = decide(state, news)
    assert first
    assert decide(state, news)[1] == []
    assert decide(state, facts.submit())[1] == []


@given(
    st.lists(
        st.tuples(
            st.sampled_from(
                [
                    "ok",
                    "fail",
                    "cancelled",
                    "reject",
                    "abstain",
                    "cancel",
                    "halt",
                    "unpark",
                    "start",
                    "retry",
                    "delta",
                ]
            ),
            st.integers(0, 30),
        ),
        max_size=60,
    )
)
def test_whatever_happens_done_implies_proof(wishes: list[tuple[str, int]]) -> None:
    """Invariant 8 and numbering, for any sequence of news about any request made so far."""
    state, log = decide(task.initial, *OPENING)
    for wish, which in wishes:
        runs = [event for event in log if isinstance(event, RunRequest)]
        gates = [event for event in log if isinstance(event, GateRequested)]
        run, gate = runs[which % len(runs)], gates[which % len(gates)] if gates else None
        delta = PlanDelta(loop=1, different="d", answers=("x",), signature=str(which))
        commands: dict[str, Any] = {
            "ok": facts.observe(facts.completed(runs[-1] if which % 2 else run)),
            "fail": facts.observe(facts.failed(run)),
            "cancelled": facts.observe(facts.cancelled(run)),
            "reject": facts.observe(facts.decided(gate, "reject")) if gate else Start(),
            "abstain": facts.observe(facts.decided(gate, "abstain")) if gate else Start(),
            "cancel": Cancel(actor="a", reason="r"),
            "halt": Halt(),
            "unpark": Unpark(reason="r"),
            "start": Start(),
            "retry": Retry(actor="a"),
            "delta": facts.observe(PlanDeltaRecorded(task_id="t1", delta=delta)),
        }
        state, made = decide(state, commands[wish])
        log += made
        # Gates answer honestly most of the time, or nothing would ever be reached.
        for asked in [event for event in made if isinstance(event, GateRequested)]:
            if which % 3:
                state, answered = decide(state, facts.observe(facts.decided(asked)))
                log += answered
    ids = [event.run_id for event in log if isinstance(event, RunRequest)]
    assert len(ids) == len(set(ids))
    if state.phase == "done":
        assert state.input is not None
        assert not proof_lacking(state.input, state)
    assert sum(isinstance(event, TaskDone) for event in log) <= 1
    if state.phase in ENDS:
        assert state.live == {}


def _requested(state: Task, stage: str) -> StageRequested:
    assert state.input is not None
    return StageRequested(
        task_id="t1",
        run_id=state.run_id,
        stage=stage,  # type: ignore[arg-type]
        attempt=state.attempts[stage],  # type: ignore[index]
        retry=state.retries[stage],  # type: ignore[index]
        input=state.input,
    )


LOST = LoseDependency(dependency="t0", outcome="incident")


def test_a_task_that_lost_what_it_depends_on_waits_for_a_person() -> None:
    state, made = decide(Task(), facts.submit(), LOST, LOST)
    assert [type(event) for event in made[1:]] == [TaskParked]
    assert state.reason == "it depends on t0, which ended as incident"
    assert "autopilot retry t0" in state.waits_for


def test_it_is_cancelled_where_its_batch_says_so() -> None:
    wish = msgspec.structs.replace(facts.submit(), on_failed_dependency="cancel")
    _, made = decide(Task(), wish, LOST, LOST)
    reason = "it depends on t0, which ended as incident"
    assert made[1:] == [TaskCancelled(task_id="t1", actor="scheduler", reason=reason)]
    running, _ = decide(Task(), wish, Start())
    assert decide(running, LOST)[1] == [], "what runs has had what it depends on"


def test_what_it_has_published_is_taken_back_before_it_ends() -> None:
    repo = {"name": "r", "url": "u", "base": "main", "fail_to_pass": ["pytest"], "monitor": {"window_s": 9}}
    wish = msgspec.structs.replace(facts.submit(repos=[repo]), on_failed_dependency="cancel")
    state, _ = facts.walk_to("its end", (wish, Start()))
    assert state.phase == "waiting"
    for cause in (LOST, Cancel(actor="ann", reason="")):
        asked, made = decide(state, cause)
        assert [type(event) for event in made] == [TaskCancelRequested, WithdrawalRequested]
        assert (asked.phase, asked.fulfilled) == ("cancelling", False)
        assert decide(asked, Cancel(actor="bob", reason=""), Halt(), LOST)[1] == []
        ends = facts.completed(made[-1]), facts.failed(made[-1]), facts.cancelled(made[-1])
        for end, left in zip(ends, ("its branch stays", "it broke", "asked"), strict=True):
            over, (last,) = decide(asked, facts.observe(end))
            assert over.phase == "cancelled"
            assert left in last.left[0]
            assert left in over.reason


def test_a_task_changes_its_class_once_and_not_after_its_end() -> None:
    wish = Prioritise(priority="urgent", actor="ann")
    state, made = decide(Task(), wish, facts.submit(), wish, wish)
    assert made[1:] == [TaskPriorityChanged(task_id="t1", priority="urgent", before="normal", actor="ann")]
    assert (state.priority, state.spec.priority) == ("urgent", "normal")
    ended, _ = decide(state, Cancel(actor="ann", reason=""))
    assert decide(ended, Prioritise(priority="low", actor="ann"))[1] == []
