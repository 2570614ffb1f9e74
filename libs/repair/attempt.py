"""Tries one change: its failing tests first, then the rest of their commands, then the whole suite."""

from __future__ import annotations

import time

from libs.repair.bench import Bench
from libs.repair.change import Change, Verdict
from libs.repair.learning import Guard, Lesson, Target
from libs.repair.trial import Job, Run

#: Failing tests that may go on failing before a trial is ended; the others of them might have been mended.
_FAILURES = 3
#: MiB of private memory of one trial: a share of the sandbox's, and what pytest needs at least.
_MEMORY_SHARE, _LEAST_MB = 0.6, 128
#: The whole suite gets this many times the seconds that it took on the base.
_SUITE_SLACK, _SUITE_EXTRA_S = 4.0, 5.0


async def attempt(
    bench: Bench, lesson: Lesson, change: Change, memory_mb: int, patience: float = 1.0
) -> Verdict:
    """Try a change. `patience` stretches the time that a test gets."""
    began = time.monotonic()
    data_mb = max(_LEAST_MB, int(memory_mb * _MEMORY_SHARE))
    mended, cpu_s = 0, 0.0
    late = advanced = False
    wanted = sum(max(1, len(target.failing)) for target in lesson.targets)
    for target in lesson.targets:
        run = await bench.run(
            target.command,
            Job(
                cpu_s=lesson.cpu_s * patience,
                wall_s=lesson.wall_s * patience,
                files=change.files,
                ids=target.failing,
                stop_after=_FAILURES if target.failing else 1,
                stop_late=1,
                data_mb=data_mb,
            ),
        )
        cpu_s += run.cpu_s
        mended += _mended(target, run)
        late |= run.how == "wall" or any(test.status == "late" for test in run.tests.values())
        advanced |= _advanced(target, run)
        if not _mends(target, run):
            return Verdict(
                wanted=wanted,
                mended=mended,
                late=late,
                advanced=advanced,
                seconds=time.monotonic() - began,
                cpu_s=cpu_s,
            )
    note = await _broken(bench, lesson, change, data_mb)
    return Verdict(
        wanted=wanted,
        mended=mended,
        survives=not note,
        note=note,
        seconds=time.monotonic() - began,
        cpu_s=cpu_s,
    )


def _mended(target: Target, run: Run) -> int:
    if not target.failing:
        return int(_mends(target, run))
    return sum(run.passed((name,)) for name in target.failing)


def _mends(target: Target, run: Run) -> bool:
    if target.failing:
        return run.passed(target.failing)
    some = any(test.status == "passed" for test in run.tests.values())
    return run.whole and run.how == "ended" and (some or not target.base.collected)


def _advanced(target: Target, run: Run) -> bool:
    """Tell whether a failing test fails at a later line of its own, or what could not be collected now can."""
    if target.base.collect_errors:
        return len(run.collect_errors) < len(target.base.collect_errors) and run.status is not None
    for name in target.failing:
        if name in run.tests and run.tests[name].status == "failed":
            before, after = _line(target.base.tests[name].sign), _line(run.tests[name].sign)
            if after > before > 0:
                return True
    return False


def _line(sign: str) -> int:
    number = [*sign.split(":", 2), ""][1]
    return int(number) if number.isdigit() else 0


async def _broken(bench: Bench, lesson: Lesson, change: Change, data_mb: int) -> str:
    """Say what else the change breaks; empty if nothing."""
    guard = lesson.guard
    for target in lesson.targets:
        if target.passing and (guard is None or guard.command != target.command):
            own = Guard(command=target.command, passing=target.passing, allowed=frozenset(), base=target.base)
            if note := await _regression(bench, own, lesson, change, data_mb):
                return note
    return await _regression(bench, guard, lesson, change, data_mb) if guard is not None else ""


async def _regression(bench: Bench, guard: Guard, lesson: Lesson, change: Change, data_mb: int) -> str:
    run = await bench.run(
        guard.command,
        Job(
            cpu_s=max(lesson.cpu_s, 10.0),
            wall_s=_SUITE_SLACK * guard.base.seconds + _SUITE_EXTRA_S,
            files=change.files,
            must=guard.passing,
            stop_after=1,
            stop_late=1,
            data_mb=data_mb,
        ),
    )
    if not guard.passing:
        return "" if run.whole or run.status == guard.base.status != 0 else f"`{guard.command}` fails"
    for name in guard.passing:
        if not run.passed((name,)):
            seen = run.tests[name].status if name in run.tests else "not seen to pass"
            return f"{name} is {seen}"
    new = [name for name in (*run.failing, *run.collect_errors) if name not in guard.allowed]
    if new:
        return f"{new[0]} fails"
    return "" if run.how == "ended" else f"`{guard.command}` does not come to its end"
