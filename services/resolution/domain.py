"""Failures in, ways out: an ordered list of rules over one task's loops."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from typing import TypeAlias, assert_never

import msgspec

from contracts.gate import GateDecided
from contracts.receipt import CommandReceipt
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
from contracts.stage import StageCompleted
from contracts.task import (
    Activity,
    Engine,
    Failure,
    IncidentReport,
    PlanDelta,
    Reproduction,
    ResolutionAwaited,
    StageInput,
)
from libs.eventsourcing.decider import Decider

#: Loops that may fail one after the other before a task is given up; architecture section 6.
MAX_LOOPS = 3
#: Runs again of one attempt after a failure that may pass, and the first wait in seconds; each next one doubles.
MAX_RETRIES, FIRST_WAIT_S = 3, 2.0
#: Engines that can come up with something else after a failure. `patch` has one candidate: what the task carries.
HAS_CANDIDATES: frozenset[Engine] = frozenset({"noop", "repair", "command"})


class Resolve(msgspec.Struct, frozen=True, kw_only=True):
    """A stage failed or a gate refused."""

    awaited: ResolutionAwaited


class Passed(msgspec.Struct, frozen=True, kw_only=True):
    """A stage was completed, or a gate approved."""

    task_id: str
    stage: Activity | None = None
    gate: int | None = None


LoopCommand: TypeAlias = Resolve | Passed


class Loops(msgspec.Struct, frozen=True, kw_only=True):
    """What was tried on one task."""

    count: int = 0
    #: What failed last and has not passed since.
    open_stage: Activity | None = None
    open_gates: tuple[int, ...] = ()
    signatures: frozenset[str] = frozenset()
    #: Trees of changes that failed.
    trees: frozenset[str] = frozenset()
    incidents: int = 0
    #: Loops that had been opened when what failed passed last, or when the last incident was opened. Only those
    #: since then have failed: a loop that is overcome is none. The scheduler bounds the attempts in all.
    written_off: int = 0


def decide(command: LoopCommand, state: Loops) -> Iterator[LoopEvent]:
    """Decide how a failed task goes on, or close its loop."""
    match command:
        case Resolve(awaited=awaited):
            yield from _resolve(awaited, state)
        case Passed(stage=stage, gate=gate):
            if state.open_stage is None:
                return
            by_gate = gate is not None and state.open_gates and gate == max(state.open_gates)
            by_stage = stage is not None and not state.open_gates and stage == state.open_stage
            if by_gate or by_stage:
                yield LoopClosed(task_id=command.task_id, loop=state.count, stage=state.open_stage)


def _resolve(awaited: ResolutionAwaited, state: Loops) -> Iterator[LoopEvent]:
    failure = awaited.failure
    if failure.kind in ("transient", "environmental") and awaited.retry < MAX_RETRIES:
        yield StageRetryAdvised(
            task_id=awaited.task_id,
            run_id=awaited.cause,
            stage=awaited.stage,
            retry=awaited.retry + 1,
            after_s=max(FIRST_WAIT_S * 2**awaited.retry, failure.retry_after_s),
            retry_after_s=failure.retry_after_s,
            number=awaited.number,
        )
        return
    loop, seen = state.count + 1, signature(awaited)
    trees = tuple(change.tree for change in awaited.subject.changes)
    yield LoopOpened(
        task_id=awaited.task_id,
        loop=loop,
        stage=awaited.stage,
        gates=awaited.gates,
        kind=failure.kind,
        label=failure.code,
        fingerprint=fingerprint(failure),
        signature=seen,
        findings=failure.findings,
        trees=trees,
    )
    if reason := _hopeless(awaited, state, seen):
        yield LoopExhausted(
            task_id=awaited.task_id,
            loop=loop,
            reason=f"{failure.detail} ({reason})",
            incident_id=f"{awaited.task_id}-{state.incidents + 1}",
        )
    else:
        yield PlanDeltaRecorded(
            task_id=awaited.task_id,
            delta=PlanDelta(
                loop=loop,
                different=f"another candidate of engine {awaited.subject.spec.engine}, in answer to {failure.code}",
                answers=tuple(dict.fromkeys(finding.code for finding in failure.findings)) or (failure.code,),
                signature=seen,
                avoid=tuple(sorted(state.trees.union(trees))),
            ),
            number=awaited.number,
        )


def _hopeless(awaited: ResolutionAwaited, state: Loops, seen: str) -> str:
    """Say why no further attempt makes sense; empty when one does."""
    failure, engine = awaited.failure, awaited.subject.spec.engine
    if failure.kind == "impossible":
        return "it cannot succeed by being tried again"
    if failure.kind in ("transient", "environmental"):
        return f"it did not pass in {MAX_RETRIES} more tries"
    if engine not in HAS_CANDIDATES:
        return f"engine {engine} has no other candidate"
    if seen in state.signatures:
        return "the same attempt has failed in the same way before"
    if state.count - state.written_off >= MAX_LOOPS:
        return f"{MAX_LOOPS} loops have failed"
    return ""


def signature(awaited: ResolutionAwaited) -> str:
    """Name an attempt by its content: plan, tree, delta and what failed. Equal signatures are the same attempt."""
    subject = awaited.subject
    parts = [
        awaited.stage,
        awaited.failure.code,
        subject.plan.digest if subject.plan else "",
        str(subject.delta.loop if subject.delta else 0),
        *(change.tree for change in subject.changes),
        *sorted(finding.detail for finding in awaited.failure.findings),
    ]
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()


def fingerprint(failure: Failure) -> str:
    """Name a cause independently of the task."""
    return hashlib.sha256(f"{failure.kind}\0{failure.code}\0{failure.detail}".encode()).hexdigest()


def evolve(state: Loops, event: LoopEvent) -> Loops:
    """Fold one event into the task's loops."""
    match event:
        case LoopOpened():
            return msgspec.structs.replace(
                state,
                count=event.loop,
                open_stage=event.stage,
                open_gates=event.gates,
                signatures=state.signatures | {event.signature},
                trees=state.trees.union(event.trees),
            )
        case LoopClosed():
            return msgspec.structs.replace(state, open_stage=None, open_gates=(), written_off=event.loop)
        case LoopExhausted():
            # A person's retry grants new loops and may repeat what failed: the world may have changed meanwhile.
            return msgspec.structs.replace(
                state,
                incidents=state.incidents + 1,
                written_off=event.loop,
                signatures=frozenset(),
                trees=frozenset(),
            )
        case PlanDeltaRecorded() | StageRetryAdvised():
            return state
        case _:
            assert_never(event)


