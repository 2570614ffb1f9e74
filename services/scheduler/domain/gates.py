"""Asking gates, and what their answers come to."""

from __future__ import annotations

from collections.abc import Generator, Iterator

from contracts.gate import GateDecided
from contracts.task import (
    Failure,
    GateAnswered,
    GateRequested,
    ResolutionAwaited,
    Stage,
    StageInput,
    TaskEvent,
)
from services.scheduler.domain import state as states
from services.scheduler.domain.asking import known_of
from services.scheduler.domain.ends import ask_person
from services.scheduler.domain.known import slim
from services.scheduler.domain.state import Task

#: Gates asked after a stage; architecture section 6. All of one row are asked at once.
GATES_AFTER: dict[Stage, tuple[int, ...]] = {"plan": (0,), "verify": (1, 2, 3), "review": (4, 5)}
#: Rounds of one gate without a quorum before a person is asked.
QUORUM_ROUNDS = 3


def ask_gates(state: Task, stage: Stage, subject: StageInput) -> Iterator[TaskEvent]:
    """Ask every gate that judges what a stage found out or made."""
    for gate in GATES_AFTER[stage]:
        request = _gate_request(state, gate, stage, subject)
        yield request
        state = states.evolve(state, request)


def _gate_request(state: Task, gate: int, stage: Stage, subject: StageInput) -> GateRequested:
    number = state.rounds.get(gate, 0) + 1
    return GateRequested(
        task_id=state.task_id,
        review_id=f"{state.task_id}-{gate}-{number}",
        gate=gate,
        round=number,
        stage=stage,
        subject=slim(subject, stage),
    )


def hear(news: GateDecided, state: Task) -> Generator[TaskEvent, None, Task | None]:
    """Take a gate's answer; returns the task as it is then if all that were asked have approved."""
    if state.phase != "gating" or state.pending.get(news.gate) != news.review_id:
        return None  # of an earlier round, or the task has gone on
    answered = GateAnswered(
        task_id=state.task_id,
        review_id=news.review_id,
        gate=news.gate,
        verdict=news.verdict,
        trees=news.trees,
        findings=news.findings,
    )
    yield answered
    state = states.evolve(state, answered)
    assert state.stage != "workspace", "gates judge what stages made"
    assert state.stage != "withdrawal", "gates judge what stages made"
    if state.refused:
        if not state.pending:
            yield _await_resolution(state)
    elif news.verdict == "abstain":
        if news.round < QUORUM_ROUNDS:
            yield _gate_request(state, news.gate, state.stage, known_of(state))
        else:
            yield ask_person(state, "no_quorum", f"gate {news.gate} reached no quorum in {news.round} rounds")
    elif not state.pending:
        return state
    return None


def _await_resolution(state: Task) -> ResolutionAwaited:
    gates = ", ".join(str(gate) for gate in sorted(state.refused))
    first = state.findings[0].detail if state.findings else "no reason was given"
    failure = Failure(
        kind="persistent",
        code="gate_refused",
        detail=f"refused by gate {gates}: {first}",
        findings=state.findings,
    )
    return ResolutionAwaited(
        task_id=state.task_id,
        stage=state.stage,
        cause=f"{state.task_id} gates {gates}",
        failure=failure,
        gates=tuple(sorted(state.refused)),
        number=state.troubles + 1,
        subject=known_of(state),
    )
