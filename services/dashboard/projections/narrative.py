"""One sentence for each event, as a task's timeline shows it."""

from __future__ import annotations

from typing import TypeAlias, assert_never

from contracts.admission import AdmissionEvent
from contracts.alert import AlertDelivered, AlertDeliveryFailed, AlertEvent, AlertRaised, AlertResolved
from contracts.budget import BudgetEvent
from contracts.claim import ClaimEvent, FilesAwaited, FilesClaimed, FilesReleased
from contracts.gate import GateDecided, GateEvent
from contracts.message import Event, Unknown
from contracts.mode import AsideEvent, ModeChanged, ModeEvent, TasksCalledBack, TaskSetAside
from contracts.receipt import RepoVerification
from contracts.resolution import (
    IncidentEvent,
    IncidentFiled,
    IncidentOpened,
    IncidentWritten,
    LoopClosed,
    LoopEvent,
    LoopExhausted,
    LoopOpened,
    PlanDeltaRecorded,
    StageRetryAdvised,
)
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
    StageResumed,
    StageStarted,
    TokenGrantExhausted,
    WallLimitNear,
)
from contracts.stall import AdmissionFlows, AdmissionStalled, StallEvent
from contracts.task import (
    GateAnswered,
    GateRequested,
    InfiniteLoopDetected,
    MemoryCeilingChanged,
    MonitorWaitStarted,
    ResolutionAwaited,
    RunJoined,
    StageCancelRequested,
    StageRequested,
    StageSkipped,
    TaskAdmitted,
    TaskBudgetChanged,
    TaskCancelled,
    TaskCancelRequested,
    TaskDone,
    TaskEvent,
    TaskGivenUp,
    TaskParked,
    TaskPriorityChanged,
    TaskRetried,
    TaskSubmitted,
    TaskUnparked,
    TokensGranted,
    TokensRefused,
    WithdrawalRequested,
    WorkspaceRequested,
)
from contracts.workspace import (
    ArtifactCompressed,
    ArtifactEvent,
    DiskEvent,
    DiskPressureCleared,
    DiskPressureRaised,
    WorkspaceEvent,
    WorkspaceRemoved,
)
from services.dashboard.projections.documents import Line, Tone
from services.dashboard.projections.queueing import tell_admission, tell_claim
from services.dashboard.projections.spending import tell_budget, tell_tokens

#: Characters of a timeline's sentence.
TEXT_LIMIT = 400
#: Every event that this release knows; the type checker names a fold that has not considered one.
Known: TypeAlias = (
    TaskEvent
    | AdmissionEvent
    | StallEvent
    | ModeEvent
    | ClaimEvent
    | BudgetEvent
    | AsideEvent
    | StageEvent
    | GateEvent
    | LoopEvent
    | IncidentEvent
    | AlertEvent
    | ArtifactEvent
    | WorkspaceEvent
    | DiskEvent
)


def clip(text: str, limit: int = TEXT_LIMIT) -> str:
    """Shorten a text, visibly."""
    return text if len(text) <= limit else text[: limit - 1] + "…"


def cancellation(event: TaskCancelled) -> str:
    """Say who cancelled a task, why, and what it has left outside."""
    said = f"cancelled by {event.actor}" + (f": {event.reason}" if event.reason else "")
    return "; ".join((said, *event.left))


def tell(event: Event | Unknown) -> Line:
    """Say what an event means, and whether it is good news."""
    if isinstance(event, Unknown):
        return f"{event.type} (not known to this release)", ""
    text, tone = _tell(event)  # type: ignore[arg-type]
    return clip(text), tone


