"""What must hold of any record, whatever happened: pure functions over events in reading order, each naming its breaches.

They look at events by wire type and field, never at a service's own state: a fold that is wrong cannot hide here.
`breaches` is all that holds at any moment; `breaches_at_rest` adds what holds once nothing is under way.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import msgspec

from contracts.message import Recorded, Unknown, category_of
from libs.eventstore.hashing import as_written, canonical, event_hash

#: Slots before anybody changes the limit.
DEFAULT_LIMIT = 10
#: Classes of priority, the first served first.
CLASSES = ("urgent", "normal", "low")
#: Streams whose events belong to one task.
TASK_CATEGORIES = frozenset({"task", "run", "review", "loop", "incident", "workspace"})
#: Gates whose approval `done` needs, and those that mode `minimal` goes without.
GATES, REVIEW_GATES = frozenset(range(6)), frozenset({4, 5})
REQUESTS = ("stage_requested", "workspace_requested")
RUN_ENDS = frozenset({"stage_completed", "stage_failed", "stage_cancelled"})
TASK_ENDS = frozenset({"task_done", "task_cancelled", "task_given_up"})


def breaches(events: Sequence[Recorded], *, limit: int = DEFAULT_LIMIT) -> list[str]:
    """List what a record breaks at any moment: empty for a sound one."""
    checks = (
        versions_have_no_gap(events),
        chain_holds(events),
        slots_within_limit(events, limit),
        slots_go_in_turn(events),
        stages_run_only_in_slots(events),
        runs_are_numbered_once(events),
        one_pull_request(events),
        done_implies_proof(events),
        dependents_wait(events),
        simulation_is_marked(events),
        epochs_only_rise(events),
    )
    return [breach for check in checks for breach in check]


def breaches_at_rest(events: Sequence[Recorded], *, limit: int = DEFAULT_LIMIT) -> list[str]:
    """List what a record breaks once nothing is under way and no timer is due."""
    return [*breaches(events, limit=limit), *nothing_is_forgotten(events), *effects_are_settled(events)]


def versions_have_no_gap(events: Iterable[Recorded]) -> Iterator[str]:
    """Invariant 1: versions of a stream are 1, 2, 3 …, and no event id comes twice."""
    heads: Counter[str] = Counter()
    ids: set[str] = set()
    for event in events:
        heads[event.stream] += 1
        if event.version != heads[event.stream]:
            yield f"{event.stream} has version {event.version} where {heads[event.stream]} is due"
        if event.id in ids:
            yield f"event {event.id} is recorded twice"
        ids.add(event.id)


def chain_holds(events: Iterable[Recorded]) -> Iterator[str]:
    """Invariant 1: every event's hash is that of its content, behind the hash before it."""
    hashes: dict[str, str] = {}
    for event in events:
        if event.prev_hash != hashes.get(event.stream, ""):
            yield f"{event.stream} version {event.version} does not follow the event before it"
        event_ = event.event
        if isinstance(event_, Unknown):
            data = as_written(event_.data)
        elif event_.schema_version == event.schema_version:
            data = _plain(event_)
        else:
            # Brought forward: what was hashed is not here any more; `Store.verify` has it.
            hashes[event.stream] = event.hash
            continue
        computed = event_hash(
            id_=event.id,
            stream=event.stream,
            version=event.version,
            type_=event.type,
            schema_version=event.schema_version,
            data=canonical(data),
            meta=canonical(_plain(event.meta)),
            recorded_at=event.recorded_at,
            prev_hash=event.prev_hash,
        )
        if computed != event.hash:
            yield f"{event.stream} version {event.version} is not what was hashed"
        hashes[event.stream] = event.hash


def epochs_only_rise(events: Iterable[Recorded]) -> Iterator[str]:
    """Section 4: once something is written under a lease's next epoch, nothing is under the one before."""
    epochs: dict[str, int] = {}
    for event in events:
        name, _, epoch = event.meta.lease.rpartition(":")
        if name and int(epoch) < epochs.get(name, 0):
            yield f"{event.stream} version {event.version} is of {event.meta.lease}, after epoch {epochs[name]}"
        elif name:
            epochs[name] = int(epoch)


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


def slots_go_in_turn(events: Iterable[Recorded]) -> Iterator[str]:
    """Invariant 10, as far as there is a promise: no slot passes over a task that is ready and of a higher class, or of the
    same class and there before. So within a class nobody waits for more than those in front of it.
    """
    waiting: dict[str, tuple[int, set[str]]] = {}
    for event in events:
        fact: Any = event.event
        match event.type:
            case "task_enqueued":
                waiting[fact.task_id] = (CLASSES.index(fact.priority), set(fact.depends_on))
            case "task_dequeued":
                waiting.pop(fact.task_id, None)
            case "dependency_met":
                for _, needs in waiting.values():
                    needs.discard(fact.task_id)
            case "slot_granted":
                # In order of arrival, so the first of the best class is the one whose turn it is.
                ready = [(rank, task) for task, (rank, needs) in waiting.items() if not needs]
                turn = min(ready, key=lambda one: one[0], default=(0, ""))[1]
                if turn != fact.task_id:
                    yield f"{fact.task_id} got a slot at {event.position} before {turn or 'it was ready'}"
                waiting.pop(fact.task_id, None)


