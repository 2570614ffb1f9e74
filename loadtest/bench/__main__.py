"""`python -m loadtest.bench --section w8 [--tasks 200 1000] [--repeats 3]`: measures, prints, writes build/bench/."""

from __future__ import annotations

import argparse
import asyncio
import sys
from pathlib import Path

import msgspec

from loadtest.bench import w8

OUT = Path("build/bench")


def main() -> int:
    """Run a section."""
    parser = argparse.ArgumentParser(prog="python -m loadtest.bench", description=__doc__.splitlines()[0])
    parser.add_argument("--tasks", type=int, nargs="+", default=[200, 1000])
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--only", nargs="+", choices=["ours", "floor"], default=["ours", "floor"])
    options = parser.parse_args()
    rounds = asyncio.run(_w8(options))
    OUT.mkdir(parents=True, exist_ok=True)
    (OUT / "w8.json").write_bytes(msgspec.json.format(msgspec.json.encode(rounds), indent=1))
    return 0


async def _w8(options: argparse.Namespace) -> list[w8.Round]:
    rounds: list[w8.Round] = []

    async def measure(system: w8.Ours | w8.Floor, count: int) -> None:
        rounds.append(await system.round(count))
        print(msgspec.json.encode(rounds[-1]).decode(), flush=True)

    if "floor" in options.only:
        async with w8.floor() as floor:
            await floor.round(w8.WARM_UP)
            for count in options.tasks:
                for _ in range(options.repeats):
                    await measure(floor, count)
    if "ours" in options.only:
        async with w8.ours() as ours:
            await ours.round(w8.WARM_UP)
            for count in options.tasks:
                for _ in range(options.repeats):
                    await measure(ours, count)
    return rounds


if __name__ == "__main__":
    sys.exit(main())
