"""Invariant 5: spent <= reserved <= budget for every task, provider and hour, and for every run's own calls."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from datetime import datetime, timedelta

from loadtest.checker.once import RUN_ENDS
from loadtest.checker.record import Record, Row

#: Tokens of an hour before anybody changes the ceiling; architecture section 6.
HOUR_CEILING = 100_000
HOUR = timedelta(hours=1)


def ledger(record: Record) -> Iterator[str]:
    """At every grant, what is granted and what the last hour spent is within each ceiling and within the task's budget."""
    budgets: dict[str, int] = {}
    ceilings: dict[tuple[str, str], int | None] = {}
    grants: dict[str, dict[str, Row]] = defaultdict(dict)
    extra: dict[str, int] = defaultdict(int)
    settled: dict[str, list[Row]] = defaultdict(list)
    spent: dict[str, int] = defaultdict(int)
    for row in record.of(
        *("task_submitted", "task_budget_changed", "ceiling_changed"),
        *("grant_reserved", "grant_raised", "grant_settled"),
    ):
        data, name = row.data, row.stream
        match row.type:
            case "task_submitted":
                budgets[data["task_id"]] = data["spec"].get("budget", {}).get("tokens", 10_000)
            case "task_budget_changed":
                budgets[data["task_id"]] = data["tokens"]
            case "ceiling_changed":
                ceilings[name, data["scope"]] = data["tokens"]
            case "grant_settled":
                granted = grants[name].pop(data["run_id"], None)
                tokens = extra.pop(data["run_id"], 0) + (granted.data["tokens"] if granted else 0)
                if granted is None or data["reserved"] != tokens or data["spent"] > tokens:
                    yield f"{row.place}: {data['spent']} of {data['reserved']}, and {tokens} were granted"
                settled[name].append(row)
                spent[data["task_id"]] += data["spent"]
            case _:
                if row.type == "grant_raised":
                    extra[data["run_id"]] += data["tokens"]
                elif data["run_id"] in grants[name]:
                    yield f"{row.place}: {data['run_id']} has a grant already"
                else:
                    grants[name][data["run_id"]] = row
                live = list(grants[name].values())
                own = spent[data["task_id"]] + _granted(live, extra, "task_id", data["task_id"])
                if own > budgets.get(data["task_id"], 0):
                    yield f"{row.place}: {own} tokens, the task's budget is {budgets.get(data['task_id'])}"
                # What an earlier grant saw leave the window does not come back when a clock is set back.
                since = datetime.fromisoformat(data["at"]) - HOUR
                settled[name] = [
                    one for one in settled[name] if datetime.fromisoformat(one.data["at"]) > since
                ]
                everybody = _granted(live, extra) + sum(one.data["spent"] for one in settled[name])
                here = _granted(live, extra, "provider", data["provider"]) + sum(
                    one.data["spent"] for one in settled[name] if one.data["provider"] == data["provider"]
                )
                for scope, used, default in (
                    ("hour", everybody, HOUR_CEILING),
                    (f"provider:{data['provider']}", here, None),
                ):
                    ceiling = ceilings.get((name, scope), default)
                    if ceiling is not None and used > ceiling:
                        yield f"{row.place}: {used} tokens of {scope}, the ceiling is {ceiling}"


def _granted(live: list[Row], extra: dict[str, int], field: str = "", value: str = "") -> int:
    chosen = [row for row in live if not field or row.data[field] == value]
    return sum(row.data["tokens"] + extra.get(row.data["run_id"], 0) for row in chosen)


def calls(record: Record) -> Iterator[str]:
    """A run's calls fit into its grant; its end and its settlement count an open call as what was reserved for it."""
    granted: dict[str, int] = defaultdict(int)
    entered: dict[str, int] = defaultdict(int)
    open_calls: dict[str, dict[str, int]] = defaultdict(dict)
    used: dict[str, int] = defaultdict(int)
    ends: dict[str, int] = {}
    for row in record.of(
        *("stage_requested", "tokens_granted", "grant_reserved", "grant_raised"),
        *("call_reserved", "call_settled", "grant_settled", *RUN_ENDS),
    ):
        data, run = row.data, row.data["run_id"]
        match row.type:
            case "stage_requested":
                granted[run] += (data.get("tokens") or {}).get("tokens", 0)
            case "tokens_granted":
                granted[run] += data["tokens"]
            case "grant_reserved" | "grant_raised":
                entered[run] += data["tokens"]
            case "call_reserved":
                used[run] += open_calls[run].pop(data["call"], 0)
                open_calls[run][data["call"]] = data["tokens"]
                most = min(granted[run], entered[run])
                if (total := used[run] + sum(open_calls[run].values())) > most:
                    yield f"{row.place}: {total} tokens in calls, {most} are granted, and entered in a ledger"
            case "call_settled":
                if data["tokens"] > open_calls[run].pop(data["call"], -1):
                    yield f"{row.place}: more than was reserved for the call"
                used[run] += data["tokens"]
            case "grant_settled":
                if ends.get(run) != data["spent"]:
                    yield f"{row.place}: {data['spent']} are settled, the run's end says {ends.get(run)}"
            case _:
                ends[run] = data.get("tokens_spent", 0)
                if (total := used[run] + sum(open_calls[run].values())) != ends[run]:
                    yield f"{row.place}: {ends[run]} tokens, the calls make {total}"


def settled(record: Record) -> Iterator[str]:
    """At rest no grant is live."""
    done = {row.data["run_id"] for row in record.of("grant_settled")}
    for row in record.of("grant_reserved"):
        if row.data["run_id"] not in done:
            yield f"{row.place}: it was never settled"
