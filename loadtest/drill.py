"""Kills one part of a real stack with -9 while it has work in hand, and compares the demo's outcomes.

`python -m loadtest.drill [--target PART…] [--tasks KEY…] [--times 5] [--seed 1] [--json] [--markdown FILE]`. For each
part it starts a stack of its own, and for each time submits the demo's tasks, or those named, waits a random while, sees
in the record that the part has work in hand, kills it, and waits for the end. A part that answers within milliseconds is
stopped (SIGSTOP) first, so that work piles up before it. Exit status: 0 when every outcome equals that of the
undisturbed run.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import random
import signal
import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec

from autopilot.cli import demo, show
from autopilot.cli.client import Client
from autopilot.cli.sending import send
from autopilot.cli.watch import Watch
from autopilot.stack import secrets
from autopilot.stack.config import OWNER_ROLE, StackConfig
from autopilot.stack.status import read
from contracts.catalogue import registry
from contracts.message import Recorded
from libs.eventstore.postgres import PostgresStore
from libs.eventstore.store import Cursor
from libs.testing.invariants import versions_have_no_gap
from loadtest.inhand import BY_PART
from loadtest.ownstack import own_stack

PARTS = (*BY_PART, "dashboard")
#: Parts whose work in hand lasts long enough to be seen without stopping them.
SLOW = {"stage-runner", "cleanup", "nats", "postgres"}
#: Seconds within which a part becomes ready, and within which it gets work while tasks are under way.
READY_S, WORK_S = 40.0, 600.0
#: Moments drawn until one meets work in hand; some parts get their last work early in the demo.
LATE = 5
#: Seconds between looks at the record.
LOOK_S = 0.01

Outcomes = dict[str, tuple[str, str | None]]


class Kill(msgspec.Struct, frozen=True, kw_only=True):
    """One kill and what came of it."""

    part: str
    after_s: float
    #: What the record showed when the signal was sent; empty if nothing did.
    in_hand: str
    #: From the kill to the first event that the part (for servers: anybody) recorded.
    recovered_s: float | None
    same_outcomes: bool
    differences: tuple[str, ...] = ()


def main() -> int:
    """Run the drill and report."""
    options = _options()
    chance = random.Random(options.seed)  # noqa: S311 - a seed makes a drill repeatable
    keys: list[str] = options.tasks
    expected, duration = told(options.against, keys) if options.against else undisturbed(keys)
    print(f"undisturbed: {duration:.0f} s, {expected}", file=sys.stderr)
    if wrong := unpromised(expected):
        print(f"the undisturbed run itself did not end as promised: {'; '.join(wrong)}", file=sys.stderr)
        return 1
    kills: list[Kill] = []
    # What is stopped here, until it has work in hand, is not to be ended as hung.
    os.environ["AUTOPILOT_HUNG_AFTER_S"] = "0"
    for part in options.target or PARTS:
        with own_stack() as config:
            client = Client(config)
            for _ in range(options.times):
                kills.append(_one(config, client, part, chance, 0.7 * duration, expected))
    if options.json:
        show.as_json(msgspec.to_builtins(kills))
    text = table(kills)
    if options.markdown:
        options.markdown.write_text(text)
    if not options.json:
        print(text)
    return 0 if all(kill.same_outcomes and kill.in_hand for kill in kills) else 1


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m loadtest.drill", description=__doc__.splitlines()[0])
    parser.add_argument("--target", nargs="+", choices=PARTS, default=[])
    parser.add_argument("--tasks", nargs="+", choices=demo.promised(), default=list(demo.promised()))
    parser.add_argument("--times", type=int, default=5)
    parser.add_argument("--against", type=Path, help="What an undisturbed `autopilot demo --json` printed.")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--markdown", type=Path)
    return parser.parse_args()


def undisturbed(keys: Sequence[str]) -> tuple[Outcomes, float]:
    """Run these of the demo's tasks once without a kill; return their outcomes and how long it took."""
    with own_stack() as config, tempfile.TemporaryDirectory(prefix="autopilot-drill-") as scratch:
        client = Client(config)
        began = time.monotonic()
        ids = _submit(client, keys, Path(scratch))
        final = Watch(client, ids).run(quiet=True)
        duration = time.monotonic() - began
        for one in final:
            print(f"{one['id']}: {one['phase']} {one.get('reason', '')}", file=sys.stderr)
        return _outcomes(keys, final), duration


