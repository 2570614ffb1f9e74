"""What deserves an alert: an ordered table. A rule is a name, a severity and one or two short functions.

An alert is named by its rule and the place in the record of the event that made it fire, so the same news
makes the same alert however often it comes. A condition that can end has `clears`: the clearing event follows
the one that raised it directly in its stream (their deciders alternate), which is how the alert to be
resolved is known.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from typing import TypeAlias

import msgspec

from contracts.alert import Severity
from contracts.budget import BudgetWarned
from contracts.gate import GateDecided
from contracts.message import Recorded
from contracts.mode import ModeChanged
from contracts.stage import WallLimitNear
from contracts.stall import AdmissionFlows, AdmissionStalled
from contracts.task import (
    InfiniteLoopDetected,
    StageRequested,
    TaskCancelled,
    TaskGivenUp,
    TaskParked,
    TaskRetried,
    TaskUnparked,
)
from contracts.workspace import DiskPressureCleared, DiskPressureRaised
from services.alerting.domain.alert import AlertCommand, Raise, Resolve

#: Everything that a rule looks at; the handler's annotation, so also the subscription.
Watched: TypeAlias = (
    InfiniteLoopDetected
    | GateDecided
    | DiskPressureRaised
    | DiskPressureCleared
    | ModeChanged
    | StageRequested
    | TaskGivenUp
    | TaskParked
    | TaskUnparked
    | TaskRetried
    | TaskCancelled
    | WallLimitNear
    | AdmissionStalled
    | AdmissionFlows
    | BudgetWarned
)
#: Rounds of one gate without a quorum; the scheduler parks the task then.
QUORUM_ROUNDS = 3
#: The attempt of a stage that is a warning; architecture section 6.
WARNING_ATTEMPT = 3

#: The sink that wakes people.
PAGER = "pager"
#: Characters; reasons quote commands and their output.
LONGEST_SUMMARY = 500

#: Says what happened, in a sentence for people; None where the rule is not concerned.
Question: TypeAlias = Callable[[Watched], str | None]


def _loops(event: Watched) -> str | None:
    match event:
        case InfiniteLoopDetected(task_id=task_id, stage=stage, attempts=attempts):
            return f"task {task_id} goes round in circles: {stage} was attempted {attempts} times"
    return None


def _lacks_quorum(event: Watched) -> str | None:
    match event:
        case GateDecided(verdict="abstain", round=rounds) if rounds >= QUORUM_ROUNDS:
            return f"gate {event.gate} reached no quorum on task {event.task_id} in {rounds} rounds"
    return None


def _lacks_proof(event: Watched) -> str | None:
    match event:
        case TaskParked(code="proof_missing", task_id=task_id, reason=reason):
            return f"task {task_id} came to its end without proof and was parked: {reason}"
    return None


def _fills_disk(event: Watched) -> str | None:
    match event:
        case DiskPressureRaised(volume=volume, used_percent=used, free_bytes=free):
            return f"volume {volume} is {used:.0f} % full, {free // 2**20} MiB are free: evidence pauses"
    return None


def _frees_disk(event: Watched) -> str | None:
    match event:
        case DiskPressureCleared(volume=volume, used_percent=used):
            return f"volume {volume} is {used:.0f} % full"
    return None


def _stops(event: Watched) -> str | None:
    match event:
        case ModeChanged(mode="emergency-stop"):
            return f"emergency stop by {event.actor}: {event.reason or 'no reason given'}"
    return None


def _goes_on(event: Watched) -> str | None:
    match event:
        case ModeChanged(before="emergency-stop"):
            return f"{event.actor} changed the mode to {event.mode}"
    return None


def _tries_again(event: Watched) -> str | None:
    match event:
        case StageRequested(task_id=task_id, stage=stage, attempt=attempt, retry=0):
            if attempt == WARNING_ATTEMPT:
                return f"task {task_id} is at attempt {attempt} of {stage}"
    return None


def _gives_up(event: Watched) -> str | None:
    match event:
        case TaskGivenUp(task_id=task_id, incident_id=incident_id, reason=reason):
            return f"task {task_id} was given up, see incident {incident_id}: {reason}"
    return None


def _overruns(event: Watched) -> str | None:
    match event:
        case WallLimitNear(task_id=task_id, stage=stage, limit_s=limit_s, elapsed_s=elapsed_s):
            return (
                f"{stage} of task {task_id} has taken {elapsed_s:.0f} of {limit_s:.0f} s and is stopped then"
            )
    return None


def _stalls(event: Watched) -> str | None:
    match event:
        case AdmissionStalled(lasting_s=lasting, ready=ready, running=running, limit=limit, reason=reason):
            told = f"{running} of {limit} slots are taken and {ready} tasks are ready"
            return f"nothing has started for {lasting:.0f} s although {told}: {reason}"
    return None


def _flows(event: Watched) -> str | None:
    match event:
        case AdmissionFlows():
            return "tasks start again, or nobody is ready"
    return None


def _spends_much(event: Watched) -> str | None:
    match event:
        case BudgetWarned(percent=80, scope=scope, used=used, ceiling=ceiling):
            return f"{scope}: {used:,} of {ceiling:,} tokens are spent or reserved"
    return None


def _spends_all(event: Watched) -> str | None:
    match event:
        case BudgetWarned(percent=100, scope=scope, used=used, ceiling=ceiling):
            return f"{scope}: {used:,} of {ceiling:,} tokens are spent or reserved, and tasks wait for more"
    return None


def _spent_its_own(event: Watched) -> str | None:
    match event:
        case TaskParked(code="tokens", owner="operator", task_id=task_id, reason=reason, wake_up=wake_up):
            return f"task {task_id} waits for somebody to grant it tokens: {reason}; {wake_up}"
    return None


def _never(_: Watched) -> str | None:
    return None


class Rule(msgspec.Struct, frozen=True, kw_only=True):
    """One row of the table."""

    name: str
    severity: Severity
    fires: Question
    clears: Question = _never


RULES: tuple[Rule, ...] = (
    Rule(name="infinite_loop", severity="critical", fires=_loops),
    Rule(name="gate_quorum", severity="critical", fires=_lacks_quorum),
    Rule(name="proof_missing", severity="critical", fires=_lacks_proof),
    Rule(name="disk_pressure", severity="critical", fires=_fills_disk, clears=_frees_disk),
    Rule(name="emergency_stop", severity="critical", fires=_stops, clears=_goes_on),
    Rule(name="admission_stalled", severity="critical", fires=_stalls, clears=_flows),
    Rule(name="stage_overruns", severity="warning", fires=_overruns),
    Rule(name="third_attempt", severity="warning", fires=_tries_again),
    Rule(name="task_given_up", severity="warning", fires=_gives_up),
    Rule(name="tokens_run_short", severity="warning", fires=_spends_much),
    Rule(name="tokens_used_up", severity="critical", fires=_spends_all),
    Rule(name="task_budget_spent", severity="warning", fires=_spent_its_own),
)


def told_of(severity: Severity, sinks: tuple[str, ...]) -> tuple[str, ...]:
    """Leave out who is not told of an alert: the pager wakes people, so only for what is critical."""
    return tuple(sink for sink in sinks if severity == "critical" or sink != PAGER)


def judge(news: Recorded, sinks: tuple[str, ...]) -> Iterator[AlertCommand]:
    """Say what the rules make of an event; simulated work concerns nobody."""
    event = news.event
    if news.meta.synthetic or not isinstance(event, Watched):
        return
    for rule in RULES:
        if summary := rule.fires(event):
            yield Raise(
                alert_id=alert_id(rule.name, news.stream, news.version),
                rule=rule.name,
                severity=rule.severity,
                summary=summary[:LONGEST_SUMMARY],
                event_id=news.id,
                task_id=getattr(event, "task_id", ""),
                sinks=told_of(rule.severity, sinks),
            )
        if reason := rule.clears(event):
            yield Resolve(alert_id=alert_id(rule.name, news.stream, news.version - 1), reason=reason)


def alert_id(rule: str, stream: str, version: int) -> str:
    """Name the alert that a rule raises about one event."""
    digest = hashlib.sha256(f"{rule} {stream} {version}".encode()).hexdigest()
    return f"{rule}-{digest[:16]}"
