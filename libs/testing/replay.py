"""Folds recorded streams with today's code: `python -m libs.testing.replay FILE...`.

A golden file holds streams as a release once recorded them, the hash of the state after every event, and each stream's
last state in full. Its first line names the services whose deciders fold it, so nothing concrete is imported here:

    {"format":"autopilot-golden","version":1,"folded_by":["services.scheduler.app", …]}
    {"event":{"stream":"task-…","version":1,…},"state":"<SHA-256>"}     one for each event, in reading order
    {"stream":"task-…","version":21,"state":{…}}                        one for each stream

A state that differs is told with the first event after which it does. Where the difference is meant, `--accept` writes
the states anew, and their review is the review of that file. New files: `--record FILE --task ID EXPORT`, from what
`autopilot journal export` wrote.
"""

from __future__ import annotations

import argparse
import asyncio
import hashlib
import importlib
import json
import sys
from collections.abc import Iterable, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, Literal

import msgspec

from contracts.message import Meta, Registry, Unknown, category_of
from libs.eventsourcing.decider import Decider
from libs.eventstore.row import Row, decode_row
from libs.journal.archive import Archive
from libs.runtime.service import Service


class Header(msgspec.Struct, frozen=True, kw_only=True):
    """The first line."""

    format: Literal["autopilot-golden"] = "autopilot-golden"
    version: Literal[1] = 1
    #: Modules that hold a `service`, as `python -m libs.runtime` takes them.
    folded_by: tuple[str, ...]


class Event(msgspec.Struct, frozen=True, kw_only=True):
    """A recorded event, as much of it as a fold may see."""

    id: str
    stream: str
    version: int
    type: str
    schema_version: int
    recorded_at: datetime
    data: msgspec.Raw
    meta: msgspec.Raw


class Step(msgspec.Struct, frozen=True, kw_only=True):
    """An event and the hash of its stream's state after it."""

    event: Event
    state: str


class End(msgspec.Struct, frozen=True, kw_only=True):
    """Where a stream ends."""

    stream: str
    version: int
    state: Any


class Golden(msgspec.Struct, frozen=True, kw_only=True):
    """A file."""

    header: Header
    steps: tuple[Step, ...]
    ends: tuple[End, ...]


class Folds:
    """Today's deciders by stream category."""

    def __init__(self, modules: Iterable[str]) -> None:
        self._deciders: dict[str, tuple[Decider[Any, Any], Registry]] = {}
        for name in modules:
            service: Service = importlib.import_module(name).service
            for decider in service.owns:
                self._deciders[decider.category] = decider, service.registry

    def folds(self, stream: str) -> bool:
        """Tell whether a stream has a decider here."""
        return category_of(stream) in self._deciders

    def fold(self, events: Iterable[Event]) -> tuple[list[Step], list[End]]:
        """Fold streams that may be interleaved. Raises ValueError for an event that is not what it was."""
        states: dict[str, tuple[int, Any]] = {}
        steps: list[Step] = []
        for event in events:
            decider, registry = self._deciders[category_of(event.stream)]
            version, state = states.get(event.stream, (0, decider.initial))
            if event.version != version + 1:
                raise ValueError(f"{event.stream} has no version {version + 1}")
            recorded = decode_row(_row(event), registry)
            if isinstance(recorded.event, Unknown):
                raise ValueError(
                    f"{event.stream} version {event.version}: {event.type} is not known any more"
                )
            state = decider.fold((recorded.event,), state)
            states[event.stream] = event.version, state
            steps.append(Step(event=event, state=hashlib.sha256(encoded(state)).hexdigest()))
        ends = [
            End(stream=stream, version=version, state=msgspec.json.decode(encoded(state)))
            for stream, (version, state) in states.items()
        ]
        return steps, ends


def encoded(state: Any) -> bytes:
    """Write a state so that equal states are equal bytes, whatever the order of their sets."""
    plain = msgspec.to_builtins(state, str_keys=True, order="deterministic")
    return msgspec.json.encode(plain, order="deterministic")


def read(path: Path) -> Golden:
    """Read a golden file. Raises `msgspec.MsgspecError`, OSError."""
    first, *lines = path.read_bytes().splitlines()
    steps, ends = [], []
    for line in lines:
        if line.startswith(b'{"event"'):
            steps.append(msgspec.json.decode(line, type=Step))
        else:
            ends.append(msgspec.json.decode(line, type=End))
    header = msgspec.json.decode(first, type=Header)
    return Golden(header=header, steps=tuple(steps), ends=tuple(ends))


def write(path: Path, header: Header, steps: Sequence[Step], ends: Sequence[End]) -> None:
    """Write a golden file."""
    path.write_bytes(b"".join(msgspec.json.encode(one) + b"\n" for one in (header, *steps, *ends)))


def differences(golden: Golden) -> list[str]:
    """Fold with today's code and tell what differs from what the file says; empty is as it should be."""
    try:
        steps, ends = Folds(golden.header.folded_by).fold(step.event for step in golden.steps)
    except (ValueError, msgspec.ValidationError) as error:
        return [str(error), *getattr(error, "__notes__", ())]
    told: list[str] = []
    seen: set[str] = set()
    for before, after in zip(golden.steps, steps, strict=True):
        event = before.event
        if before.state != after.state and event.stream not in seen:
            seen.add(event.stream)
            told.append(f"{event.stream}: another state after version {event.version} ({event.type})")
    known = {end.stream: end for end in golden.ends}
    if known.keys() != {end.stream for end in ends}:
        told.append("the file does not end every stream that it has")
    for end in ends:
        was = known.get(end.stream)
        if was is not None and (was.version, was.state) != (end.version, end.state):
            told.append(f"{end.stream} at version {end.version}: {_compared(was.state, end.state)}")
    return told


