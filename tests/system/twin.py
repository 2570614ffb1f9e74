"""Stages whose outputs a test chooses, so that arbitrary measured facts reach the real scheduler, gates and resolution.

What `honest` returns passes every gate; a test bends one fact of it and sees who notices.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

import msgspec

from contracts.receipt import ChangeFacts, CommandReceipt, EvidenceRef, RepoBaseline, RepoVerification
from contracts.stage import StageOutput
from contracts.task import (
    Failure,
    Plan,
    PlannedRepo,
    PullRequestRef,
    RepoChange,
    ReviewReport,
    RunRequest,
    Specification,
    TaskSpec,
)
from libs.runtime.running import Running
from libs.runtime.service import Consumer, Service
from services.stage_runner import handlers
from services.stage_runner.adapters.stages.review import AXES
from services.stage_runner.domain import Complete, Fail, RunCommand, Stop, Which, run
from tests.system.walking import CORE

BASE, COMMIT, BASE_TREE, TREE = "b" * 40, "c" * 40, "1" * 40, "2" * 40
TEST, FIX, AUDIT = (
    "python -m pytest -q",
    "python -m pytest -q tests/test_wide.py",
    "python -m compileall -q .",
)

#: What a stage answers: an output, a failure, or nothing for as long as it takes.
Answer: TypeAlias = StageOutput | Failure | None
Script: TypeAlias = Callable[[RunRequest], Answer]


def patch_task(**values: Any) -> TaskSpec:
    """A task that is not synthetic, for engine `patch`."""
    repo = {
        "name": "r",
        "url": "/somewhere/r.git",
        "base": "main",
        "fail_to_pass": [FIX],
        "verify": {"test": TEST, "audit": AUDIT},
    }
    return msgspec.convert(
        {"title": "a fix", "engine": "patch", "patch": "diff", "repos": [repo], **values}, TaskSpec
    )


def honest(request: RunRequest) -> StageOutput:
    """Answer as stages do that did their work."""
    given = request.input
    match request.stage:
        case "spec":
            return StageOutput(
                specification=Specification(acceptance=(("r", FIX),), risk="low", bases={"r": BASE})
            )
        case "plan":
            step = PlannedRepo(
                repo="r",
                base_commit=BASE,
                files=(),
                scope=("wide.py",),
                verification=(FIX, TEST, AUDIT),
                rollback="close the pull request",
            )
            delta = given.delta.loop if given.delta else 0
            return StageOutput(plan=Plan(approach="a", repos=(step,), risk="low", digest=f"plan {delta}"))
        case "workspace":
            seen = tuple(receipt for receipt in receipts() if receipt.side == "base")
            base = RepoBaseline(repo="r", base_commit=BASE, tree=BASE_TREE, environment="e", commands=seen)
            return StageOutput(baselines=(base,))
        case "think":
            return StageOutput(thoughts=("hm",))
        case "implement":
            change = RepoChange(repo="r", base_commit=BASE, commit=COMMIT, tree=TREE, files=("wide.py",))
            return StageOutput(changes=(change,))
        case "verify":
            return StageOutput(verifications=(verification(),))
        case "review":
            scores = tuple(axis(given.verifications) for axis in AXES)
            return StageOutput(review=ReviewReport(scores=scores, tree=given.verifications[0].tree))
        case "pr":
            return StageOutput(pull_requests=(pull_request(request.task_id),))
        case "monitor" | "withdrawal":
            return StageOutput()


def naming(output: StageOutput, *files: str) -> StageOutput:
    """Let a plan name files, so that it waits for others that name one of them; of scopes nobody has to wait."""
    assert output.plan is not None
    (step,) = output.plan.repos
    step = msgspec.structs.replace(step, files=files, scope=("*",))
    return StageOutput(plan=msgspec.structs.replace(output.plan, repos=(step,)))


def verification(
    facts: ChangeFacts | None = None, commands: Sequence[CommandReceipt] | None = None, **values: Any
) -> RepoVerification:
    """An accepted verification of TREE."""
    given: dict[str, Any] = {
        "repo": "r",
        "base_commit": BASE,
        "base_tree": BASE_TREE,
        "commit": COMMIT,
        "tree": TREE,
        "environment": "e",
        "commands": tuple(receipts() if commands is None else commands),
        "fail_to_pass_passed": 1,
        "fail_to_pass_selected": 1,
        "base_tests": 3,
        "base_tests_held": 3,
        "facts": facts or measured(),
        "problems": (),
        "diff": stored("change.diff"),
        **values,
    }
    return RepoVerification(**given)


def measured(**values: Any) -> ChangeFacts:
    """What is measured of a small, honest change."""
    given: dict[str, Any] = {
        "files": ("wide.py",),
        "added_lines": 12,
        "removed_lines": 3,
        "complexity_delta": 1,
    }
    return ChangeFacts(**{**given, **values})


def receipts() -> list[CommandReceipt]:
    """The receipts of every command that `patch_task` names, on both sides."""
    return [
        receipt("test", TEST, "base", passed=3),
        receipt("audit", AUDIT, "base"),
        receipt("fail_to_pass", FIX, "base", exit_code=1, failed=1),
        receipt("test", TEST, "change", passed=3),
        receipt("audit", AUDIT, "change"),
        receipt("fail_to_pass", FIX, "change", passed=1),
    ]


def receipt(purpose: str, command: str, side: Any, **values: Any) -> CommandReceipt:
    """One receipt, on the tree of its side."""
    given: dict[str, Any] = {
        "purpose": purpose,
        "command": command,
        "side": side,
        "tree": TREE if side == "change" else BASE_TREE,
        "exit_code": 0,
        "ended": "exited",
        "duration_s": 1.0,
        "peak_memory_mb": 20.0,
        "output": stored(f"{side}/{purpose}.log"),
        **values,
    }
    return CommandReceipt(**given)


def stored(name: str) -> EvidenceRef:
    """A reference to evidence."""
    return EvidenceRef(digest="e" * 64, name=name, size=1)


def pull_request(task_id: str, **values: Any) -> PullRequestRef:
    """The pull request of TREE."""
    given: dict[str, Any] = {
        "repo": "r",
        "repo_url": "/somewhere/r.git",
        "number": 1,
        "branch": f"autopilot/{task_id}",
        "base": "main",
        "commit": COMMIT,
        "tree": TREE,
        "url": "pull/1",
        **values,
    }
    return PullRequestRef(**given)


class TwinExecutor:
    """Answers runs from a script instead of doing their work; what it records goes through the real decider."""

    def __init__(self, running: Running, script: Script) -> None:
        self._running, self._script = running, script
        self._runs: dict[str, RunRequest] = {}
        self._stopping: dict[str, str] = {}
        self._seen: set[str] = set()
        self.halted = False

    def free(self) -> int:
        """Return how many more runs may be started now."""
        return 0 if self.halted else 1_000

    def working_on(self, run_id: str) -> bool:
        """Tell whether a run is under way here."""
        return run_id in self._runs

    def seen(self, run_id: str) -> bool:
        """Tell whether this was asked of a run before."""
        known = run_id in self._seen
        self._seen.add(run_id)
        return known

    def start(self, request: RunRequest) -> None:
        """Begin a run."""
        self._runs[request.run_id] = request

    def stop(self, run_id: str, reason: str) -> bool:
        """Cancel a run."""
        if run_id in self._runs:
            self._stopping[run_id] = reason
        return run_id in self._runs

    async def idle(self) -> None:
        """Record the end of every run that has one."""
        for run_id, request in list(self._runs.items()):
            end = self._end(request)
            if end is not None:
                del self._runs[run_id]
                await self._record(request, end)

    async def _record(self, request: RunRequest, end: RunCommand) -> None:
        await self._running.perform(
            lambda work: work.decide(run, request.run_id, end), synthetic=request.input.spec.synthetic
        )

    def _end(self, request: RunRequest) -> RunCommand | None:
        if reason := self._stopping.pop(request.run_id, None):
            which = Which(
                run_id=request.run_id, task_id=request.task_id, stage=request.stage, attempt=request.attempt
            )
            return Stop(which=which, reason=reason, gone=True)
        match self._script(request):
            case None:
                return None
            case Failure() as failure:
                return Fail(failure=failure, output=StageOutput(), evidence=(), duration_s=1.0)
            case output:
                return Complete(output=output, evidence=(), duration_s=1.0)


def scripted(script: Script, services: Sequence[Service] = CORE) -> tuple[Service, ...]:
    """Return the services with a stage-runner that answers from a script."""

    async def assemble(running: Running) -> TwinExecutor:
        return TwinExecutor(running, script)

    consumes = (
        Consumer(handlers.run_stage, room=TwinExecutor.free),
        Consumer(handlers.stop_stage),
        Consumer(handlers.withdraw),
    )
    return tuple(
        dataclasses.replace(service, assemble=assemble, consumes=consumes, workers=())
        if service.name == "stage-runner"
        else service
        for service in services
    )
