"""Nothing twice: stages, decisions, gates, effects."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Iterator

from loadtest.checker.record import Record

REQUESTS = ("stage_requested", "workspace_requested", "withdrawal_requested")
RUN_ENDS = ("stage_completed", "stage_failed", "stage_cancelled")


def stages(record: Record) -> Iterator[str]:
    """Per (task, stage or workspace, attempt, retry): asked for once, started once, ended once, and nothing after the end."""
    asked: Counter[tuple[str, ...]] = Counter()
    seen: Counter[tuple[str, str]] = Counter()
    for row in record.of(*REQUESTS, "stage_started", *RUN_ENDS):
        run = row.data["run_id"]
        if row.type in REQUESTS:
            key = (row.data["task_id"], row.data["stage"], row.data["attempt"], row.data.get("retry", 0))
            asked[tuple(map(str, key))] += 1
            if asked[tuple(map(str, key))] > 1:
                yield f"{row.place}: attempt {key} is asked for again"
        kind = "end" if row.type in RUN_ENDS else "request" if row.type in REQUESTS else row.type
        seen[run, kind] += 1
        if seen[run, kind] > 1:
            yield f"{row.place}: {run} has a second {kind}"
        if kind != "request" and not seen[run, "request"]:
            yield f"{row.place}: {run} was never asked for"
        if kind == "end" and row.type != "stage_cancelled" and not seen[run, "stage_started"]:
            yield f"{row.place}: {run} ends without having started"
    for stream, rows in record.streams().items():
        if stream.startswith("run-") and any(row.type in RUN_ENDS for row in rows[:-1]):
            yield f"{stream} goes on after its end"


def decisions(record: Record) -> Iterator[str]:
    """No event was answered twice: nothing of one cause says the same thing in the same stream again."""
    seen: set[tuple[str, str, str, str]] = set()
    for row in record.events:
        cause = row.meta.get("causation_id", "")
        key = (cause, row.stream, row.type, json.dumps(row.data, sort_keys=True))
        if cause and key in seen:
            yield f"{row.place}: answers {cause} a second time"
        seen.add(key)


def gates(record: Record) -> Iterator[str]:
    """A review is asked for once, decided once, and its answer reaches the task once."""
    seen: Counter[tuple[str, str]] = Counter()
    for row in record.of("gate_requested", "gate_decided", "gate_answered"):
        key = (row.type, row.data["review_id"])
        seen[key] += 1
        if seen[key] > 1:
            yield f"{row.place}: {row.data['review_id']} has a second {row.type}"
        if row.type != "gate_requested" and not seen["gate_requested", row.data["review_id"]]:
            yield f"{row.place}: nobody asked for {row.data['review_id']}"


def ends(record: Record) -> Iterator[str]:
    """A task ends once; only a person's retry opens it again."""
    open_: dict[str, bool] = {}
    for row in record.events:
        if row.category != "task":
            continue
        if not open_.get(row.stream, True) and row.type != "task_retried":
            yield f"{row.place}: after the task's end"
        open_[row.stream] = row.type not in ("task_done", "task_cancelled", "task_given_up")


def effects(record: Record) -> Iterator[str]:
    """Every effect follows its intent, is settled once, and no (task, repository) has two open pull requests."""
    intended: set[tuple[str, str]] = set()
    settled: Counter[tuple[str, str]] = Counter()
    opened: dict[str, Counter[str]] = defaultdict(Counter)
    for row in record.of("effect_intended", "effect_settled"):
        key = (row.data["run_id"], row.data["effect"])
        if row.type == "effect_intended":
            if key in intended:
                yield f"{row.place}: {key[1]} is intended again"
            intended.add(key)
            continue
        if key not in intended and row.data["outcome"] != "reverted":
            yield f"{row.place}: {key[1]} has an outcome and no intent"
        settled[key] += row.data["outcome"] != "reverted"
        if settled[key] > 1:
            yield f"{row.place}: {key[1]} is settled a second time"
        if key[1].startswith("pull_request:"):
            opened[row.data["task_id"]][key[1]] += {"done": 1, "reverted": -1}.get(row.data["outcome"], 0)
            if opened[row.data["task_id"]][key[1]] > 1:
                yield f"{row.place}: a second pull request"
    numbers: dict[tuple[str, str], set[str]] = defaultdict(set)
    for row in record.of("task_done"):
        for pull in row.data["pull_requests"]:
            numbers[pull["repo_url"], str(pull["number"])].add(row.data["task_id"])
    for (repo, number), tasks in numbers.items():
        if len(tasks) > 1:
            yield f"pull request {number} of {repo} is claimed by {sorted(tasks)}"