def record(
    archive: Path, task_id: str, modules: Sequence[str], replaced: Iterable[tuple[str, str]]
) -> Golden:
    """Make a golden file's content from the streams of a task in an exported record.

    `replaced` are texts that stand for something of the machine (a directory), and what to write instead.
    Raises ValueError where the record has no such task, ArchiveError.
    """
    folds, header = Folds(modules), Header(folded_by=tuple(modules))
    steps, ends = folds.fold(asyncio.run(_events_of(archive, task_id, folds, tuple(replaced))))
    if not steps:
        raise ValueError(f"{archive} holds no events of task {task_id}")
    return Golden(header=header, steps=tuple(steps), ends=tuple(ends))


async def _events_of(
    path: Path, task_id: str, folds: Folds, replaced: Sequence[tuple[str, str]]
) -> list[Event]:
    """Read the streams that are all about the task: of one that tasks share, most events would be missing."""
    found: list[Event] = []
    shared: set[str] = set()
    with Archive(path) as archive:
        async for kept in archive.events():
            row = kept.row
            if msgspec.json.decode(row.meta, type=Meta).correlation_id != task_id:
                shared.add(row.stream)
            elif folds.folds(row.stream):
                found.append(_event(row, replaced))
    return [event for event in found if event.stream not in shared]


def _event(row: Row, replaced: Sequence[tuple[str, str]]) -> Event:
    data, meta = row.data.decode(), row.meta.decode()
    for old, new in replaced:
        data, meta = data.replace(old, new), meta.replace(old, new)
    return Event(
        id=row.id,
        stream=row.stream,
        version=row.version,
        type=row.type,
        schema_version=row.schema_version,
        recorded_at=row.recorded_at,
        data=msgspec.Raw(data.encode()),
        meta=msgspec.Raw(meta.encode()),
    )


def _row(event: Event) -> Row:
    return Row(
        id=event.id,
        stream=event.stream,
        version=event.version,
        type=event.type,
        schema_version=event.schema_version,
        data=bytes(event.data),
        meta=bytes(event.meta),
        recorded_at=event.recorded_at,
        prev_hash="",
        hash="",
    )


def _compared(before: Any, after: Any, place: str = "state") -> str:
    """Name the first place in which two JSON values differ."""
    if isinstance(before, dict) and isinstance(after, dict):
        for key in sorted({*before, *after}):
            if key not in after:
                return f"{place}.{key} is gone"
            if key not in before:
                return f"{place}.{key} is new"
            if before[key] != after[key]:
                return _compared(before[key], after[key], f"{place}.{key}")
    if isinstance(before, list) and isinstance(after, list) and len(before) == len(after):
        for at, (one, other) in enumerate(zip(before, after, strict=True)):
            if one != other:
                return _compared(one, other, f"{place}[{at}]")
    return f"{place} was {_short(before)}, is {_short(after)}"


def _short(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 80 else f"{text[:79]}…"


def main(arguments: Sequence[str]) -> int:
    """Run the command; 0 where every file folds to its states, 1 where one does not, 2 for bad usage."""
    parser = argparse.ArgumentParser(
        "python -m libs.testing.replay", description=(__doc__ or "").splitlines()[0]
    )
    parser.add_argument(
        "files", nargs="+", type=Path, metavar="FILE", help="golden files, or an export to record from"
    )
    parser.add_argument("--accept", action="store_true", help="write today's states into the files")
    parser.add_argument("--record", type=Path, metavar="NEW", help="write a golden file from an export")
    parser.add_argument("--task", default="", help="the task whose streams are recorded")
    parser.add_argument(
        "--folded-by", action="append", metavar="MODULE", help="a service that folds; may be repeated"
    )
    parser.add_argument(
        "--replace", action="append", default=[], metavar="OLD=NEW", help="a text of this machine"
    )
    given = parser.parse_args(arguments)
    if given.record is not None:
        if not given.task or not given.folded_by or len(given.files) != 1:
            parser.error("--record needs --task, --folded-by and one exported file")
        replaced = [(old, new) for old, _, new in (text.partition("=") for text in given.replace)]
        golden = record(given.files[0], given.task, given.folded_by, replaced)
        write(given.record, golden.header, golden.steps, golden.ends)
        print(f"{given.record}: {len(golden.steps)} events of {len(golden.ends)} streams")
        return 0
    wrong = 0
    for path in given.files:
        golden = read(path)
        if given.accept:
            folds = Folds(golden.header.folded_by)
            write(path, golden.header, *folds.fold(step.event for step in golden.steps))
        found = differences(read(path))
        wrong += bool(found)
        print(
            f"{path}: {len(golden.steps)} events of {len(golden.ends)} streams, {'DIFFERENT' if found else 'ok'}"
        )
        for one in found:
            print(f"  {one}")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