loop: Decider[LoopCommand, Loops] = Decider("loop", Loops(), decide, evolve)


class OpenIncident(msgspec.Struct, frozen=True, kw_only=True):
    """A task is given up."""

    incident_id: str
    awaited: ResolutionAwaited
    reason: str
    #: Version of `awaited` in the task's stream.
    upto: int = 0


class WriteIncident(msgspec.Struct, frozen=True, kw_only=True):
    """The MRFC directory is there, and this is what its script gave; a commit is made if the branch can be."""

    path: str
    reproduction: Reproduction
    repo_url: str = ""
    branch: str = ""
    commit: str = ""
    parent: str = ""
    unpublished: str = ""


class FileIncident(msgspec.Struct, frozen=True, kw_only=True):
    """The branch is in the forge at this address, or it is known why not."""

    forge: str = ""
    unpublished: str = ""


IncidentCommand: TypeAlias = OpenIncident | WriteIncident | FileIncident

#: Findings that a report names; the incident itself has all of them.
MAX_FINDINGS = 20


class Incident(msgspec.Struct, frozen=True, kw_only=True):
    """One incident."""

    opened: IncidentOpened | None = None
    written: IncidentWritten | None = None
    filed: bool = False


def decide_incident(command: IncidentCommand, state: Incident) -> Iterator[IncidentEvent]:
    """Open an incident once, write it once, file it once."""
    match command:
        case OpenIncident(awaited=awaited):
            if state.opened is None:
                yield _opened(command, awaited)
        case WriteIncident():
            if state.opened is not None and state.written is None:
                yield IncidentWritten(
                    incident_id=state.opened.incident_id,
                    task_id=state.opened.task_id,
                    **msgspec.structs.asdict(command),
                )
        case FileIncident():
            if state.opened is not None and state.written is not None and not state.filed:
                yield _filed(command, state.opened, state.written)


