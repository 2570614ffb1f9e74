"""`python -m loadtest.bench [--section record|scheduler|w8] [--repeats 3]`: measures, prints, writes build/bench/SECTION.json."""

from __future__ import annotations

import argparse
import asyncio
import sys
from collections.abc import Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from statistics import median
from typing import Any

import msgspec
import uvloop

from loadtest.bench import appending, arriving, concurrency, record, replaying, scheduling, w8
from loadtest.bench.comparison import Figure
from loadtest.bench.peers import systems

OUT = Path("build/bench")
PARTS = {"append": appending.measure, "latency": arriving.measure, "replay": replaying.measure}
#: Tasks that run one after the other.
ALONE = 10
#: What ours has to reach of the others' tasks a second.
AGAINST = {"floor": 0.35, "restate, granian worker": 1.0, "dbos, one process": 4.0}


def main() -> int:
    """Run the sections that are asked for."""
    options = _options()
    OUT.mkdir(parents=True, exist_ok=True)
    if "record" in options.section:
        _write("record", uvloop.run(_record(options)))
    if "scheduler" in options.section:
        _write("scheduler", _scheduler())
    if "peers" in options.section:
        _write("peers", asyncio.run(_peers(options)))
    if "w8" in options.section:
        _write("w8", asyncio.run(_w8(options)))
    return 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m loadtest.bench", description=__doc__.splitlines()[0])
    parser.add_argument(
        "--section",
        nargs="+",
        choices=["record", "scheduler", "w8", "peers"],
        default=["record", "scheduler", "w8"],
    )
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument(
        "--parts", nargs="+", choices=list(PARTS), default=list(PARTS), help="Of section record."
    )
    parser.add_argument("--tasks", type=int, nargs="+", default=[200, 1000], help="Of section w8.")
    parser.add_argument("--peers", nargs="+", choices=list(systems.PACKAGES), default=list(systems.PACKAGES))
    parser.add_argument("--only", nargs="+", choices=["ours", "floor"], default=["ours", "floor"])
    return parser.parse_args()


async def _record(options: argparse.Namespace) -> list[Figure]:
    figures: list[Figure] = []
    async with record.bench() as bench:
        for part in options.parts:
            for figure in await PARTS[part](bench, options.repeats):
                figures.append(figure)
                word = "met" if figure.met else "NOT met"
                print(
                    f"{figure.what}: bare {figure.bare:,.1f}, ours {figure.ours:,.1f} {figure.unit};"
                    f" ratio {figure.ratio:.2f}, {figure.target}: {word} {figure.notes or ''}",
                    flush=True,
                )
            # What appends have left for a relay would go through the bus in the middle of the next measurement.
            await bench.bare.execute("delete from outbox")
    return figures


def _scheduler() -> dict[str, Any]:
    figures = uvloop.run(scheduling.measure())
    rounds = concurrency.measure()
    found = concurrency.targets(rounds)
    for line in (*map(msgspec.json.encode, rounds), *map(msgspec.json.encode, found)):
        print(line.decode())
    return {"pool": figures, "concurrency": rounds, "summary": found}


async def _w8(options: argparse.Namespace) -> dict[str, Any]:
    rounds: list[w8.Round] = []
    idle: dict[str, float] = {}
    async with w8.systems(options.only) as systems_:
        for system in systems_:
            await system.round(w8.WARM_UP)
            if isinstance(system, w8.Ours):
                idle = await system.idle()
        for count in options.tasks:
            for _ in range(options.repeats):
                for system in systems_:
                    rounds.append(_shown(await system.round(count)))
        alone = [_shown(await system.round(ALONE, in_flight=1)) for system in systems_]
    return {"rounds": rounds, "alone": alone, "idle": idle, "summary": summary(rounds, alone, idle)}


async def _peers(options: argparse.Namespace) -> dict[str, Any]:
    rounds: list[w8.Round] = []
    async with AsyncExitStack() as stack:
        ours = await stack.enter_async_context(w8.ours())
        peers = [await stack.enter_async_context(systems.started(name)) for name in options.peers]
        await ours.round(w8.WARM_UP)
        for peer in peers:
            await systems.round_of(peer, "warm", w8.WARM_UP)
        for count in options.tasks:
            for repeat in range(options.repeats):
                rounds.append(_shown(await ours.round(count)))
                for peer in peers:
                    rounds.append(_shown(await systems.round_of(peer, f"r{count}x{repeat}", count)))
        crashes = [await ours.crash(), *[await systems.crash_of(peer, "crash") for peer in peers]]
    for crash in crashes:
        print(msgspec.json.encode(crash).decode())
    return {"rounds": rounds, "crashes": crashes, "summary": summary(rounds, [], {})}


def summary(
    rounds: Sequence[w8.Round], alone: Sequence[w8.Round], idle: dict[str, float]
) -> list[dict[str, Any]]:
    """Compare the medians with the targets."""
    found: list[dict[str, Any]] = []

    def target(what: str, value: float, bound: float, *, at_least: bool) -> None:
        met = value >= bound if at_least else value <= bound
        found.append({"what": what, "value": value, "at least" if at_least else "at most": bound, "met": met})

    for count in sorted({one.tasks for one in rounds}):
        speed = {
            name: median(one.tasks_per_s for one in rounds if (one.system, one.tasks) == (name, count))
            for name in {one.system for one in rounds if one.tasks == count}
        }
        for name, bound in AGAINST.items():
            if name in speed and "autopilot" in speed:
                target(
                    f"{count} tasks, tasks/s over {name}",
                    speed["autopilot"] / speed[name],
                    bound,
                    at_least=True,
                )
    ours = [one for one in rounds if one.system == "autopilot"]
    if idle:
        target("memory idle, MiB", idle["pss_mib"], 450, at_least=False)
        target("memory under load, MiB", max(one.peak_pss_mib for one in ours), 700, at_least=False)
    for one in alone:
        if one.system == "autopilot":
            target("one task alone, ms a step", one.step_p50_ms, 3, at_least=False)
    for line in found:
        print(line)
    return found


def _shown(one: w8.Round) -> w8.Round:
    print(msgspec.json.encode(one).decode(), flush=True)
    return one


def _write(section: str, figures: object) -> None:
    (OUT / f"{section}.json").write_bytes(msgspec.json.format(msgspec.json.encode(figures), indent=1))


if __name__ == "__main__":
    sys.exit(main())