def stages_run_only_in_slots(events: Iterable[Recorded]) -> Iterator[str]:
    """Invariant 4: a run is live only while its task holds a slot; a task has one live run at most, and a workspace beside it."""
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
                if fact.task_id not in holders:
                    yield f"{fact.run_id} started without a slot"
                place = (fact.task_id, fact.stage == "workspace")
                if place in live:
                    yield f"{fact.run_id} started while {live[place]} runs"
                live[place] = fact.run_id
            case "stage_completed" | "stage_failed" | "stage_cancelled":
                place = (fact.task_id, fact.stage == "workspace")
                if live.get(place) == fact.run_id:
                    del live[place]


def runs_are_numbered_once(events: Iterable[Recorded]) -> Iterator[str]:
    """Attempts of a stage count up and are never reset; a run is asked for, started and ended at most once."""
    seen: Counter[tuple[str, str]] = Counter()
    attempts: dict[tuple[str, str], tuple[int, int]] = defaultdict(lambda: (0, 0))
    for event in events:
        fact: Any = event.event
        kind = "end" if event.type in RUN_ENDS else event.type
        if kind not in (*REQUESTS, "stage_started", "end"):
            continue
        seen[(fact.run_id, kind)] += 1
        if seen[(fact.run_id, kind)] > 1:
            yield f"{fact.run_id} has a second {event.type}"
        if kind in REQUESTS:
            before, now = attempts[(fact.task_id, fact.stage)], (fact.attempt, fact.retry)
            if now not in ((before[0] + 1, 0), (before[0], before[1] + 1)):
                yield f"{fact.run_id} comes after attempt {before[0]}, retry {before[1]}"
            attempts[(fact.task_id, fact.stage)] = now


def one_pull_request(events: Iterable[Recorded]) -> Iterator[str]:
    """Invariant 6: a task never has two open pull requests in one repository, and ends with exactly one in each."""
    opened: Counter[tuple[str, str]] = Counter()
    for event in events:
        fact: Any = event.event
        if event.type == "effect_settled" and fact.effect.startswith("pull_request:"):
            opened[(fact.task_id, fact.effect)] += {"done": 1, "reverted": -1}.get(fact.outcome, 0)
            if opened[(fact.task_id, fact.effect)] > 1:
                yield f"{fact.task_id} opened a second pull request for {fact.effect}"
        elif event.type == "task_done":
            for repo, count in Counter(pull.repo for pull in fact.pull_requests).items():
                if count > 1:
                    yield f"{fact.task_id} ended with {count} pull requests in {repo}"


def done_implies_proof(events: Iterable[Recorded]) -> Iterator[str]:
    """Invariant 8, from what the verifier and the gates themselves recorded, not from what the scheduler made of it."""
    specs: dict[str, Any] = {}
    receipts: dict[tuple[str, str], Any] = {}
    approvals: dict[str, dict[int, Any]] = defaultdict(dict)
    unreviewed: set[str] = set()
    for event in events:
        fact: Any = event.event
        match event.type:
            case "task_submitted":
                specs[fact.task_id] = fact.spec
            case "stage_requested" if fact.stage == "plan":
                approvals[fact.task_id].clear()
            case "stage_completed" if fact.stage == "verify":
                receipts.update({(fact.task_id, seen.repo): seen for seen in fact.output.verifications})
            case "stage_skipped" if fact.stage == "review":
                unreviewed.add(fact.task_id)
            case "gate_decided" if fact.verdict == "approve":
                approvals[fact.task_id][fact.gate] = fact.trees
            case "task_done" if not specs[fact.task_id].synthetic:
                needed = GATES - REVIEW_GATES if fact.task_id in unreviewed else GATES
                for gap in _unproven(fact, specs[fact.task_id], receipts, approvals[fact.task_id], needed):
                    yield f"{fact.task_id} is done though {gap}"


