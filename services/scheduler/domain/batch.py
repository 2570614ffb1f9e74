"""What is checked of tasks that come together: each by itself, and how they depend on each other."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from graphlib import CycleError, TopologicalSorter
from typing import Any

import msgspec

from contracts.batch import BatchSpec
from contracts.task import TaskSpec
from services.scheduler.domain.identity import TASK_ID
from services.scheduler.domain.reading import SHOWN, read
from services.scheduler.domain.submission import content_faults, with_engine

#: Tasks outside of a batch that it may depend on: each is looked up.
MAX_OUTSIDE = 1_000
#: Cycles that are told at once; whoever breaks these is told the next.
MAX_CYCLES = 10
_WITHIN = re.compile(r"^tasks\[(\d+)\]\.?(.*)$", re.DOTALL)


class Fault(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One thing that is wrong with one task of a batch."""

    #: Its place among the tasks, counted from 0; None for the batch as a whole.
    task: int | None = None
    key: str = ""
    #: Within the task; empty for the task as a whole.
    field: str
    detail: str


def read_batch(data: Any, agent: bool) -> tuple[BatchSpec | None, list[Fault]]:
    """Read a decoded body; return the batch, None if it cannot be read, and all that is wrong without the record.

    `agent` tells whether this installation has a program for engine `command`.
    """
    batch, wrong = read(data, BatchSpec)
    if batch is not None:
        specs = tuple(with_engine(spec, agent) for spec in batch.tasks)
        return msgspec.structs.replace(batch, tasks=specs), faults(specs)
    found = []
    for field, detail in wrong:
        if inner := _WITHIN.match(field):
            item = data["tasks"][int(inner[1])]
            key = item.get("key") if isinstance(item, dict) else ""
            shown = key[:SHOWN] if isinstance(key, str) else ""
            found.append(Fault(task=int(inner[1]), key=shown, field=inner[2], detail=detail))
        else:
            found.append(Fault(field=field, detail=detail))
    if all(fault.task is not None for fault in found):
        # Those that can be read are looked at as well: nobody wants to be told one half today and the other tomorrow.
        for place, item in enumerate(data["tasks"]):
            spec, _ = read(item, TaskSpec)
            found += [] if spec is None else _contents(place, with_engine(spec, agent))
    return None, found


def faults(specs: Sequence[TaskSpec]) -> list[Fault]:
    """List all that can be said without the record: contents, keys that are given twice, cycles."""
    contents = [fault for place, spec in enumerate(specs) for fault in _contents(place, spec)]
    return [*contents, *_doubled(specs), *_cycles(specs)]


def _contents(place: int, spec: TaskSpec) -> list[Fault]:
    return [
        Fault(task=place, key=spec.key or "", field=field, detail=detail)
        for field, detail in content_faults(spec)
    ]


def outside(specs: Sequence[TaskSpec]) -> set[str]:
    """Name the tasks that have to be looked up: what is depended on and no key here, and keys that look like ids."""
    keys = {spec.key for spec in specs if spec.key}
    named = {dependency for spec in specs for dependency in spec.depends_on}
    return (named - keys) | {key for key in keys if TASK_ID.match(key)}


def reference_faults(specs: Sequence[TaskSpec], existing: Collection[str]) -> list[Fault]:
    """List dependencies that lead nowhere or to two tasks. `existing` are those of `outside` that are tasks."""
    keys = {spec.key for spec in specs if spec.key}
    found = []
    for place, spec in enumerate(specs):
        key = spec.key or ""
        if key in existing:
            detail = f"{key!r} is the id of an existing task; a key must not be mistaken for one"
            found.append(Fault(task=place, key=key, field="key", detail=detail))
        for number, dependency in enumerate(spec.depends_on):
            if dependency not in keys and dependency not in existing:
                detail = f"there is no task {dependency!r}, neither a key in this batch nor an id"
                found.append(Fault(task=place, key=key, field=f"depends_on[{number}]", detail=detail))
    return found


def resolved(specs: Sequence[TaskSpec], ids: Sequence[str]) -> list[tuple[str, ...]]:
    """Return what each task depends on as ids, each once."""
    by_key = {spec.key: task_id for spec, task_id in zip(specs, ids, strict=True) if spec.key}
    return [
        tuple(dict.fromkeys(by_key.get(dependency, dependency) for dependency in spec.depends_on))
        for spec in specs
    ]


def _doubled(specs: Sequence[TaskSpec]) -> Iterator[Fault]:
    counts = Counter(spec.key for spec in specs if spec.key)
    for place, spec in enumerate(specs):
        if spec.key and counts[spec.key] > 1:
            detail = f"{spec.key!r} names {counts[spec.key]} tasks"
            yield Fault(task=place, key=spec.key, field="key", detail=detail)


def _cycles(specs: Sequence[TaskSpec]) -> Iterator[Fault]:
    """Name cycles as `a -> b -> a`, where a depends on b; no task is in two of those that are named."""
    places = {spec.key: place for place, spec in enumerate(specs) if spec.key}
    graph = {
        key: [dependency for dependency in specs[place].depends_on if dependency in places]
        for key, place in places.items()
    }
    for _ in range(MAX_CYCLES):
        try:
            TopologicalSorter(graph).prepare()
            return
        except CycleError as error:
            # What is depended on comes first there.
            cycle: list[str] = error.args[1][::-1]
        first = min(places[key] for key in cycle)
        start = cycle.index(specs[first].key or "")
        path = [*cycle[start:-1], *cycle[:start], cycle[start]]
        detail = f"dependency cycle {' -> '.join(path)}"
        yield Fault(task=first, key=path[0], field="depends_on", detail=detail)
        graph = {
            key: [one for one in needs if one not in cycle]
            for key, needs in graph.items()
            if key not in cycle
        }
