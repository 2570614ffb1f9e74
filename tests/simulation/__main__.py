"""`python -m tests.simulation --seed N` replays one seed and tells what happens; `--seeds N` runs many."""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections.abc import Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from functools import partial
from itertools import islice
from pathlib import Path

from tests.simulation.run import Result, run


def main() -> int:
    """Run what the command line asks for; 1 if a breach was found."""
    parser = argparse.ArgumentParser(prog="python -m tests.simulation", description=__doc__)
    parser.add_argument("--seed", type=int, help="replay this seed and print every step")
    parser.add_argument("--seeds", type=int, default=100, help="run so many seeds")
    parser.add_argument("--first", type=int, default=1, help="the first of them")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="processes side by side")
    parser.add_argument("--until-found", action="store_true", help="stop at the first seed with a breach")
    parser.add_argument(
        "--without", action="append", default=[], metavar="FAULT", help="leave a kind of fault out"
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the result there")
    given = parser.parse_args()
    if given.seed is not None:
        return replay(given.seed, tuple(given.without))
    return many(given)


def replay(seed: int, without: tuple[str, ...]) -> int:
    """Run one seed and print its trace."""
    result = run(seed, without=without)
    print("\n".join(result.lines))
    print(f"\nseed {seed}: {result.faults}")
    print(_summary(result))
    return _tell(result) if result.breaches else 0


def many(given: argparse.Namespace) -> int:
    """Run many seeds and print those that break something."""
    began, told = time.perf_counter(), 0.0
    done: list[Result] = []
    failed: list[Result] = []
    seeds = range(given.first, given.first + given.seeds)
    for result in _results(seeds, given.jobs, tuple(given.without)):
        done.append(result)
        if result.breaches:
            failed.append(result)
            _tell(result)
            if given.until_found:
                break
        if time.perf_counter() - told > 10:
            told = time.perf_counter()
            print(f"{len(done)} of {given.seeds} seeds, {told - began:.0f} s", flush=True)
    wall_s = time.perf_counter() - began
    events, crashes = sum(one.events for one in done), sum(one.crashes for one in done)
    print(
        f"{len(done)} seeds in {wall_s:.1f} s ({len(done) / wall_s:.1f}/s): {len(failed)} with a breach; "
        f"{events:,} events, {crashes:,} crashes, {sum(one.virtual_s for one in done) / 3600:.1f} virtual hours"
    )
    if given.json:
        given.json.parent.mkdir(parents=True, exist_ok=True)
        report = {
            "first": given.first,
            "seeds": len(done),
            "wall_s": round(wall_s, 1),
            "events": events,
            "crashes": crashes,
            "virtual_s": round(sum(one.virtual_s for one in done)),
            "breaches": {one.seed: one.breaches for one in failed},
        }
        given.json.write_text(json.dumps(report, indent=1) + "\n")
    return 1 if failed else 0


def _results(seeds: Iterable[int], jobs: int, without: tuple[str, ...]) -> Iterator[Result]:
    """Run seeds, each in whichever process is free, and give results as they come."""
    work = partial(_quietly, without=without)
    if jobs == 1:
        yield from map(work, seeds)
        return
    left = iter(seeds)
    with ProcessPoolExecutor(jobs) as pool:
        running: set[Future[Result]] = {pool.submit(work, seed) for seed in islice(left, 2 * jobs)}
        try:
            while running:
                finished, running = wait(running, return_when=FIRST_COMPLETED)
                running |= {pool.submit(work, seed) for seed in islice(left, len(finished))}
                yield from sorted((one.result() for one in finished), key=lambda one: one.seed)
        finally:
            pool.shutdown(cancel_futures=True)


def _quietly(seed: int, without: tuple[str, ...]) -> Result:
    result = run(seed, without=without)
    result.lines, result.scene = [], None
    return result


def _summary(result: Result) -> str:
    return f"{result.events} events, {result.crashes} crashes, {result.virtual_s:.0f} virtual s, trace {result.digest}"


def _tell(result: Result) -> int:
    """Say what a seed has broken, and how to see it again."""
    print(f"\nseed {result.seed} breaks {len(result.breaches)} promises ({result.faults}):")
    for breach in result.breaches[:10]:
        print(f"  {breach}")
    print(f"  replay: python -m tests.simulation --seed {result.seed}\n", flush=True)
    return 1


if __name__ == "__main__":
    sys.exit(main())