def _tell(event: Known) -> Line:
    match event:
        case StageStarted() | StageResumed() | EffectIntended() | EffectSettled():
            return _run(event)
        case ResourceExceeded() | WallLimitNear():
            return _limit(event)
        case CallReserved() | CallSettled() | TokenGrantExhausted():
            return tell_tokens(event)
        case StageCompleted() | StageFailed() | StageCancelled():
            return _run_end(event)
        case GateDecided(gate=gate, verdict=verdict):
            why = "; ".join(finding.detail for finding in event.findings)
            return f"gate {gate}: {verdict}" + (f" — {why}" if why else ""), _VERDICT_TONE[verdict]
        case LoopOpened() | PlanDeltaRecorded() | StageRetryAdvised() | LoopClosed() | LoopExhausted():
            return _loop(event)
        case IncidentOpened(reason=reason):
            return f"incident opened: {reason}", "bad"
        case IncidentWritten(reproduction=reproduction):
            return f"incident tried: {_GAVE[reproduction.gave]}", ""
        case IncidentFiled(path=path, report=report):
            where = f" and as branch {report.branch}" if report and report.branch else ""
            return f"incident filed in {path}{where}", "bad"
        case AlertRaised(severity=severity, summary=summary):
            return f"{severity} alert: {summary}", "bad" if severity == "critical" else "warn"
        case AlertDelivered(sink=sink):
            return f"alert delivered to {sink}", ""
        case AlertDeliveryFailed(sink=sink, reason=reason):
            return f"alert not delivered to {sink}: {reason}", "warn"
        case AlertResolved(reason=reason):
            return f"alert resolved: {reason}", "good"
        case ModeChanged(mode=mode, before=before, actor=actor):
            return f"mode {before} → {mode} by {actor}", "warn"
        case FilesClaimed() | FilesAwaited() | FilesReleased():
            return tell_claim(event)
        case TaskSetAside():
            return "waits for another mode", ""
        case TasksCalledBack(task_ids=task_ids):
            return f"{len(task_ids)} tasks that waited for another mode are queued again", ""
        case ArtifactCompressed(digest=digest):
            return f"evidence {digest[:12]} compressed", ""
        case WorkspaceRemoved(freed=freed):
            return f"worktrees removed, {freed:,} bytes freed", ""
        case DiskPressureRaised(used_percent=used):
            return f"disk {used:.0f} % full: evidence recording pauses", "bad"
        case DiskPressureCleared(used_percent=used):
            return f"disk {used:.0f} % full: there is room again", "good"
        case AdmissionStalled(ready=ready, reason=reason):
            return f"{ready} tasks are ready and slots are free, but nothing starts: {reason}", "bad"
        case AdmissionFlows():
            return "slots are granted again, or nobody is ready for one", "good"
        case _ if isinstance(event, AdmissionEvent):
            return tell_admission(event)
        case _ if isinstance(event, BudgetEvent):
            return tell_budget(event)
        case _:
            return _task(event)


#: What an incident's script gave, in words.
_GAVE = {
    "as_recorded": "its script shows the failure as recorded",
    "does_not_show": "its script does not show the failure",
    "otherwise": "something fails, but not as recorded",
    "not_tried": "its script could not be run to its end",
}
#: What limits are counted in.
_UNITS = {"memory": "MB", "wall": "s", "processes": "processes", "output": "bytes of output"}
_VERDICT_TONE: dict[str, Tone] = {"approve": "good", "reject": "bad", "abstain": "warn", "error": "bad"}


def _task(event: TaskEvent) -> Line:
    match event:
        case TaskSubmitted(spec=spec):
            return f"submitted: {spec.title}", ""
        case TaskAdmitted(bases=bases):
            return "admitted" + (
                f", on top of {', '.join(base.branch for base in bases)}" if bases else ""
            ), ""
        case StageRequested(stage=stage, attempt=attempt, retry=retry):
            return f"{stage} requested, attempt {attempt}" + (f", retry {retry}" if retry else ""), ""
        case WorkspaceRequested(retry=retry):
            return "workspace requested" + (f", retry {retry}" if retry else ""), ""
        case WithdrawalRequested():
            return "what it has published is being taken back", "warn"
        case RunJoined(stage=stage, failure=failure):
            return f"{stage} has ended, the run beside it goes on" if failure is None else (
                f"{stage} failed, the run beside it is stopped"
            ), "" if failure is None else "warn"
        case StageSkipped(stage=stage, reason=reason):
            return f"{stage} skipped: {reason}", ""
        case GateRequested(gate=gate, round=round_):
            return f"gate {gate} asked" + (f", round {round_}" if round_ > 1 else ""), ""
        case GateAnswered(gate=gate, verdict=verdict):
            return f"gate {gate} answered: {verdict}", _VERDICT_TONE[verdict]
        case ResolutionAwaited(stage=stage):
            return f"{stage} did not pass: resolution decides", "warn"
        case StageCancelRequested(reason=reason):
            return f"running stage is being stopped: {reason}", "warn"
        case TaskCancelRequested(actor=actor, reason=reason):
            return f"{actor} asked to cancel" + (f": {reason}" if reason else ""), "warn"
        case TaskParked(reason=reason, owner=owner, wake_up=wake_up):
            return f"parked: {reason}; {owner} ends it: {wake_up}", "warn"
        case TokensGranted() | TokensRefused() | TaskBudgetChanged():
            return tell_tokens(event)
        case TaskUnparked(reason=reason):
            return f"goes on: {reason}", ""
        case MemoryCeilingChanged(memory_mb=memory, before=before, actor=actor):
            return f"{actor} changed budget.memory_mb from {before} to {memory}", ""
        case MonitorWaitStarted(next_probe=next_probe):
            return f"watched; next probe {next_probe:%Y-%m-%d %H:%M:%S} UTC", ""
        case InfiniteLoopDetected(stage=stage, attempts=attempts):
            return f"infinite loop: {stage} attempted {attempts} times", "bad"
        case TaskRetried(actor=actor):
            return f"{actor} granted one more allowance", ""
        case TaskPriorityChanged(priority=priority, before=before, actor=actor):
            return f"{actor} made it {priority} instead of {before}", ""
        case TaskDone(pull_requests=pulls):
            named = ", ".join(f"{pull.repo} #{pull.number}" for pull in pulls)
            return "done" + (f": {named}" if named else ""), "good"
        case TaskCancelled():
            return cancellation(event), "warn"
        case TaskGivenUp(reason=reason):
            return f"given up: {reason}", "bad"
        case _:
            assert_never(event)


