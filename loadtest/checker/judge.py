"""All rules, by name: what a sound record passes at any moment, and what it passes at rest besides."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from loadtest.checker import chain, fencing, files, once, rest, slots, starts, tokens
from loadtest.checker.record import Record

Rule = Callable[[Record], Iterator[str]]

ALWAYS: dict[str, Rule] = {
    "versions": chain.versions,
    "hash chain": chain.chain,
    "heads": chain.heads,
    "epochs": fencing.epochs,
    "holders": fencing.holders,
    "stages once": once.stages,
    "decisions once": once.decisions,
    "gates once": once.gates,
    "ends once": once.ends,
    "effects once": once.effects,
    "slots": slots.slots,
    "live runs": slots.live_runs,
    "starts allowed": starts.allowed,
    "dependencies": starts.dependencies,
    "bounds": starts.bounds,
    "files": files.files,
    "tokens": tokens.ledger,
    "calls": tokens.calls,
    "inbox true": rest.inbox_is_true,
    "cursors true": rest.cursors_are_true,
}
AT_REST: dict[str, Rule] = {
    "outbox empty": rest.outbox,
    "effects settled": rest.effects_are_settled,
    "incidents filed": rest.incidents,
    "timers": rest.timers,
    "grants settled": tokens.settled,
}


@dataclass(frozen=True)
class Breach:
    """One thing that must not be."""

    rule: str
    detail: str

    def __str__(self) -> str:
        return f"{self.rule}: {self.detail}"


def judge(record: Record) -> list[Breach]:
    """List what a record breaks at any moment."""
    return [Breach(name, detail) for name, rule in ALWAYS.items() for detail in rule(record)]


def judge_at_rest(
    record: Record, *, accepted: Iterable[str] = (), topology: str | None = None
) -> list[Breach]:
    """List what it breaks once nothing is under way.

    `accepted` are the ids that the API promised to carry, `topology` is the text of `docs/topology.txt`.
    """
    found = judge(record)
    found += [Breach(name, detail) for name, rule in AT_REST.items() for detail in rule(record)]
    found += [Breach("tasks ended", detail) for detail in rest.tasks(record, accepted)]
    if topology is not None:
        filters, followers = rest.filters_of(topology), rest.followers_of(topology)
        found += [Breach("inbox complete", detail) for detail in rest.inbox_is_complete(record, filters)]
        found += [Breach("followers done", detail) for detail in rest.followers_are_done(record, followers)]
    return found
