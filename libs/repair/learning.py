"""Runs the commands on the base: which tests fail, which pass, how long they take and which lines they execute."""

from __future__ import annotations

import time
from collections.abc import Collection, Mapping

import msgspec

from libs.repair.bench import Bench, frames
from libs.repair.suspicion import rank
from libs.repair.trial import Job, Place, Result, Run

#: Processor seconds that a test that must come to pass may take before anything is known about it.
_FIRST_CPU_S = 2.0
#: A trial's test gets this many times what the slowest test of the base takes, and at least, and at most, so many
#: processor seconds.
_SLACK, _LEAST_CPU_S, _MOST_CPU_S = 4.0, 0.2, 20.0
#: Passing tests that are covered, and the share of the search's time that covering may take.
_PASSING, _COVER_SHARE = 300, 0.2
#: How much slower a covered test is taken to be.
_COVERED = 15.0


class Target(msgspec.Struct, frozen=True, kw_only=True):
    """A command that must come to pass, and its tests that fail on the base."""

    command: str
    #: Quickest first; empty where the tests cannot be told apart: then the whole command decides.
    failing: tuple[str, ...]
    passing: tuple[str, ...]
    base: Run


class Guard(msgspec.Struct, frozen=True, kw_only=True):
    """The command of the whole suite, and what passes on the base."""

    command: str
    #: Empty where the tests cannot be told apart.
    passing: tuple[str, ...]
    #: Failures that the task allows.
    allowed: frozenset[str]
    base: Run


class Lesson(msgspec.Struct, frozen=True, kw_only=True):
    """All that a search starts from."""

    targets: tuple[Target, ...]
    #: None where there is no whole suite, or where running it takes longer than there is time.
    guard: Guard | None
    scores: Mapping[Place, float]
    #: Processor seconds for one test, and wall-clock seconds for the failing tests of a target, in a trial.
    cpu_s: float
    wall_s: float
    #: Modules from outside the tree that the tests load.
    modules: tuple[str, ...]


async def observe(bench: Bench, command: str, wall_s: float, cpu_s: float = _FIRST_CPU_S) -> Run:
    """Run a command on the base; each test may take `cpu_s` processor seconds."""
    return await bench.run(command, Job(cpu_s=cpu_s, wall_s=max(5.0, wall_s), list=True, bytecode=True))


def target_of(command: str, base: Run, known: Collection[str] = ()) -> Target | None:
    """Say what has to change about a command; None if nothing: it passes."""
    if base.whole and (base.tests or not base.collected):
        return None
    failing = [name for name in base.failing if name not in known]
    if base.tests and not failing and not base.collect_errors and base.status is not None:
        return None
    failing.sort(key=lambda name: (base.tests[name].status == "late", base.tests[name].cpu_s))
    return Target(
        command=command,
        failing=() if base.collect_errors else tuple(failing),
        passing=tuple(name for name, test in base.tests.items() if test.status == "passed"),
        base=base,
    )


def guard_of(command: str, base: Run, known: Collection[str], targets: Collection[Target]) -> Guard | None:
    """Say what must not change about the whole suite; None if its run did not come to its end."""
    mended = {name for target in targets for name in target.failing}
    if base.status is None or base.how != "ended":
        return None
    return Guard(
        command=command,
        passing=tuple(name for name, test in base.tests.items() if test.status == "passed"),
        allowed=frozenset(known) | {*base.failing, *base.collect_errors} - mended,
        base=base,
    )


def patience(runs: Collection[Run]) -> float:
    """Processor seconds that a test gets in a trial."""
    slowest = max(
        (test.cpu_s for run in runs for test in run.tests.values() if test.status != "late"), default=0.0
    )
    return min(_MOST_CPU_S, max(_LEAST_CPU_S, _SLACK * slowest))


async def cover(
    bench: Bench, targets: Collection[Target], guard: Guard | None, product: tuple[str, ...], budget_s: float
) -> dict[Place, float]:
    """Score the lines of the product by what failing and passing tests execute."""
    tests: list[Result] = []
    imported: set[Place] = set()
    ways: list[tuple[Place, ...]] = []
    until = time.monotonic() + _COVER_SHARE * budget_s
    cpu_s = _COVERED * patience([target.base for target in targets]) / _SLACK
    for target in targets:
        ways += [*target.base.ways, *(frames(text) for text in target.base.collect_errors.values())]
        if not bench.holds(target.command):
            continue
        run = await _covered(bench, target.command, target.failing, product, cpu_s, until)
        tests += run.tests.values()
        imported.update(run.imported)
    seen = {test.id for test in tests}
    passing = [(target.command, target.passing) for target in targets]
    if guard is not None:
        passing.append((guard.command, guard.passing))
    files = {name.partition("::")[0] for target in targets for name in target.failing}
    for command, names in passing:
        # Those beside the failing ones tell most about the same code.
        chosen = sorted(set(names) - seen, key=lambda name: (name.partition("::")[0] not in files, name))
        if chosen and bench.holds(command) and time.monotonic() < until:
            run = await _covered(bench, command, tuple(chosen[:_PASSING]), product, cpu_s, until)
            tests += [test for test in run.tests.values() if test.status == "passed"]
            seen.update(run.tests)
    kept = set(product)
    scores = rank(tests, imported, [[place for place in way if place[0] in kept] for way in ways])
    # An empty module runs on line 0.
    return {(path, line): score for (path, line), score in scores.items() if path in kept and line > 0}


async def _covered(
    bench: Bench, command: str, names: tuple[str, ...], product: tuple[str, ...], cpu_s: float, until: float
) -> Run:
    left = max(3.0, until - time.monotonic())
    return await bench.run(command, Job(cpu_s=min(cpu_s, left), wall_s=left, ids=names, cover=product))
