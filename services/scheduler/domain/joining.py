"""Two runs of one task beside each other: the first that ends is noted, and the last decides how the task goes on."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TypeAlias

import msgspec

from contracts.stage import StageCancelled, StageCompleted, StageFailed
from contracts.task import ResolutionAwaited, RunJoined, StageCancelRequested, TaskEvent
from services.scheduler.domain.asking import known_of
from services.scheduler.domain.known import slim, with_end
from services.scheduler.domain.state import Task

RunEnd: TypeAlias = StageCompleted | StageFailed | StageCancelled


def join(news: RunEnd, state: Task) -> Iterator[TaskEvent]:
    """Note that a run has ended while the other goes on; a failure stops the other, and nobody is asked until it has."""
    match news:
        case StageCompleted():
            yield noted(news, state)
        case StageFailed(failure=failure) if state.phase == "running":
            yield RunJoined(
                task_id=state.task_id,
                run_id=news.run_id,
                stage=news.stage,
                outcome="failed",
                subject=slim(with_end(known_of(state), news), news.stage),
                failure=failure,
                evidence=news.evidence,
            )
            for run_id in state.live:
                if run_id != news.run_id:
                    yield _stop(state, run_id, f"{news.stage} failed: {failure.code}")
        case StageFailed() | StageCancelled():
            yield RunJoined(task_id=state.task_id, run_id=news.run_id, stage=news.stage, outcome="cancelled")


def noted(news: StageCompleted, state: Task) -> RunJoined:
    """Keep what one of two runs found out; bases too, which other events leave out."""
    known = slim(with_end(known_of(state), news), news.stage)
    subject = msgspec.structs.replace(known, baselines=news.output.baselines)
    return RunJoined(
        task_id=state.task_id, run_id=news.run_id, stage=news.stage, outcome="completed", subject=subject
    )


def about(failed: RunJoined, state: Task) -> ResolutionAwaited:
    """Ask resolution about the run that failed, now that the one beside it has ended, however it did."""
    assert failed.failure is not None, "only a failure stops the other run"
    assert failed.subject is not None, "a failure tells what was known"
    return ResolutionAwaited(
        task_id=state.task_id,
        stage=failed.stage,
        cause=failed.run_id,
        failure=failed.failure,
        retry=state.failures,
        number=state.troubles + 1,
        subject=msgspec.structs.replace(failed.subject, spec=state.spec),
        evidence=failed.evidence,
    )


def stop_runs(state: Task, reason: str, *, keeps: bool = False) -> Iterator[StageCancelRequested]:
    """Have everything stopped that is under way for a task; it `keeps` what it did if it goes on with it later."""
    for run_id in state.live:
        yield _stop(state, run_id, reason, keeps)


def _stop(state: Task, run_id: str, reason: str, keeps: bool = False) -> StageCancelRequested:
    activity = state.live[run_id]
    return StageCancelRequested(
        task_id=state.task_id,
        run_id=run_id,
        stage=activity,
        attempt=state.attempts.get(activity, 1),
        reason=reason,
        keeps=keeps,
    )
