"""What other services report about a task, made from the request that asked for it."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import msgspec

from contracts.gate import GateDecided, Verdict
from contracts.message import Event
from contracts.receipt import ChangeFacts, RepoBaseline, RepoVerification
from contracts.stage import StageCancelled, StageCompleted, StageFailed, StageOutput
from contracts.task import (
    Failure,
    GateRequested,
    Plan,
    PlannedRepo,
    PullRequestRef,
    RepoChange,
    ReviewReport,
    RunRequest,
    Specification,
    TaskSpec,
)
from services.scheduler.domain.commands import Observe, Submit
from services.scheduler.domain.state import Task
from services.scheduler.domain.walk import task

NOW = datetime(2026, 1, 1, tzinfo=UTC)
BASE, COMMIT, BASE_TREE, TREE = "b" * 40, "c" * 40, "1" * 40, "2" * 40


def spec(**values: Any) -> TaskSpec:
    """A task on one repository."""
    given = {
        "title": "t",
        "engine": "patch",
        "patch": "diff",
        "repos": [{"name": "r", "url": "u", "base": "main", "fail_to_pass": ["pytest"]}],
        **values,
    }
    return msgspec.convert(given, TaskSpec)


def submit(**values: Any) -> Submit:
    """The submission of task t1."""
    return Submit(task_id="t1", spec=spec(**values), depends_on=(), request_digest="d", now=NOW)


def output_of(request: RunRequest) -> StageOutput:
    """What an honest stage makes."""
    match request.stage:
        case "spec":
            return StageOutput(
                specification=Specification(acceptance=(("r", "pytest"),), risk="low", bases={"r": BASE})
            )
        case "plan":
            return StageOutput(
                plan=Plan(approach="a", repos=(planned(),), risk="low", digest=f"plan {request.attempt}")
            )
        case "workspace":
            return StageOutput(baselines=(baseline(),))
        case "think":
            return StageOutput(thoughts=("hm",))
        case "implement":
            return StageOutput(
                changes=(RepoChange(repo="r", base_commit=BASE, commit=COMMIT, tree=TREE, files=("a.py",)),)
            )
        case "verify":
            return StageOutput(verifications=(verification(),))
        case "review":
            return StageOutput(review=ReviewReport(scores=(), tree=TREE))
        case "pr":
            return StageOutput(pull_requests=(pull_request(),))
        case "monitor":
            return StageOutput()
        case "withdrawal":
            return StageOutput(left=("its branch stays",))


def planned(base: str = BASE) -> PlannedRepo:
    """A plan for repository r."""
    return PlannedRepo(
        repo="r", base_commit=base, files=("a.py",), verification=("pytest",), rollback="close it"
    )


def baseline(base: str = BASE) -> RepoBaseline:
    """What the base of repository r showed."""
    return RepoBaseline(repo="r", base_commit=base, tree=BASE_TREE, environment="e", commands=())


def verification(**values: Any) -> RepoVerification:
    """An accepted verification of TREE."""
    given: dict[str, Any] = {
        "repo": "r",
        "base_commit": BASE,
        "base_tree": BASE_TREE,
        "commit": COMMIT,
        "tree": TREE,
        "environment": "e",
        "commands": (),
        "fail_to_pass_passed": 1,
        "fail_to_pass_selected": 1,
        "base_tests": 3,
        "base_tests_held": 3,
        "facts": ChangeFacts(files=("a.py",)),
        "problems": (),
        **values,
    }
    return RepoVerification(**given)


def pull_request(**values: Any) -> PullRequestRef:
    """A pull request of TREE."""
    given: dict[str, Any] = {
        "repo": "r",
        "repo_url": "u",
        "number": 1,
        "branch": "autopilot/t1",
        "base": "main",
        "commit": COMMIT,
        "tree": TREE,
        "url": "pull/1",
        **values,
    }
    return PullRequestRef(**given)


def completed(request: RunRequest, output: StageOutput | None = None) -> StageCompleted:
    """The run ended well."""
    return StageCompleted(**_names(request), output=output or output_of(request), duration_s=1.0)


def failed(request: RunRequest, kind: str = "persistent", code: str = "broken") -> StageFailed:
    """The run ended badly."""
    failure = msgspec.convert({"kind": kind, "code": code, "detail": "it broke"}, Failure)
    return StageFailed(**_names(request), failure=failure, duration_s=1.0)


def cancelled(request: RunRequest) -> StageCancelled:
    """The run was stopped."""
    return StageCancelled(**_names(request), reason="asked")


def decided(request: GateRequested, verdict: Verdict = "approve") -> GateDecided:
    """A gate answered about what it was asked."""
    trees = {} if request.gate == 0 else {seen.repo: seen.tree for seen in request.subject.verifications}
    return GateDecided(
        review_id=request.review_id,
        task_id=request.task_id,
        gate=request.gate,
        round=request.round,
        verdict=verdict,
        trees=trees,
    )


def observe(news: Any) -> Observe:
    """Tell the task."""
    return Observe(news=news, now=NOW)


def walk_to(stage: str, commands: tuple[Any, ...]) -> tuple[Task, list[Event]]:
    """Let everything go well until a stage is requested; return the state and all events."""
    state, log = task.initial, list[Event]()
    queue: list[Any] = list(commands)
    while queue:
        for event in list(task.decide(queue.pop(0), state)):
            state = task.evolve(state, event)
            log.append(event)
            if isinstance(event, RunRequest):
                if event.stage == stage:
                    return state, log
                queue.append(observe(completed(event)))
            elif isinstance(event, GateRequested):
                queue.append(observe(decided(event)))
    return state, log


def _names(request: RunRequest) -> dict[str, Any]:
    return {
        "run_id": request.run_id,
        "task_id": request.task_id,
        "stage": request.stage,
        "attempt": request.attempt,
    }
