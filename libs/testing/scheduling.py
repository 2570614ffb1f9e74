"""What must hold of who runs and who waits: checks as those in `invariants`, which lists them all."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby
from typing import Any

from contracts.message import Recorded, category_of

#: Slots before anybody changes the limit.
DEFAULT_LIMIT = 10
TASK_ENDS = frozenset({"task_done", "task_cancelled", "task_given_up"})
#: Modes in which no task gets a slot; in the first of them no stage is asked for either.
SHUT = ("emergency-stop", "read-only")


def slots_within_limit(events: Iterable[Recorded], limit: int = DEFAULT_LIMIT) -> Iterator[str]:
    """Invariant 4: no grant goes beyond the limit in force, none to a task that holds a slot already."""
    holders: set[str] = set()
    for event in events:
        fact: Any = event.event
        match event.type:
            case "limit_changed":
                limit = fact.max_concurrent
            case "slot_granted":
                if fact.task_id in holders:
                    yield f"{fact.task_id} got a second slot at {event.position}"
                holders.add(fact.task_id)
                if len(holders) > limit:
                    yield f"{len(holders)} tasks hold slots at {event.position}, the limit is {limit}"
            case "slot_released":
                if fact.task_id not in holders:
                    yield f"{fact.task_id} gave back a slot at {event.position} that it did not have"
                holders.discard(fact.task_id)


class _Shut:
    """What keeps tasks from starting, as far as the events tell."""

    def __init__(self) -> None:
        self.mode = "normal"
        self.holds: set[str] = set()
        self._paused: set[str] = set()
        self._queues: dict[str, str] = {}

    def see(self, event: Recorded) -> None:
        """Take note of an event."""
        fact: Any = event.event
        match event.type:
            case "mode_changed":
                self.mode = fact.mode
            case "admission_held":
                self.holds.add(fact.cause)
            case "admission_released":
                self.holds.discard(fact.cause)
            case "queue_paused":
                self._paused.add(fact.queue)
            case "queue_resumed":
                self._paused.discard(fact.queue)
            case "task_enqueued":
                self._queues[fact.task_id] = fact.queue

    def to(self, task_id: str) -> str:
        """Say why a task may not start; empty if it may."""
        if self.mode in SHUT:
            return f"mode is {self.mode}"
        if self.holds:
            return f"admission is held by {', '.join(sorted(self.holds))}"
        return "its queue is paused" if self._queues.get(task_id) in self._paused else ""


def nothing_starts_unallowed(events: Iterable[Recorded]) -> Iterator[str]:
    """No slot is given while the mode forbids it, admission is held or the task's queue is paused; and after an emergency
    stop no stage is asked for until it is lifted.
    """
    shut = _Shut()
    for event in events:
        fact: Any = event.event
        shut.see(event)
        if event.type == "slot_granted" and (why := shut.to(fact.task_id)):
            yield f"{fact.task_id} got a slot at {event.position} though {why}"
        elif event.type in ("stage_requested", "workspace_requested") and shut.mode == SHUT[0]:
            yield f"{fact.run_id} was asked for at {event.position} after an emergency stop"


def stages_run_only_in_slots(events: Iterable[Recorded]) -> Iterator[str]:
    """Invariant 4: a run is live only while its task holds a slot, a task has one at most, and a workspace beside it.

    A withdrawal executes nothing and needs no slot; it begins when all else has ended, and the task ends after it.
    """
    holders: set[str] = set()
    live: dict[tuple[str, bool], str] = {}
    for event in events:
        fact: Any = event.event
        match event.type:
            case "slot_granted":
                holders.add(fact.task_id)
            case "slot_released":
                holders.discard(fact.task_id)
                for one in ((fact.task_id, False), (fact.task_id, True)):
                    if one in live:
                        yield f"{fact.task_id} gave its slot back while {live[one]} runs"
            case "stage_started":
                if fact.task_id not in holders and fact.stage != "withdrawal":
                    yield f"{fact.run_id} started without a slot"
                place = (fact.task_id, fact.stage == "workspace")
                if place in live:
                    yield f"{fact.run_id} started while {live[place]} runs"
                if fact.stage == "implement" and (fact.task_id, True) in live:
                    yield f"{fact.run_id} started before its workspace was ready"
                live[place] = fact.run_id
            case "stage_completed" | "stage_failed" | "stage_cancelled":
                place = (fact.task_id, fact.stage == "workspace")
                if live.get(place) == fact.run_id:
                    del live[place]


def files_go_from_hand_to_hand(events: Iterable[Recorded]) -> Iterator[str]:
    """Invariant 9: no two tasks hold a common file of one branch, and none changes planned files that it does not hold, or
    holds any after its end.
    """
    held: dict[str, set[tuple[str, str, str]]] = {}
    planned: dict[str, bool] = {}
    ended: set[str] = set()
    for event in events:
        fact: Any = event.event
        match event.type:
            case "files_claimed":
                files = {(one.repo_url, one.base, path) for one in fact.files for path in one.paths}
                for other in sorted(one for one in held if one != fact.task_id and held[one] & files):
                    yield f"{fact.task_id} and {other} hold the same files at {event.position}"
                held[fact.task_id] = files
            case "files_awaited" | "files_released":
                held.pop(fact.task_id, None)
            case "stage_requested" if fact.stage == "implement" and fact.input.spec.engine != "noop":
                plan = fact.input.plan
                planned[fact.run_id] = plan is not None and any(step.files for step in plan.repos)
            case "stage_started" if planned.get(fact.run_id) and fact.task_id not in held:
                yield f"{fact.run_id} started without holding the files of its plan"
            case "task_retried":
                ended.discard(fact.task_id)
            case _ if event.type in TASK_ENDS:
                ended.add(fact.task_id)
    for task_id in sorted(ended & held.keys()):
        yield f"{task_id} has ended and still holds files"


def dependents_wait(events: Iterable[Recorded]) -> Iterator[str]:
    """Invariant 9: a task starts while what it depends on is done or in monitor, and on a tree that has it.

    The events of one append are judged together: across its streams their order says nothing.
    """
    specs: dict[str, Any] = {}
    pulls: dict[str, Any] = {}
    there: set[str] = set()
    for _, together in groupby(events, key=lambda event: event.xid):
        starting: list[tuple[str, Any]] = []
        for event in together:
            fact: Any = event.event
            match event.type:
                case "task_submitted":
                    specs[fact.task_id] = fact
                case "stage_completed" if fact.output.pull_requests:
                    pulls[fact.task_id] = fact.output.pull_requests
                case "monitor_wait_started" | "task_done":
                    there.add(fact.task_id)
                case "task_cancelled" | "task_given_up":
                    there.discard(fact.task_id)
                case "task_admitted":
                    starting.append((fact.task_id, fact.bases))
        for task_id, bases in starting:
            for other in specs[task_id].depends_on:
                if other not in there:
                    yield f"{task_id} starts before {other} is done"
                yield from _missing(other, pulls.get(other, ()), bases, specs[task_id])


def _missing(other: str, pulls: Sequence[Any], bases: Sequence[Any], submitted: Any) -> Iterator[str]:
    """Say which of a dependency's changes a task's tree lacks."""
    urls = {repo.url for repo in submitted.spec.repos}
    based = {(base.task_id, base.repo_url, base.commit) for base in bases}
    for pull in pulls:
        if pull.repo_url in urls and (other, pull.repo_url, pull.commit) not in based:
            yield f"{submitted.task_id} starts on a tree without {other}"


def nothing_is_forgotten(events: Sequence[Recorded]) -> Iterator[str]:
    """Invariant 7: at rest every task has ended, or waits for what has not happened: parked with a reason, an owner and a
    wake-up, between probes, or queued for what it depends on, or until somebody lets tasks start again.
    """
    last: dict[str, Recorded] = {}
    submitted: dict[str, Any] = {}
    holders, queued = set[str](), set[str]()
    shut = _Shut()
    for event in events:
        fact: Any = event.event
        shut.see(event)
        # Its class changes, and it goes on waiting for what it waited for.
        if category_of(event.stream) == "task" and event.type != "task_priority_changed":
            last[fact.task_id] = event
        match event.type:
            case "task_submitted":
                submitted[fact.task_id] = fact
            case "task_enqueued":
                queued.add(fact.task_id)
            case "task_dequeued":
                queued.discard(fact.task_id)
            case "slot_granted":
                queued.discard(fact.task_id)
                holders.add(fact.task_id)
            case "slot_released":
                holders.discard(fact.task_id)
    there = {task for task, event in last.items() if event.type in ("task_done", "monitor_wait_started")}
    for task, event in last.items():
        needs = set(submitted[task].depends_on)
        if task in holders:
            yield f"{task} holds a slot at rest, after {event.type}"
        elif event.type in TASK_ENDS or event.type == "monitor_wait_started":
            continue
        elif event.type == "task_parked":
            yield from _parked_for_nothing(event, shut.mode, needs <= there)
        elif task not in queued or (needs <= there and not shut.to(task)):
            yield f"{task} is forgotten after {event.type}"
        elif all(last[one].type in TASK_ENDS for one in needs - there) and not shut.to(task):
            yield f"{task} is queued for something that has ended and will never be there"


def _parked_for_nothing(event: Recorded, mode: str, dependencies_there: bool) -> Iterator[str]:
    fact: Any = event.event
    if not (fact.reason and fact.owner and fact.wake_up):
        yield f"{fact.task_id} is parked without a reason, an owner or a wake-up"
    over = {
        "emergency_stop": mode != SHUT[0],
        "mode": mode == "normal",
        "dependency_broken": dependencies_there,
    }
    if over.get(fact.code):
        yield f"{fact.task_id} is still parked for {fact.code}, which is over"
