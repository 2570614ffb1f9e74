"""Believable lives of tasks, written event by event as the services record them."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any

from contracts.admission import SlotGranted, SlotReleased, TaskEnqueued
from contracts.alert import AlertDelivered, AlertDeliveryFailed, AlertRaised
from contracts.gate import Consensus, GateDecided, Vote
from contracts.receipt import ChangeFacts, CommandReceipt, EvidenceRef, Problem, RepoVerification
from contracts.resolution import IncidentFiled, IncidentOpened, LoopExhausted, LoopOpened
from contracts.stage import (
    EffectIntended,
    EffectSettled,
    StageCompleted,
    StageFailed,
    StageOutput,
    StageStarted,
)
from contracts.task import (
    AxisScore,
    Failure,
    GateAnswered,
    GateRequested,
    PullRequestRef,
    RepoChange,
    RepoSpec,
    ResolutionAwaited,
    ReviewReport,
    Stage,
    StageInput,
    StageRequested,
    StageSkipped,
    TaskAdmitted,
    TaskDone,
    TaskGivenUp,
    TaskSpec,
    TaskSubmitted,
)
from libs.evidence.store import EvidenceStore
from tests.integration.dashboard.world import Pen

GATES_AFTER: dict[Stage, tuple[int, ...]] = {"plan": (0,), "verify": (1, 2, 3), "review": (4, 5)}
HOSTILE = "<img src=x onerror=\"document.title='owned'\"><script>document.title='owned'</script>"


def tree(seed: str) -> str:
    """Make a hash as git makes them."""
    return hashlib.sha1(seed.encode(), usedforsecurity=False).hexdigest()


class Life:
    """One task's life. Each method records one step of it."""

    def __init__(self, pen: Pen, evidence: EvidenceStore, task_id: str, title: str, **spec: Any) -> None:
        self.pen, self.evidence, self.task_id = pen, evidence, task_id
        repo = RepoSpec(
            name="ledgerline", url="https://user:secret@git.example/team/ledgerline.git", base="main"
        )
        self.spec = TaskSpec(title=title, repos=(repo,), **{"engine": "patch", **spec})
        self.attempts: dict[str, int] = {}
        self.pull = PullRequestRef(
            repo="ledgerline",
            repo_url=repo.url,
            number=7,
            branch=f"autopilot/{task_id}",
            base="main",
            commit=tree(f"{task_id} commit"),
            tree=tree(f"{task_id} tree"),
            url="file:///data/the%20forge/ledgerline.git#7",
        )

    async def write(self, event: Any, after: float = 1.0) -> None:
        await self.pen.write(event, after=after, synthetic=self.spec.synthetic)

    async def submitted(self) -> None:
        now = self.pen.clock.now()
        depends_on = self.spec.depends_on
        await self.write(
            TaskSubmitted(task_id=self.task_id, spec=self.spec, submitted_at=now, depends_on=depends_on)
        )
        await self.write(
            TaskEnqueued(
                task_id=self.task_id,
                priority=self.spec.priority,
                queue=self.spec.queue,
                depends_on=depends_on,
            ),
            0,
        )

    async def admitted(self) -> None:
        await self.write(SlotGranted(task_id=self.task_id))
        await self.write(TaskAdmitted(task_id=self.task_id), 0)

    async def started(self, stage: Stage) -> dict[str, Any]:
        """Record that a stage is requested and under way; returns what its further events begin with."""
        attempt = self.attempts[stage] = self.attempts.get(stage, 0) + 1
        run_id = f"{self.task_id}-{stage}-{attempt}"
        await self.write(
            StageRequested(
                task_id=self.task_id,
                run_id=run_id,
                stage=stage,
                attempt=attempt,
                input=StageInput(spec=self.spec),
            )
        )
        run: dict[str, Any] = {"run_id": run_id, "task_id": self.task_id, "stage": stage, "attempt": attempt}
        await self.write(StageStarted(**run, replica="stage-runner-1", epoch=1), 0.2)
        return run

    async def passed(self, stage: Stage, seconds: float = 2.0, problems: tuple[Problem, ...] = ()) -> None:
        """Record a stage that did its work; with problems, the gates behind it refuse what it measured."""
        run = await self.started(stage)
        if stage == "pr":
            await self.write(
                EffectIntended(**run, effect="pr", kind="open_pull_request", target="ledgerline", detail="")
            )
            await self.write(EffectSettled(**run, effect="pr", outcome="done", reference="ledgerline #7"))
        output, evidence = self._output(stage, problems)
        await self.write(StageCompleted(**run, output=output, evidence=evidence, duration_s=seconds), seconds)
        if stage in GATES_AFTER:
            await self.judged(stage, problems)

    async def failed(self, stage: Stage, code: str, detail: str, problems: Sequence[Problem] = ()) -> None:
        run = await self.started(stage)
        failure = Failure(kind="persistent", code=code, detail=detail, findings=tuple(problems))
        output, evidence = self._output(stage, tuple(problems))
        await self.write(
            StageFailed(**run, failure=failure, output=output, evidence=evidence, duration_s=3.5), 3.5
        )
        await self._unresolved(stage, run["run_id"], failure)

    async def judged(self, stage: Stage, refusal: tuple[Problem, ...] = ()) -> None:
        """Record the gates behind a stage; with a refusal, the first of them rejects."""
        for gate in GATES_AFTER[stage]:
            attempt = self.attempts[stage]
            review_id = f"{self.task_id}-gate{gate}-{attempt}"
            await self.write(
                GateRequested(
                    task_id=self.task_id,
                    review_id=review_id,
                    gate=gate,
                    round=attempt,
                    stage=stage,
                    subject=StageInput(spec=self.spec),
                ),
                0.1,
            )
            rejects = bool(refusal) and gate == GATES_AFTER[stage][0]
            verdict: Any = "reject" if rejects else "approve"
            votes = tuple(
                Vote(voter=axis, verdict="approve", reason="measured", score=4)
                for axis in ("resolution proof", "design", "operability")
            )
            await self.write(
                GateDecided(
                    review_id=review_id,
                    task_id=self.task_id,
                    gate=gate,
                    round=attempt,
                    verdict=verdict,
                    findings=refusal if rejects else (),
                    votes=votes if gate in (4, 5) else (),
                    consensus=Consensus(rule="all", cast=3, needed=3, reached=True) if gate == 4 else None,
                    trees={} if gate == 0 else {"ledgerline": self.pull.tree},
                ),
                0.3,
            )
            await self.write(
                GateAnswered(task_id=self.task_id, review_id=review_id, gate=gate, verdict=verdict), 0.1
            )
        if refusal:
            gate = GATES_AFTER[stage][0]
            failure = Failure(
                kind="persistent", code="gate_refused", detail=f"gate {gate} refused", findings=refusal
            )
            cause = f"{self.task_id}-gate{gate}-{self.attempts[stage]}"
            await self._unresolved(stage, cause, failure, (gate,))

    async def _unresolved(
        self, stage: Stage, cause: str, failure: Failure, gates: tuple[int, ...] = ()
    ) -> None:
        subject = StageInput(spec=self.spec)
        await self.write(
            ResolutionAwaited(
                task_id=self.task_id,
                stage=stage,
                cause=cause,
                failure=failure,
                gates=gates,
                subject=subject,
            )
        )

    async def done(self) -> None:
        await self.write(
            TaskDone(
                task_id=self.task_id,
                pull_requests=(self.pull,),
                approvals=tuple(f"gate {gate}: approve" for gate in range(6)),
            )
        )
        await self.write(SlotReleased(task_id=self.task_id, reason="done"), 0)

    async def until(self, stage: Stage) -> None:
        """Record everything before a stage."""
        await self.submitted()
        await self.admitted()
        for passed in ("spec", "plan", "implement", "verify", "review", "pr", "monitor"):
            if passed == stage:
                return
            if passed == "implement":
                await self.write(
                    StageSkipped(task_id=self.task_id, stage="think", reason="low risk, clear plan")
                )
            await self.passed(passed)

    async def gave_up(self, stage: Stage, reason: str, findings: tuple[Problem, ...]) -> str:
        """Record the way from a failure to an incident."""
        incident_id = f"inc-{self.task_id}"
        await self.write(
            LoopOpened(
                task_id=self.task_id,
                loop=1,
                stage=stage,
                kind="impossible",
                label="test_not_passing",
                fingerprint="f" * 12,
                signature="s" * 12,
                findings=findings,
            )
        )
        await self.write(LoopExhausted(task_id=self.task_id, loop=1, reason=reason, incident_id=incident_id))
        await self.write(
            IncidentOpened(
                incident_id=incident_id,
                task_id=self.task_id,
                title=self.spec.title,
                stage=stage,
                reason=reason,
                label="test_not_passing",
                findings=findings,
                repos=self.spec.repos,
                bases={"ledgerline": tree("base")},
                changes=(),
                commands=(("ledgerline", "python -m pytest -q"),),
                evidence=(),
            )
        )
        await self.write(
            IncidentFiled(
                incident_id=incident_id,
                task_id=self.task_id,
                path=f"incidents/{incident_id}",
                reproducible=True,
            )
        )
        await self.write(TaskGivenUp(task_id=self.task_id, incident_id=incident_id, reason=reason))
        await self.write(SlotReleased(task_id=self.task_id, reason="incident"), 0)
        await self.write(
            AlertRaised(
                alert_id=f"alert-{self.task_id}",
                rule="task_given_up",
                severity="critical",
                summary=f"given up: {self.spec.title}",
                event_id="",
                task_id=self.task_id,
                sinks=("log", "webhook"),
            )
        )
        await self.write(AlertDelivered(alert_id=f"alert-{self.task_id}", sink="log", attempts=1))
        await self.write(
            AlertDeliveryFailed(
                alert_id=f"alert-{self.task_id}",
                sink="webhook",
                attempts=3,
                reason="connection refused",
            )
        )
        return incident_id

    def stored(self, name: str, text: str, media_type: str = "text/plain") -> EvidenceRef:
        """Store a piece of evidence."""
        data = text.encode()
        return EvidenceRef(
            digest=self.evidence.put_bytes(data), name=name, media_type=media_type, size=len(data)
        )

    def _output(
        self, stage: Stage, problems: tuple[Problem, ...] = ()
    ) -> tuple[StageOutput, tuple[EvidenceRef, ...]]:
        match stage:
            case "implement":
                diff = self.stored(
                    "implement/patch.diff", f"--- a/money.py\n+++ b/money.py\n@@ {self.task_id} @@\n"
                )
                change = RepoChange(
                    repo="ledgerline",
                    base_commit=tree("base"),
                    commit=self.pull.commit,
                    tree=self.pull.tree,
                    files=("ledgerline/money.py",),
                    diff=diff,
                )
                return StageOutput(changes=(change,)), (diff,)
            case "verify":
                return self._verification(problems)
            case "review":
                scores = (AxisScore(axis="resolution proof", score=4, fact="3 of 3 selected tests pass"),)
                return StageOutput(review=ReviewReport(scores=scores, tree=self.pull.tree)), ()
            case "pr":
                return StageOutput(pull_requests=(self.pull,)), ()
            case _:
                note = self.stored(f"{stage}/report.json", f'{{"stage": "{stage}"}}', "application/json")
                return StageOutput(), (note,)

    def _verification(self, problems: tuple[Problem, ...]) -> tuple[StageOutput, tuple[EvidenceRef, ...]]:
        wrong = len(problems)
        log = self.stored(
            "verify/change/test.log", f"{self.task_id}: {42 - wrong} passed, {wrong} failed\n" * 40
        )
        common: dict[str, Any] = {"ended": "exited", "peak_memory_mb": 48.0, "collected": 42}
        commands = (
            CommandReceipt(
                purpose="fail_to_pass",
                command="python -m pytest -q tests/test_money.py",
                side="base",
                tree=tree("base tree"),
                exit_code=1,
                duration_s=1.1,
                passed=40,
                failed=2,
                cached=True,
                **common,
            ),
            CommandReceipt(
                purpose="test",
                command="python -m pytest -q",
                side="change",
                tree=self.pull.tree,
                exit_code=1 if wrong else 0,
                duration_s=2.4,
                output=log,
                passed=42 - wrong,
                failed=wrong,
                **common,
            ),
        )
        verification = RepoVerification(
            repo="ledgerline",
            base_commit=tree("base"),
            base_tree=tree("base tree"),
            commit=self.pull.commit,
            tree=self.pull.tree,
            environment="e" * 12,
            commands=commands,
            fail_to_pass_passed=2,
            fail_to_pass_selected=2,
            base_tests=40,
            base_tests_held=40 - wrong,
            facts=ChangeFacts(files=("ledgerline/money.py",), added_lines=6, removed_lines=2),
            problems=problems,
        )
        return StageOutput(verifications=(verification,)), (log,)
