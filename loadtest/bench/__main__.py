"""`python -m loadtest.bench [--section record|w8] [--repeats 3]`: measures, prints, writes build/bench/SECTION.json."""

from __future__ import annotations

import argparse
import asyncio
import sys
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import msgspec
import uvloop

from loadtest.bench import record, w8
from loadtest.bench.peers import systems

OUT = Path("build/bench")
PARTS = ("append", "latency", "replay")


def main() -> int:
    """Run the sections that are asked for."""
    options = _options()
    OUT.mkdir(parents=True, exist_ok=True)
    if "record" in options.section:
        figures = uvloop.run(record.measure(options.repeats, set(options.parts)))
        _write("record", figures)
        for figure in figures:
            word = "met" if figure.met else "NOT met"
            print(
                f"{figure.what}: bare {figure.bare:,.1f}, ours {figure.ours:,.1f} {figure.unit};"
                f" ratio {figure.ratio:.2f}, {figure.target}: {word} {figure.notes or ''}"
            )
    if "peers" in options.section:
        _write("peers", asyncio.run(_peers(options)))
    if "w8" in options.section:
        rounds = asyncio.run(_w8(options))
        _write("w8", rounds)
    return 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m loadtest.bench", description=__doc__.splitlines()[0])
    parser.add_argument("--section", nargs="+", choices=["record", "w8", "peers"], default=["record", "w8"])
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=PARTS, help="Of section record.")
    parser.add_argument("--tasks", type=int, nargs="+", default=[200, 1000], help="Of section w8.")
    parser.add_argument("--peers", nargs="+", choices=list(systems.PACKAGES), default=list(systems.PACKAGES))
    parser.add_argument("--only", nargs="+", choices=["ours", "floor"], default=["ours", "floor"])
    return parser.parse_args()


async def _w8(options: argparse.Namespace) -> list[w8.Round]:
    rounds: list[w8.Round] = []
    async with w8.systems(options.only) as systems:
        for system in systems:
            await system.round(w8.WARM_UP)
            if isinstance(system, w8.Ours):
                print({name: round(one, 1) for name, one in (await system.idle()).items()})
        for count in options.tasks:
            for _ in range(options.repeats):
                for system in systems:
                    rounds.append(await system.round(count))
                    print(msgspec.json.encode(rounds[-1]).decode(), flush=True)
    return rounds


async def _peers(options: argparse.Namespace) -> dict[str, list[Any]]:
    rounds: list[w8.Round] = []
    crashes: list[systems.Crash] = []
    async with AsyncExitStack() as stack:
        ours = (await stack.enter_async_context(w8.systems(["ours"])))[0]
        peers = [await stack.enter_async_context(systems.started(name)) for name in options.peers]
        await ours.round(w8.WARM_UP)
        for peer in peers:
            await systems.round_of(peer, "warm", w8.WARM_UP)
        for count in options.tasks:
            for repeat in range(options.repeats):
                rounds.append(await ours.round(count))
                for peer in peers:
                    rounds.append(await systems.round_of(peer, f"r{count}x{repeat}", count))
                for one in rounds[-1 - len(peers) :]:
                    print(msgspec.json.encode(one).decode(), flush=True)
        for peer in peers:
            crashes.append(await systems.crash_of(peer, "crash"))
            print(msgspec.json.encode(crashes[-1]).decode(), flush=True)
    return {"rounds": rounds, "crashes": crashes}


def _write(section: str, figures: object) -> None:
    (OUT / f"{section}.json").write_bytes(msgspec.json.format(msgspec.json.encode(figures), indent=1))


if __name__ == "__main__":
    sys.exit(main())
