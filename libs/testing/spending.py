"""Invariant 5, of any record: spent <= reserved <= budget for every task, provider and hour, in the order it was read.

Every sum is made anew from the events of tasks and runs; what a ledger says is held against them, never believed.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from datetime import datetime, timedelta
from typing import Any

from contracts.message import Recorded

#: Tokens of an hour before anybody changes the ceiling.
HOUR_CEILING = 100_000
WINDOW = timedelta(hours=1)
RUN_ENDS = frozenset({"stage_completed", "stage_failed", "stage_cancelled"})


class _Ledger:
    """One ledger's grants and spending, in plain lists."""

    def __init__(self) -> None:
        self.ceilings: dict[str, int | None] = {"hour": HOUR_CEILING}
        #: By run: task, provider, tokens.
        self.live: dict[str, tuple[str, str, int]] = {}
        self.spent: list[tuple[datetime, str, int]] = []
        self.by_task: Counter[str] = Counter()

    def over(self, fact: Any, budgets: dict[str, int]) -> Iterator[str]:
        """Say what a grant, entered already, goes beyond. What an earlier grant saw leave the window is gone."""
        self.spent = [one for one in self.spent if one[0] > fact.at - WINDOW]
        for scope in ("hour", f"provider:{fact.provider}"):
            ceiling = self.ceilings.get(scope)
            used = sum(
                tokens for _, who, tokens in self.live.values() if scope in ("hour", f"provider:{who}")
            )
            used += sum(tokens for _, who, tokens in self.spent if scope in ("hour", f"provider:{who}"))
            if ceiling is not None and used > ceiling:
                yield f"{used} tokens of {scope} are used, the ceiling is {ceiling}"
        own = self.by_task[fact.task_id]
        own += sum(tokens for task, _, tokens in self.live.values() if task == fact.task_id)
        if own > budgets.get(fact.task_id, 0):
            yield f"{own} tokens of {fact.task_id} are used, its budget is {budgets.get(fact.task_id, 0)}"


def tokens_stay_within_budget(events: Iterable[Recorded]) -> Iterator[str]:
    """No grant goes beyond a ceiling in force, and an attempt is settled once, at what its run spent."""
    ledgers: dict[str, _Ledger] = defaultdict(_Ledger)
    budgets: dict[str, int] = {}
    ended: dict[str, int] = {}
    for event in events:
        fact: Any = event.event
        match event.type:
            case "task_submitted":
                budgets[fact.task_id] = fact.spec.budget.tokens
            case "task_budget_changed":
                budgets[fact.task_id] = fact.tokens
            case "ceiling_changed":
                ledgers[event.stream].ceilings[fact.scope] = fact.tokens
            case "grant_reserved" | "grant_raised":
                ledger = ledgers[event.stream]
                _, _, before = ledger.live.get(fact.run_id, ("", "", 0))
                if (event.type == "grant_raised") != (fact.run_id in ledger.live):
                    yield f"{event.type} of {fact.run_id} at {event.position} is out of turn"
                ledger.live[fact.run_id] = (fact.task_id, fact.provider, before + fact.tokens)
                yield from (f"at {event.position}, {what}" for what in ledger.over(fact, budgets))
            case "grant_settled":
                ledger = ledgers[event.stream]
                task, provider, reserved = ledger.live.pop(fact.run_id, ("", "", -1))
                if (fact.reserved, fact.spent) != (reserved, ended.get(fact.run_id)) or fact.spent > reserved:
                    yield (
                        f"{fact.run_id} is settled at {event.position} with {fact.spent} of {fact.reserved};"
                        f" it was granted {reserved} and spent {ended.get(fact.run_id)}"
                    )
                ledger.spent.append((fact.at, provider, fact.spent))
                ledger.by_task[task] += fact.spent
            case _ if event.type in RUN_ENDS:
                ended[fact.run_id] = fact.tokens_spent


def calls_stay_within_grants(events: Iterable[Recorded]) -> Iterator[str]:
    """A run calls within what it was granted, and its end counts a call of unknown outcome as what it might take."""
    granted: Counter[str] = Counter()
    entered: Counter[str] = Counter()
    calls: dict[str, dict[str, int]] = defaultdict(dict)
    spent: Counter[str] = Counter()
    settled: set[tuple[str, str]] = set()
    for event in events:
        fact: Any = event.event
        match event.type:
            case "stage_requested" if fact.tokens is not None:
                granted[fact.run_id] += fact.tokens.tokens
            case "tokens_granted":
                granted[fact.run_id] += fact.tokens
            case "grant_reserved" | "grant_raised":
                entered[fact.run_id] += fact.tokens
            case "call_reserved":
                if (fact.run_id, fact.call) in settled:
                    yield f"{fact.run_id} makes call {fact.call} again at {event.position}"
                spent[fact.run_id] += calls[fact.run_id].pop(fact.call, 0)
                calls[fact.run_id][fact.call] = fact.tokens
                used = spent[fact.run_id] + sum(calls[fact.run_id].values())
                if used > (most := min(granted[fact.run_id], entered[fact.run_id])):
                    yield f"{fact.run_id} has {used} tokens in calls; {most} are granted, and entered in a ledger"
            case "call_settled":
                if fact.tokens > calls[fact.run_id].pop(fact.call, -1):
                    yield f"call {fact.call} of {fact.run_id} took more than was reserved for it"
                spent[fact.run_id] += fact.tokens
                settled.add((fact.run_id, fact.call))
            case _ if event.type in RUN_ENDS:
                used = spent[fact.run_id] + sum(calls[fact.run_id].values())
                if fact.tokens_spent != used:
                    yield f"{fact.run_id} ended with {fact.tokens_spent} tokens spent, its calls say {used}"


def simulated_tokens_are_apart(events: Iterable[Recorded]) -> Iterator[str]:
    """Simulated work is in a ledger of its own, real work in the real one."""
    synthetic: dict[str, bool] = {}
    for event in events:
        fact: Any = event.event
        if event.type == "task_submitted":
            synthetic[fact.task_id] = fact.spec.synthetic
        elif event.stream.startswith("budget-"):
            simulated = event.stream == "budget-synthetic"
            task = getattr(fact, "task_id", "")
            if event.meta.synthetic != simulated or (task and synthetic.get(task) != simulated):
                yield f"{event.stream} version {event.version} ({event.type}) is in the wrong ledger"


def grants_are_settled(events: Iterable[Recorded]) -> Iterator[str]:
    """Once nothing is under way, no grant is live."""
    live: set[str] = set()
    for event in events:
        if event.type == "grant_reserved":
            live.add(event.event.run_id)  # type: ignore[union-attr]
        elif event.type == "grant_settled":
            live.discard(event.event.run_id)  # type: ignore[union-attr]
    yield from (f"the grant of {run} was never settled" for run in sorted(live))