def _run(event: StageStarted | StageResumed | EffectIntended | EffectSettled) -> Line:
    match event:
        case StageStarted(stage=stage, attempt=attempt, replica=replica):
            return f"{stage} started, attempt {attempt}, on {replica}", ""
        case StageResumed(stage=stage, replica=replica, reason=reason):
            return f"{stage} resumed on {replica}: {reason}", "warn"
        case EffectIntended(kind=kind, target=target):
            return f"about to {kind.replace('_', ' ')}: {target}", ""
        case EffectSettled(outcome=outcome, reference=reference):
            return f"effect {outcome}: {reference}", "bad" if outcome == "refused" else ""
        case _:
            assert_never(event)


def _limit(event: ResourceExceeded | WallLimitNear) -> Line:
    match event:
        case ResourceExceeded(resource=resource, limit=limit, peak=peak):
            what, unit = event.command or event.stage, _UNITS[resource]
            setting = f" ({event.setting})" if event.setting else ""
            return f"{what} reached its limit of {limit:g} {unit}{setting} with {peak:g}", "warn"
        case WallLimitNear(stage=stage, limit_s=limit_s, elapsed_s=elapsed_s):
            return f"{stage} has taken {elapsed_s:.0f} of {limit_s:.0f} s ({event.setting})", "warn"
        case _:
            assert_never(event)


def _run_end(event: StageCompleted | StageFailed | StageCancelled) -> Line:
    match event:
        case StageCompleted(stage=stage, output=output, duration_s=duration):
            measured = "; ".join(_measured(verification) for verification in output.verifications)
            accepted = all(verification.accepted for verification in output.verifications)
            said = f"{stage} completed in {duration:.1f} s" + (f" — {measured}" if measured else "")
            return said, "good" if accepted else "bad"
        case StageFailed(stage=stage, failure=failure):
            return f"{stage} failed ({failure.kind}, {failure.code}): {failure.detail}", "bad"
        case StageCancelled(stage=stage, reason=reason):
            return f"{stage} stopped: {reason}", "warn"
        case _:
            assert_never(event)


def _measured(verification: RepoVerification) -> str:
    return (
        f"{verification.repo}: {verification.fail_to_pass_passed}/{verification.fail_to_pass_selected} to fix pass, "
        f"{verification.base_tests_held}/{verification.base_tests} of the base's tests hold"
        + ("" if verification.accepted else f": not accepted, {len(verification.problems)} problems")
    )


def _loop(event: LoopEvent) -> Line:
    match event:
        case LoopOpened(loop=loop, stage=stage, label=label):
            return f"loop {loop} opened after {stage}: {label}", "warn"
        case PlanDeltaRecorded(delta=delta):
            return f"new plan, loop {delta.loop}: {delta.different}", ""
        case StageRetryAdvised(stage=stage, after_s=after_s):
            return f"{stage} is run again in {after_s:g} s", ""
        case LoopClosed(loop=loop, stage=stage):
            return f"loop {loop} closed: {stage} passes", "good"
        case LoopExhausted(loop=loop, reason=reason):
            return f"loop {loop} exhausted: {reason}", "bad"
        case _:
            assert_never(event)