def _filed(command: FileIncident, opened: IncidentOpened, written: IncidentWritten) -> IncidentFiled:
    published = bool(command.forge) and not command.unpublished
    return IncidentFiled(
        incident_id=opened.incident_id,
        task_id=opened.task_id,
        path=written.path,
        reproducible=written.reproduction.gave == "as_recorded",
        reason=opened.reason,
        number=opened.number,
        report=IncidentReport(
            incident_id=opened.incident_id,
            stage=opened.stage,
            code=opened.label,
            reason=opened.reason,
            findings=opened.findings[:MAX_FINDINGS],
            path=written.path,
            forge=command.forge if published else "",
            branch=written.branch if published else "",
            commit=written.commit if published else "",
            unpublished=command.unpublished or written.unpublished,
            reproduction=written.reproduction,
        ),
    )


def _opened(command: OpenIncident, awaited: ResolutionAwaited) -> IncidentOpened:
    subject, failure = awaited.subject, awaited.failure
    receipts = telling(awaited)
    outputs = tuple(receipt.output for _, receipt in receipts if receipt.output)
    return IncidentOpened(
        incident_id=command.incident_id,
        task_id=awaited.task_id,
        title=subject.spec.title,
        stage=awaited.stage,
        reason=command.reason,
        label=failure.code,
        findings=failure.findings,
        repos=subject.spec.repos,
        bases=subject.specification.bases if subject.specification else {},
        changes=subject.changes,
        commands=failed_commands(subject),
        restored={seen.repo: seen.facts.protected_touched for seen in subject.verifications},
        patch=subject.spec.patch,
        evidence=(awaited.evidence or tuple(seen.diff for seen in subject.verifications if seen.diff))
        + outputs,
        repo=failure.repo,
        engine=subject.spec.engine,
        kind=failure.kind,
        budget=subject.spec.budget,
        receipts=receipts,
        upto=command.upto,
        number=awaited.number,
    )


def telling(awaited: ResolutionAwaited) -> tuple[tuple[str, CommandReceipt], ...]:
    """List the receipts by which the failure can be seen: of what failed on the change, or was wrong on the base."""
    codes = {finding.code for finding in awaited.failure.findings}
    found = []
    for seen in awaited.subject.verifications:
        for receipt in seen.commands:
            if receipt.side == "change":
                tells = receipt.exit_code != 0 or receipt.failed > 0
            elif receipt.purpose == "setup":
                tells = receipt.exit_code != 0
            else:
                passes = receipt.purpose == "fail_to_pass" and receipt.exit_code == 0
                tells = passes and "not_failing_on_base" in codes
            if tells:
                found.append((seen.repo, receipt))
    return tuple(found)


def failed_commands(subject: StageInput) -> tuple[tuple[str, str], ...]:
    """List what did not pass on the change; all acceptance commands and tests if no exit code tells."""
    failed = [
        (seen.repo, receipt.command)
        for seen in subject.verifications
        for receipt in seen.commands
        if receipt.side == "change" and (receipt.exit_code != 0 or receipt.failed)
    ]
    if not failed:
        failed = [(repo.name, command) for repo in subject.spec.repos for command in repo.fail_to_pass]
        failed += [(repo.name, repo.verify.test) for repo in subject.spec.repos if repo.verify.test]
    return tuple(dict.fromkeys(failed))


def evolve_incident(state: Incident, event: IncidentEvent) -> Incident:
    """Fold one event into the incident."""
    match event:
        case IncidentOpened():
            return Incident(opened=event)
        case IncidentWritten():
            return msgspec.structs.replace(state, written=event)
        case IncidentFiled():
            return msgspec.structs.replace(state, filed=True)
        case _:
            assert_never(event)


incident: Decider[IncidentCommand, Incident] = Decider(
    "incident", Incident(), decide_incident, evolve_incident
)


def passed(event: StageCompleted | GateDecided) -> Passed | None:
    """Read news as something that passed; None for a gate that did not."""
    if isinstance(event, StageCompleted):
        return Passed(task_id=event.task_id, stage=event.stage)
    return Passed(task_id=event.task_id, gate=event.gate) if event.verdict == "approve" else None