def told(file: Path, keys: Sequence[str]) -> tuple[Outcomes, float]:
    """Read outcomes and duration of an undisturbed run of these tasks from the output of `autopilot demo --json`."""
    rows = [row for row in json.loads(file.read_text()) if row["key"] in keys]
    outcomes = {row["key"]: (row["outcome"], row["tree"]) for row in rows}
    return outcomes, max(row["seconds"] for row in rows)


def unpromised(outcomes: Outcomes) -> list[str]:
    """Compare with what the demo promises: a drill that is measured by a failed run would prove nothing."""
    return [
        f"{key} is {outcomes[key][0]}, not {one['outcome']}"
        for key, one in demo.promised().items()
        if key in outcomes and outcomes[key][0] != one["outcome"]
    ]


def _submit(client: Client, keys: Sequence[str], scratch: Path) -> list[str]:
    return send(client, demo.tasks(keys, scratch))


def _outcomes(keys: Sequence[str], final: Sequence[dict[str, Any]]) -> Outcomes:
    """Take what must not depend on a crash: the phase, and the tree of the one pull request."""
    found: Outcomes = {}
    for key, one in zip(keys, final, strict=True):
        trees = [pull["tree"] for pull in one.get("pull_requests", ())]
        found[key] = (one["phase"], ",".join(trees) or None)
    return found


def _one(
    config: StackConfig,
    client: Client,
    part: str,
    chance: random.Random,
    longest_s: float,
    expected: Outcomes,
) -> Kill:
    """Kill once with work in hand; a moment that came too late for any is drawn again, earlier."""
    for _ in range(LATE):
        kill = _round(config, client, part, chance.uniform(0.0, longest_s), expected)
        print(f"{part}: {kill}", file=sys.stderr)
        if kill.in_hand or not kill.same_outcomes:
            break
        longest_s = kill.after_s
    return kill


def _round(config: StackConfig, client: Client, part: str, after_s: float, expected: Outcomes) -> Kill:
    with tempfile.TemporaryDirectory(prefix="autopilot-drill-") as scratch:
        keys = list(expected)
        ids = _submit(client, keys, Path(scratch))
        in_hand, killed_at = asyncio.run(_kill(config, part, ids, after_s))
        final = Watch(client, ids).run(quiet=True)
    outcomes = _outcomes(keys, final)
    reasons = {key: one.get("reason", "") for key, one in zip(keys, final, strict=True)}
    recovered, wrong = asyncio.run(_afterwards(config, part, ids, killed_at))
    wrong += [
        f"{key}: {outcomes[key]} instead of {expected[key]} ({reasons[key]})"
        for key in expected
        if outcomes[key] != expected[key]
    ]
    return Kill(
        part=part,
        after_s=round(after_s, 1),
        in_hand=in_hand,
        recovered_s=recovered,
        same_outcomes=not wrong,
        differences=tuple(wrong),
    )


async def _kill(config: StackConfig, part: str, ids: list[str], after_s: float) -> tuple[str, float]:
    """Wait, see work in hand, kill; return what was seen and when."""
    store = await _record(config)
    try:
        await asyncio.sleep(after_s)
        pid = _pid(config, part)
        if part not in SLOW:
            os.kill(pid, signal.SIGSTOP)
        deadline = time.monotonic() + WORK_S
        in_hand = ""
        while not in_hand and time.monotonic() < deadline:
            events = await events_of(store, ids)
            in_hand = await _in_hand(store, part, events)
            if not in_hand:
                if _all_ended(events, ids):
                    break
                await asyncio.sleep(LOOK_S)
        os.kill(pid, signal.SIGKILL)
        return in_hand, time.time()
    finally:
        await store.close()


