"""What must hold of any record, whatever happened: pure functions over events in reading order, each naming its breaches.

They look at events by wire type and field, never at a service's own state: a fold that is wrong cannot hide here.
`breaches` is all that holds at any moment; `breaches_at_rest` adds what holds once nothing is under way.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, TypeAlias

import msgspec

from contracts.message import Recorded, Unknown, category_of
from libs.eventstore.hashing import as_written, canonical, event_hash
from libs.testing import scheduling, spending, turns

#: Streams whose events belong to one task.
TASK_CATEGORIES = frozenset({"task", "run", "review", "loop", "incident", "workspace"})
#: Gates whose approval `done` needs, and those that mode `minimal` goes without.
GATES, REVIEW_GATES = frozenset(range(6)), frozenset({4, 5})
REQUESTS = ("stage_requested", "workspace_requested", "withdrawal_requested")
RUN_ENDS = frozenset({"stage_completed", "stage_failed", "stage_cancelled"})

Check: TypeAlias = Callable[[Sequence[Recorded]], Iterator[str]]


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


#: What holds at any moment.
ALWAYS: tuple[Check, ...] = (
    versions_have_no_gap,
    chain_holds,
    scheduling.slots_within_limit,
    turns.slots_go_in_turn,
    scheduling.nothing_starts_unallowed,
    scheduling.stages_run_only_in_slots,
    scheduling.dependents_wait,
    scheduling.files_go_from_hand_to_hand,
    runs_are_numbered_once,
    spending.tokens_stay_within_budget,
    spending.calls_stay_within_grants,
    spending.simulated_tokens_are_apart,
    one_pull_request,
    done_implies_proof,
    simulation_is_marked,
    epochs_only_rise,
)
#: What holds besides once nothing is under way and no timer is due.
AT_REST: tuple[Check, ...] = (
    scheduling.nothing_is_forgotten,
    effects_are_settled,
    spending.grants_are_settled,
)


def breaches(events: Sequence[Recorded]) -> list[str]:
    """List what a record breaks at any moment: empty for a sound one."""
    return [breach for check in ALWAYS for breach in check(events)]


def breaches_at_rest(events: Sequence[Recorded]) -> list[str]:
    """List what a record breaks once nothing is under way and no timer is due."""
    return [*breaches(events), *(breach for check in AT_REST for breach in check(events))]
