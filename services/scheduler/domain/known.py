"""What is known of a task: it grows with every stage, is slimmed for events, and loses what a new plan makes void."""

from __future__ import annotations

import msgspec

from contracts.stage import StageCompleted, StageFailed, StageOutput
from contracts.task import Activity, PlanDelta, StageInput


def with_end(known: StageInput, news: StageCompleted | StageFailed) -> StageInput:
    """Add what a run found out to what the next one gets, and the time it took to the time of work."""
    worked_s = known.worked_s + (0.0 if news.stage == "workspace" else news.duration_s)
    return msgspec.structs.replace(with_output(known, news.output), worked_s=worked_s)


def with_output(known: StageInput, output: StageOutput) -> StageInput:
    """Add what a run found out to what the next one gets."""
    values = {
        field: value
        for field in (
            "specification",
            "plan",
            "baselines",
            "thoughts",
            "changes",
            "verifications",
            "review",
            "pull_requests",
        )
        if (value := getattr(output, field))
    }
    return msgspec.structs.replace(known, **values)


def with_delta(known: StageInput, delta: PlanDelta) -> StageInput:
    """Go back to the plan: what was found out about the old change no longer counts; what the bases showed does."""
    return msgspec.structs.replace(
        known, delta=delta, plan=None, thoughts=(), changes=(), verifications=(), review=None, approvals=()
    )


def is_prepared(known: StageInput) -> bool:
    """Tell whether every base of the plan has been made ready; a simulated plan has none."""
    ready = {(seen.repo, seen.base_commit) for seen in known.baselines}
    return known.plan is None or all((step.repo, step.base_commit) in ready for step in known.plan.repos)


def slim(known: StageInput, activity: Activity) -> StageInput:
    """Leave out what is not needed, since it would be stored with every event: the patch text, what the bases showed."""
    if known.baselines and activity != "implement":
        known = msgspec.structs.replace(known, baselines=())
    if activity in ("spec", "plan", "implement") or known.spec.patch is None:
        return known
    return msgspec.structs.replace(known, spec=msgspec.structs.replace(known.spec, patch=None))


def whole(before: StageInput | None, given: StageInput) -> StageInput:
    """Put back what was left out of an event."""
    if before is None:
        return given
    baselines = given.baselines or before.baselines
    return msgspec.structs.replace(given, spec=before.spec, baselines=baselines)
