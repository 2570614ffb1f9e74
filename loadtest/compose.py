"""Kills containers of the compose stack while the demo runs through it, and compares the demo's outcomes.

`python -m loadtest.compose [--kill SERVICE…] [--rounds 3] [--seed 1] [--keep] [--json] [--markdown FILE]`, from the
outside, with the docker client and nothing else. First an undisturbed run; then three stage-runners share the demo's
tasks, `--rounds` times undisturbed and `--rounds` times with one of the three killed for good; then each container is
killed once while the demo runs, and started again. Exit status: 0 when every outcome is that of the undisturbed
run and all three stage-runners are in the record. The stack is one of its own, removed in the end with its volumes.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

import msgspec

from autopilot.cli import show
from autopilot.stack.config import DEFAULT_PORTS, HOST, NATS, POSTGRES, SERVICES
from contracts.catalogue import registry
from contracts.message import Recorded
from contracts.stage import StageResumed, StageStarted
from libs.eventstore.postgres import PostgresStore
from libs.eventstore.store import Cursor
from loadtest import drill
from loadtest.containers import COMPOSE, ENGINE_S, ROOT, engine, remove
from loadtest.inhand import BY_PART

RUNNER = "stage-runner"
KILLED = (*SERVICES, NATS, POSTGRES, "admin")
REPLICAS = 3
#: Seconds for one demo under faults.
DEMO_S = 900.0
#: Seconds that a killed container stays dead: shorter and longer than the lease lasts.
DEAD_S = (0.2, 4.0)


class Round(msgspec.Struct, frozen=True, kw_only=True):
    """The demo with several stage-runners."""

    killed: str
    #: Runs begun or gone on with, by replica.
    shares: dict[str, int]
    #: Runs that another replica went on with.
    resumed: int
    seconds: float
    differences: tuple[str, ...]


class Demo:
    """The demo's tasks on their way through the stack, watched by the command line's own container."""

    def __init__(self) -> None:
        self._began = time.monotonic()
        self._process = subprocess.Popen(
            [*COMPOSE, "run", "--rm", "--no-deps", "-T", "cli", "demo", "--json"],
            cwd=ROOT,
            stdout=subprocess.PIPE,
            text=True,
        )

    def end(self) -> tuple[drill.Outcomes, list[dict[str, Any]], float]:
        """Wait; return outcomes, the demo's rows, and how long it took. Raises RuntimeError where it ended early."""
        said, _ = self._process.communicate(timeout=DEMO_S)
        try:
            rows = json.loads(said)
        except ValueError as error:
            raise RuntimeError(f"the demo ended without a result: {said[-500:]}") from error
        return (
            {row["key"]: (row["outcome"], row["tree"]) for row in rows},
            rows,
            time.monotonic() - self._began,
        )


def main() -> int:
    """Run all of it and report."""
    options = _options()
    chance = random.Random(options.seed)  # noqa: S311 - a seed makes a drill repeatable
    engine("up", "-d", "--wait")
    try:
        expected, _, duration = Demo().end()
        print(f"undisturbed: {duration:.0f} s, {expected}", file=sys.stderr)
        if wrong := drill.unpromised(expected):
            print(f"the undisturbed run did not end as promised: {'; '.join(wrong)}", file=sys.stderr)
            return 1
        rounds = _share(options.rounds, chance, duration, expected)
        kills = [_kill(part, chance, duration, expected) for part in options.kill]
    finally:
        if not options.keep:
            remove()
    if options.json:
        show.as_json(msgspec.to_builtins({"kills": kills, "rounds": rounds}))
    text = f"{drill.table(kills)}\n{shares_table(rounds)}"
    if options.markdown:
        options.markdown.write_text(text)
    if not options.json:
        print(text)
    shared = all(len(one.shares) == REPLICAS for one in rounds if not one.killed)
    return (
        0 if shared and all(k.same_outcomes for k in kills) and not any(r.differences for r in rounds) else 1
    )


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m loadtest.compose", description=__doc__.splitlines()[0])
    parser.add_argument("--kill", nargs="*", choices=KILLED, default=list(KILLED))
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--keep", action="store_true", help="Leave the stack up.")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--markdown", type=Path)
    return parser.parse_args()


