"""What the streams of runs and reviews say of a task: what was measured, what was judged."""

from __future__ import annotations

from typing import Any, assert_never

import msgspec

from contracts.gate import GateDecided
from contracts.message import Recorded
from contracts.receipt import CommandReceipt, Problem
from contracts.stage import (
    CallReserved,
    CallSettled,
    EffectIntended,
    EffectSettled,
    ResourceExceeded,
    StageCancelled,
    StageCompleted,
    StageEvent,
    StageFailed,
    StageOutput,
    StageResumed,
    StageStarted,
    TokenGrantExhausted,
    WallLimitNear,
)
from services.dashboard.projections.documents import (
    LIST_LIMIT,
    REASON_LIMIT,
    Ballot,
    Check,
    Review,
    Run,
    RunFailure,
    TaskDocument,
)
from services.dashboard.projections.narrative import clip, tell
from services.dashboard.projections.repository import change_of, pull_of


def fold_run(document: TaskDocument, recorded: Recorded, event: StageEvent) -> TaskDocument:
    """Fold an event of a run's stream."""
    known = document.runs.get(event.run_id)
    run = known or Run(run_id=event.run_id, stage=event.stage, attempt=event.attempt)
    after = _fold(msgspec.structs.replace(run, position=recorded.position), recorded, event)
    return msgspec.structs.replace(document, runs={**document.runs, event.run_id: after})


def _fold(run: Run, recorded: Recorded, event: StageEvent) -> Run:
    replace = msgspec.structs.replace
    match event:
        case StageStarted(replica=replica):
            return replace(run, status="started", started_at=recorded.recorded_at, note=f"on {replica}")
        case StageResumed(replica=replica):
            return replace(run, resumptions=run.resumptions + 1, note=f"resumed on {replica}")
        case ResourceExceeded() | WallLimitNear():
            return replace(run, note=clip(tell(event)[0], REASON_LIMIT))
        case EffectIntended() | EffectSettled() | CallReserved() | CallSettled() | TokenGrantExhausted():
            return run
        case StageCompleted():
            problems = clipped(problems_of(event.output))
            return _ended(run, recorded, event, status="completed", problems=problems, note="")
        case StageFailed(failure=failure):
            shown = RunFailure(
                kind=failure.kind,
                code=failure.code,
                detail=clip(failure.detail, REASON_LIMIT),
                repo=failure.repo,
            )
            problems = clipped(failure.findings or problems_of(event.output))
            return _ended(run, recorded, event, status="failed", failure=shown, problems=problems, note="")
        case StageCancelled(reason=reason):
            return replace(
                run, status="cancelled", ended_at=recorded.recorded_at, note=clip(reason, REASON_LIMIT)
            )
        case _:
            assert_never(event)


def _ended(run: Run, recorded: Recorded, event: StageCompleted | StageFailed, **values: Any) -> Run:
    output: StageOutput = event.output
    return msgspec.structs.replace(
        run,
        ended_at=recorded.recorded_at,
        duration_s=event.duration_s,
        evidence=event.evidence[:LIST_LIMIT],
        checks=_checks(output),
        changes=tuple(change_of(change) for change in output.changes),
        scores=output.review.scores if output.review else (),
        pull_requests=tuple(pull_of(pull) for pull in output.pull_requests),
        **values,
    )


def problems_of(output: StageOutput) -> tuple[Problem, ...]:
    """List why what a stage measured is not accepted: verify has done its work even when the change is bad."""
    return tuple(problem for verification in output.verifications for problem in verification.problems)


def _checks(output: StageOutput) -> tuple[Check, ...]:
    of_verifications = [
        _check(verification.repo, receipt)
        for verification in output.verifications
        for receipt in verification.commands
    ]
    of_bases = [_check(base.repo, receipt) for base in output.baselines for receipt in base.commands]
    of_probes = [_check("", receipt) for receipt in output.probes]
    return tuple([*of_verifications, *of_bases, *of_probes][:LIST_LIMIT])


def _check(repo: str, receipt: CommandReceipt) -> Check:
    return Check(
        repo=repo,
        purpose=receipt.purpose,
        command=clip(receipt.command, REASON_LIMIT),
        side=receipt.side,
        tree=receipt.tree,
        exit_code=receipt.exit_code,
        ended=receipt.ended,
        duration_s=receipt.duration_s,
        memory_mb=receipt.peak_memory_mb,
        collected=receipt.collected,
        passed=receipt.passed,
        failed=receipt.failed,
        skipped=receipt.skipped,
        cached=receipt.cached,
        output=receipt.output.digest if receipt.output else "",
        report=receipt.report.digest if receipt.report else "",
    )


def fold_review(document: TaskDocument, recorded: Recorded, event: GateDecided) -> TaskDocument:
    """Fold a gate's decision."""
    known = document.reviews.get(event.review_id)
    review = known or Review(review_id=event.review_id, gate=event.gate, round=event.round)
    consensus = event.consensus
    after = msgspec.structs.replace(
        review,
        verdict=event.verdict,
        decided_at=recorded.recorded_at,
        position=recorded.position,
        findings=clipped(event.findings),
        votes=tuple(
            Ballot(voter=vote.voter, verdict=vote.verdict, reason=clip(vote.reason), score=vote.score)
            for vote in event.votes[:LIST_LIMIT]
        ),
        consensus=f"{consensus.rule}: {consensus.cast} cast, {consensus.needed} needed" if consensus else "",
    )
    return msgspec.structs.replace(document, reviews={**document.reviews, event.review_id: after})


def clipped(problems: tuple[Problem, ...]) -> tuple[Problem, ...]:
    """Keep the first problems, each in a length that a page can show."""
    return tuple(
        Problem(code=problem.code, detail=clip(problem.detail, REASON_LIMIT))
        for problem in problems[:LIST_LIMIT]
    )
