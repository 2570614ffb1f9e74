"""Breaks the embedded stack in every way we know, under load, and has the record judged by an outsider.

`python -m loadtest.chaos [CASE…] [--tasks 200] [--seed 1] [--json build/chaos.json] [--list]`. Each case starts a stack
of its own, submits synthetic tasks, does its harm while they run, waits until all have ended and judges the record.
Exit status: 0 when every case passed within its bounds or was skipped with its reason, 1 when one did not, 130 when the
suite was told to end.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import shutil
import sys
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import asyncpg
import msgspec

from autopilot.cli.failure import CliError
from autopilot.stack.errors import StackError
from loadtest.chaos import leftovers
from loadtest.chaos.arena import Arena, ChaosError, arena
from loadtest.chaos.case import Case, Fault, Result
from loadtest.chaos.cases import TIMES, cases
from loadtest.chaos.load import Load
from loadtest.chaos.pulls import on_the_forge
from loadtest.chaos.recovery import recovery
from loadtest.chaos.report import failed, table
from loadtest.checker.judge import Breach

#: Exit status of a suite that was told to end, as a shell gives it.
INTERRUPTED = 130
#: Tasks that have ended before the harm is done; of a small load half.
WARM = 20


def main() -> int:
    """Run the chosen cases and report."""
    options = _options()
    chosen = [case for case in cases(options.times) if not options.case or case.name in options.case]
    if options.list:
        print("\n".join(case.name for case in chosen))
        return 0
    # The stacks are detached: a suite that is told to end and just does would leave one up for ever.
    leftovers.end_once()
    for name in leftovers.sweep():
        print(f"removed {name}, left by a suite that was killed", file=sys.stderr)
    results: list[Result] = []
    try:
        for case in chosen:
            results.append(_run(case, options))
            print(f"{case.name}: {msgspec.json.encode(results[-1]).decode()}", file=sys.stderr, flush=True)
            if options.json:
                options.json.parent.mkdir(parents=True, exist_ok=True)
                options.json.write_bytes(msgspec.json.format(msgspec.json.encode(results), indent=2) + b"\n")
    except KeyboardInterrupt:
        print(f"{table(results)}\ninterrupted: {len(chosen) - len(results)} cases were not carried out")
        return INTERRUPTED
    print(table(results))
    return 1 if failed(results) else 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m loadtest.chaos", description=(__doc__ or "").splitlines()[0]
    )
    names = [case.name for case in cases()]
    parser.add_argument("case", nargs="*", metavar="CASE", help="names as --list prints them; none means all")
    parser.add_argument("--tasks", type=int, default=200, help="tasks of each case")
    parser.add_argument(
        "--real", type=int, default=2, help="tasks among them that end in a real pull request"
    )
    parser.add_argument("--times", type=int, default=TIMES, help="kills where a recovery is judged")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--json", type=Path, help="where the results go, after each case")
    parser.add_argument(
        "--keep", type=Path, metavar="DIR", help="where data directories of failed cases stay"
    )
    parser.add_argument("--list", action="store_true", help="print the cases' names")
    options = parser.parse_args()
    if unknown := set(options.case) - set(names):
        parser.error(f"no such case: {', '.join(sorted(unknown))}; --list prints them")
    return options


def _run(case: Case, options: argparse.Namespace) -> Result:
    result = Result(case=case.name, bounded=case.bounded, load_before=round(os.getloadavg()[0], 1))
    if reason := case.impossible():
        result.skipped = reason
        return result
    began = time.monotonic()
    prepared = partial(_kept, case, result, options.keep) if options.keep else case.prepared
    try:
        with arena(options.seed, prepared) as stack:
            load = Load(stack)
            try:
                faults = _under_fire(case, stack, load, options)
                load.wait_until_open(0)
            except (ChaosError, StackError, CliError) as error:
                result.error = f"{type(error).__name__}: {error}"
                faults = []
            _judge(result, stack, load, faults)
    except (ChaosError, StackError, OSError, asyncpg.PostgresError) as error:
        result.error = result.error or f"{type(error).__name__}: {error}"
    result.seconds = round(time.monotonic() - began, 1)
    return result


@contextlib.contextmanager
def _kept(case: Case, result: Result, folder: Path, data_dir: Path) -> Iterator[None]:
    """Keep the data directory of a case that was not judged sound: logs, record and bus, as they were at its end."""
    with case.prepared(data_dir):
        try:
            yield
        finally:
            if not (result.events and result.sound):
                kept = folder / case.name.replace(" ", "-")
                shutil.rmtree(kept, ignore_errors=True)
                shutil.copytree(data_dir, kept, symlinks=True)


def _under_fire(case: Case, stack: Arena, load: Load, options: argparse.Namespace) -> list[Fault]:
    if case.real:
        load.submit_real(options.real)
    load.submit(options.tasks - len(load.accepted))
    load.wait_until_open(options.tasks - min(WARM, options.tasks // 2))
    return case.harm(stack, load)


def _judge(result: Result, stack: Arena, load: Load, faults: list[Fault]) -> None:
    record, breaches = stack.witness.at_rest(load.accepted)
    result.tasks, result.events = len(load.accepted), len(record.events)
    breaches += [Breach("forge", detail) for detail in on_the_forge(record, load.real)]
    result.pull_requests = sum(len(row.data["pull_requests"]) for row in record.of("task_done"))
    result.breaches = len(breaches)
    result.examples = [str(breach) for breach in {one.rule: one for one in reversed(breaches)}.values()]
    result.lost = sum(breach.rule == "tasks ended" for breach in breaches)
    for fault in faults:
        found = recovery(record, fault.part, fault.at, fault.tasks)
        result.interrupted.append(len(found))
        result.recovered_s.append(round(max(found.values(), default=0.0), 2))


if __name__ == "__main__":
    sys.exit(main())