def _kill(part: str, chance: random.Random, duration: float, expected: drill.Outcomes) -> drill.Kill:
    start = asyncio.run(_end_of_record())
    demo = Demo()
    after_s = chance.uniform(0.15, 0.8) * duration
    time.sleep(after_s)
    in_hand = asyncio.run(_in_hand(part, start))
    killed_at = time.time()
    engine("kill", part)
    time.sleep(chance.uniform(*DEAD_S))
    engine("start", part)
    outcomes, rows, _ = demo.end()
    ids = [row["id"] for row in rows]
    recovered, wrong = drill.afterwards(asyncio.run(_events(ids)), part, ids, killed_at)
    wrong += _differences(outcomes, expected, rows)
    kill = drill.Kill(
        part=part,
        after_s=round(after_s, 2),
        in_hand=in_hand,
        recovered_s=recovered,
        same_outcomes=not wrong,
        differences=tuple(wrong),
    )
    print(f"{part}: {kill}", file=sys.stderr)
    engine("up", "-d", "--wait")
    return kill


def _share(times: int, chance: random.Random, duration: float, expected: drill.Outcomes) -> list[Round]:
    rounds: list[Round] = []
    for number in range(2 * times):
        engine("up", "-d", "--wait", "--scale", f"{RUNNER}={REPLICAS}")
        demo, killed = Demo(), ""
        if number >= times:
            time.sleep(chance.uniform(0.15, 0.7) * duration)
            killed = chance.choice(engine("ps", "-q", RUNNER).split())
            subprocess.run(["docker", "kill", killed], check=True, capture_output=True, timeout=ENGINE_S)
        outcomes, rows, seconds = demo.end()
        events = asyncio.run(_events([row["id"] for row in rows]))
        begun = [event.event for event in events if isinstance(event.event, (StageStarted, StageResumed))]
        rounds.append(
            Round(
                killed=killed[:12],
                shares=dict(Counter(one.replica for one in begun)),
                resumed=sum(isinstance(one, StageResumed) for one in begun),
                seconds=round(seconds, 1),
                differences=tuple(_differences(outcomes, expected, rows)),
            )
        )
        print(f"three stage-runners: {rounds[-1]}", file=sys.stderr)
        if killed:
            # For good: what comes in its place is another container, with another name.
            subprocess.run(["docker", "rm", "-f", killed], check=True, capture_output=True, timeout=ENGINE_S)
    return rounds


def _differences(
    outcomes: drill.Outcomes, expected: drill.Outcomes, rows: Sequence[dict[str, Any]]
) -> list[str]:
    reasons = {row["key"]: row["reason"] for row in rows}
    return [
        f"{key}: {outcomes.get(key)} instead of {expected[key]} ({reasons.get(key)})"
        for key in expected
        if outcomes.get(key) != expected[key]
    ]


@cache
def _dsn() -> str:
    dsn = engine("exec", "-T", "scheduler", "cat", "/secrets/postgres-dsn")
    port = DEFAULT_PORTS[POSTGRES]
    return dsn.replace(f"@{POSTGRES}:{port}", f"@{HOST}:{port}")


async def _record() -> PostgresStore:
    return await PostgresStore.connect(_dsn(), registry)


async def _events(ids: Sequence[str]) -> list[Recorded]:
    store = await _record()
    try:
        return await drill.events_of(store, ids)
    finally:
        await store.close()


async def _end_of_record() -> Cursor:
    store, after = await _record(), Cursor()
    try:
        while page := await store.read_all(after, limit=5_000):
            after = Cursor(xid=page[-1].xid, position=page[-1].position)
    finally:
        await store.close()
    return after


async def _in_hand(part: str, after: Cursor) -> str:
    """Say from the record what the part has in hand of the demo that runs now; empty where the record cannot tell."""
    if part not in BY_PART:
        return ""
    store = await _record()
    try:
        return BY_PART[part](await store.read_all(after, limit=5_000))
    finally:
        await store.close()


def shares_table(rounds: Sequence[Round]) -> str:
    """Write the runs with several stage-runners as Markdown."""
    lines = [
        "| stage-runners | runs by each | gone on with by another | s | outcomes as undisturbed |",
        "|---|---|---|---|---|",
    ]
    for one in rounds:
        what = f"{REPLICAS}, one killed for good" if one.killed else f"{REPLICAS}"
        shares = ", ".join(str(share) for share in sorted(one.shares.values(), reverse=True))
        verdict = "yes" if not one.differences else "; ".join(one.differences)
        lines.append(f"| {what} | {shares} | {one.resumed} | {one.seconds:.0f} | {verdict} |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    sys.exit(main())