async def _in_hand(store: PostgresStore, part: str, events: Sequence[Recorded]) -> str:
    if part != "dashboard":
        return BY_PART[part](events)
    newest = {event.stream: event.version for event in events}
    for stream, version in newest.items():
        if await store.handled("dashboard-project", stream) < version:
            return f"{stream} not shown up to version {version}"
    return ""


def _all_ended(events: Sequence[Recorded], ids: Sequence[str]) -> bool:
    return {event.stream for event in events if getattr(event.event, "ends", False)} >= {
        f"task-{task_id}" for task_id in ids
    }


async def _afterwards(
    config: StackConfig, part: str, ids: list[str], killed_at: float
) -> tuple[float | None, list[str]]:
    """Measure the recovery, and look for what must never be there twice."""
    store = await _record(config)
    try:
        return afterwards(await events_of(store, ids), part, ids, killed_at)
    finally:
        await store.close()


def afterwards(
    events: Sequence[Recorded], part: str, ids: Sequence[str], killed_at: float
) -> tuple[float | None, list[str]]:
    """Tell after how many seconds the part was at work again, and what is in the record that must not be."""
    mine = [
        event
        for event in events
        if event.recorded_at.timestamp() > killed_at
        and part in (event.meta.service, "nats", "postgres", "dashboard")
    ]
    recovered = round(min(event.recorded_at.timestamp() for event in mine) - killed_at, 2) if mine else None
    wrong = []
    for task_id in ids:
        ends = [
            event
            for event in events
            if event.stream == f"task-{task_id}" and getattr(event.event, "ends", False)
        ]
        if len(ends) != 1:
            wrong.append(f"{task_id} ended {len(ends)} times")
    # The pool of slots is shared with earlier rounds; every other stream belongs to one task.
    wrong += versions_have_no_gap(event for event in events if event.stream != "admission-main")
    return recovered, wrong


async def events_of(store: PostgresStore, ids: Sequence[str]) -> list[Recorded]:
    """Read everything recorded about some tasks, in reading order."""
    found: list[Recorded] = []
    after = Cursor()
    while page := await store.read_all(after, limit=5_000):
        found += [event for event in page if event.meta.correlation_id in ids]
        after = Cursor(xid=page[-1].xid, position=page[-1].position)
    return found


async def _record(config: StackConfig) -> PostgresStore:
    status = read(config.stack_file)
    assert status is not None, "the drill has just started this stack"
    credentials = secrets.load_or_create(config.secrets_dir)
    placed = msgspec.structs.replace(config, ports=status.ports)
    return await PostgresStore.connect(placed.dsn(OWNER_ROLE, credentials.postgres_owner), registry)


def _pid(config: StackConfig, part: str) -> int:
    deadline = time.monotonic() + READY_S
    while time.monotonic() < deadline:
        status = read(config.stack_file)
        process = status.processes.get(part) if status else None
        if process is not None and process.pid is not None and process.state == "ready":
            return process.pid
        time.sleep(LOOK_S)
    raise SystemExit(f"{part} did not become ready; see its log")


def table(kills: Sequence[Kill]) -> str:
    """Write the result as Markdown."""
    lines = [
        "| killed | times | work in hand seen | outcomes as undisturbed | recovered after s: median (max) |",
        "|---|---|---|---|---|",
    ]
    for part in dict.fromkeys(kill.part for kill in kills):
        mine = [kill for kill in kills if kill.part == part]
        seconds = [kill.recovered_s for kill in mine if kill.recovered_s is not None]
        shown = f"{statistics.median(seconds):.2f} ({max(seconds):.2f})" if seconds else "-"
        seen, same = sum(bool(kill.in_hand) for kill in mine), sum(kill.same_outcomes for kill in mine)
        lines.append(f"| {part} | {len(mine)} | {seen} | {same} | {shown} |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    sys.exit(main())