def _unproven(
    done: Any, spec: Any, receipts: Any, approved: dict[int, Any], needed: frozenset[int]
) -> Iterator[str]:
    for gate in sorted(needed - set(approved)):
        yield f"gate {gate} did not approve"
    pulls = {pull.repo: pull for pull in done.pull_requests}
    for repo in spec.repos:
        pull, receipt = pulls.get(repo.name), receipts.get((done.task_id, repo.name))
        if pull is None or receipt is None:
            yield f"{repo.name} has no pull request or no receipt"
            continue
        if receipt.tree != pull.tree or receipt.commit != pull.commit:
            yield f"the receipt of {repo.name} is not of the pull request's tree"
        if receipt.problems or receipt.tree == receipt.base_tree:
            yield f"the verifier did not accept the change of {repo.name}, or it is empty"
        ran = [one for one in receipt.commands if one.side == "change" and one.tree == pull.tree]
        if not any(one.passed for one in ran):
            yield f"no test of {repo.name} was seen passing on the pull request's tree"
        for gate in sorted((needed - {0}) & set(approved)):
            if approved[gate].get(repo.name) != pull.tree:
                yield f"gate {gate} judged another tree of {repo.name}"


def dependents_wait(events: Iterable[Recorded]) -> Iterator[str]:
    """Invariant 9: a task starts after what it depends on is done or in monitor."""
    needs: dict[str, tuple[str, ...]] = {}
    there: set[str] = set()
    for event in events:
        fact: Any = event.event
        match event.type:
            case "task_submitted":
                needs[fact.task_id] = fact.depends_on
            case "monitor_wait_started" | "task_done":
                there.add(fact.task_id)
            case "stage_started":
                for missing in set(needs.get(fact.task_id, ())) - there:
                    yield f"{fact.run_id} started before {missing} was done"


def simulation_is_marked(events: Iterable[Recorded]) -> Iterator[str]:
    """Simulated work is marked from its first event on, real work never is."""
    synthetic: dict[str, bool] = {}
    for event in events:
        fact: Any = event.event
        if event.type == "task_submitted":
            synthetic[fact.task_id] = fact.spec.synthetic
        if category_of(event.stream) in TASK_CATEGORIES:
            expected = synthetic.get(event.meta.correlation_id)
            if expected is None:
                yield f"{event.stream} version {event.version} belongs to no task"
            elif event.meta.synthetic != expected:
                yield f"{event.stream} version {event.version} ({event.type}) has the wrong mark of simulation"


def nothing_is_forgotten(events: Sequence[Recorded]) -> Iterator[str]:
    """Invariant 7: every task has ended, waits with a reason, an owner and a wake-up, or is queued for what waits."""
    last: dict[str, Recorded] = {}
    needs: dict[str, tuple[str, ...]] = {}
    holders: set[str] = set()
    queued: set[str] = set()
    for event in events:
        fact: Any = event.event
        if category_of(event.stream) == "task":
            last[fact.task_id] = event
            if event.type == "task_submitted":
                needs[fact.task_id] = fact.depends_on
        match event.type:
            case "task_enqueued":
                queued.add(fact.task_id)
            case "task_dequeued":
                queued.discard(fact.task_id)
            case "slot_granted":
                queued.discard(fact.task_id)
                holders.add(fact.task_id)
            case "slot_released":
                holders.discard(fact.task_id)
    ended = {task for task, event in last.items() if event.type in TASK_ENDS}
    for task, event in last.items():
        fact = event.event
        if task in holders:
            yield f"{task} holds a slot at rest, after {event.type}"
        elif task in ended or event.type == "monitor_wait_started":
            continue
        elif event.type == "task_parked":
            if not (fact.reason and fact.owner and fact.wake_up):
                yield f"{task} is parked without a reason, an owner or a wake-up"
        elif task not in queued or set(needs[task]) <= {
            one for one in ended if last[one].type == "task_done"
        }:
            yield f"{task} is forgotten after {event.type}"
        elif not any(last[one].type not in TASK_ENDS for one in needs[task] if one in last):
            yield f"{task} is queued for something that has ended and will never be there"


def effects_are_settled(events: Iterable[Recorded]) -> Iterator[str]:
    """Invariant 6: no run ends well, or cancelled, with an effect of which nobody knows what became."""
    unknown: dict[str, set[str]] = defaultdict(set)
    for event in events:
        fact: Any = event.event
        if event.type == "effect_intended":
            unknown[fact.run_id].add(fact.effect)
        elif event.type == "effect_settled":
            unknown[fact.run_id].discard(fact.effect)
        elif event.type in ("stage_completed", "stage_cancelled"):
            for effect in sorted(unknown[fact.run_id]):
                yield f"{fact.run_id} ended without knowing what became of {effect}"


def strangers(events: Iterable[Recorded], message_ids: Iterable[str]) -> Iterator[str]:
    """Invariant 3: the bus holds nothing that the record does not."""
    known = {event.id for event in events}
    for id_ in message_ids:
        if id_ not in known:
            yield f"the bus holds {id_!r}, the record does not"


def _plain(value: Any) -> Any:
    return msgspec.json.decode(msgspec.json.encode(value))
