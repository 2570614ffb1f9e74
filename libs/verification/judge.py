"""Decides, purely, whether a change is accepted: only on positive evidence for everything that was promised."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence

import msgspec

from libs.verification.execution import Ran
from libs.verification.integrity import integrity
from libs.verification.report import Report, Seen, stable_id
from libs.verification.types import Code, Problem, Request

#: Problems of one kind that are spelled out; the others are only counted.
_SPELLED_OUT = 25
#: How a shell says that a program cannot be run, or is not found.
_NOT_STARTED = (126, 127)
_FAILING = ("failed", "error")


class Sides(msgspec.Struct, frozen=True, kw_only=True):
    """What ran on the base and on the change, by command."""

    base: Mapping[str, Ran]
    change: Mapping[str, Ran]
    #: Files of the change's tree.
    change_files: frozenset[str] = frozenset()
    #: Files of the base's tree.
    base_files: frozenset[str] = frozenset()
    #: Tells whether a path must be on the change what it is on the base.
    kept: Callable[[str], bool] = lambda _: True
    #: Tells whether the task lets the change edit, rename or skip the tests of a file.
    free: Callable[[str], bool] = lambda _: False


class Judgement(msgspec.Struct, frozen=True, kw_only=True):
    """What follows from both sides."""

    problems: tuple[Problem, ...]
    fail_to_pass_passed: int = 0
    fail_to_pass_selected: int = 0
    base_tests: int = 0
    base_tests_held: int = 0


def judge(request: Request, sides: Sides) -> Judgement:
    """Compare what was seen on both sides with what the task promises."""
    problems: list[Problem] = []
    if not request.test and not request.fail_to_pass:
        problems.append(_problem(Code.NOTHING_TO_VERIFY, "the task names neither tests nor tests to fix"))
    problems += unusable(request, None, sides.base)
    for purpose, command in request.commands():
        if purpose in ("build", "audit"):
            problems += _exit(command, sides, purpose)
    known = frozenset(stable_id(test) for test in request.known_failures)
    held = total = 0
    if request.test:
        base, change = sides.base[request.test], sides.change[request.test]
        problems += _run(request.test, base, change, sides, known)
        problems += _suite(base.report, change.report, known, sides)
        total, held = _held(base.report, change.report, known, sides)
    passed = selected = 0
    for command in request.fail_to_pass:
        base, change = sides.base[command], sides.change[command]
        if command != request.test:
            problems += _run(command, base, change, sides, frozenset())
        problems += _fixed(command, base, change, sides)
        earlier = base.report.by_id()
        for test in change.report.tests:
            # What is skipped on both sides was not asked for.
            asked = test.status not in {one.status for one in earlier.get(test.id, [])} - {"passed", "failed"}
            selected += asked
            passed += test.status == "passed"
    return Judgement(
        problems=condense(problems),
        fail_to_pass_passed=passed,
        fail_to_pass_selected=selected,
        base_tests=total,
        base_tests_held=held,
    )


def unusable(request: Request, setup: Ran | None, base: Mapping[str, Ran]) -> Iterator[Problem]:
    """Say what is wrong with the base itself, so that no change to it can be accepted."""
    if setup is not None and not setup.succeeded:
        how = f"exits with {setup.exit_code}" if setup.ended == "exited" else f"was stopped: {setup.ended}"
        yield _problem(
            Code.BASE_UNUSABLE, f"the set-up `{setup.command}` does not work on the base: it {how}"
        )
        return
    if request.test and base[request.test].report.violations:
        why = base[request.test].report.violations[0]
        yield _problem(Code.BASE_UNUSABLE, f"the base's own tests cannot be observed: {why}")
    for command in request.fail_to_pass:
        if base[command].succeeded:
            detail = f"`{command}` passes on the base: there is nothing to fix"
            yield _problem(Code.NOT_FAILING_ON_BASE, detail)


def condense(problems: Sequence[Problem]) -> tuple[Problem, ...]:
    """Drop repetitions, and count what is too much to read."""
    unique = list(dict.fromkeys(problems))
    kept: list[Problem] = []
    for code in dict.fromkeys(problem.code for problem in unique):
        same = [problem for problem in unique if problem.code == code]
        kept += same[:_SPELLED_OUT]
        if len(same) > _SPELLED_OUT:
            kept.append(_problem(code, f"{len(same) - _SPELLED_OUT} more of this kind"))
    return tuple(kept)


def _problem(code: Code, detail: str) -> Problem:
    return Problem(code=code, detail=f"{detail}.")


def _exit(command: str, sides: Sides, purpose: str) -> Iterator[Problem]:
    ran = sides.change[command]
    if ran.ended != "exited":
        yield _problem(Code.LIMIT_REACHED, f"`{command}` ({purpose}) {_stopped(ran)}")
    elif ran.exit_code != 0:
        too = " (it does on the base as well)" if not sides.base[command].succeeded else ""
        yield _problem(Code.COMMAND_FAILED, f"`{command}` ({purpose}) exits with {ran.exit_code}{too}")


def _stopped(ran: Ran) -> str:
    match ran.ended:
        case "memory":
            return f"was stopped by its limit of memory at {ran.peak_memory_mb:.0f} MB (budget.memory_mb)"
        case "wall":
            return f"was stopped by its limit of time after {ran.duration_s:.0f} s (budget.wall_s)"
        case _:
            return f"was stopped by its limit: {ran.ended}"


def _unobserved(command: str, change: Ran) -> str:
    """Say why no test was seen; a program that is missing in the sandbox is what people meet first."""
    if change.exit_code in _NOT_STARTED:
        return (
            f"`{command}` exits with {change.exit_code}: a program is missing in the sandbox, which has the system's "
            "own and those in the directories that `env` names, for example PATH with a virtual environment's bin"
        )
    why = f" ({change.report.unfinished[0]})" if change.report.unfinished else ""
    return (
        f"`{command}` ran no pytest that could be observed{why}: for another runner set `report:` to the "
        "JUnit XML file that it writes"
    )


def _run(command: str, base: Ran, change: Ran, sides: Sides, known: Collection[str]) -> Iterator[Problem]:
    """Judge whether the change's run came to its end and can be believed."""
    report = change.report
    if change.ended != "exited":
        yield _problem(Code.LIMIT_REACHED, f"`{command}` {_stopped(change)}")
    if not report.observed:
        yield _problem(Code.NOT_OBSERVABLE, _unobserved(command, change))
    for reason in report.violations:
        yield _problem(Code.REPORT_FORGED, f"`{command}`: {reason}")
    for reason in report.unfinished if report.observed else ():
        yield _problem(Code.RUN_INCOMPLETE, f"`{command}`: {reason}")
    for node in report.collect_errors:
        if stable_id(node) not in known:
            yield _problem(Code.COLLECTION_FAILED, f"{node or 'a test file'} cannot be collected")
    yield from integrity(command, base, change, sides.change_files, sides.kept)
    yield from _exit_codes(command, base, change, known)


def _exit_codes(command: str, base: Ran, change: Ran, known: Collection[str]) -> Iterator[Problem]:
    failing = {test.id for test in change.report.tests if test.status != "passed"} & set(known)
    allowed = {0, 1} if failing else {0}
    if change.ended == "exited" and change.exit_code not in allowed:
        hint = _failing_already(base.report, change.report, known)
        yield _problem(Code.COMMAND_FAILED, f"`{command}` exits with {change.exit_code} on the change{hint}")
    for code in change.report.exit_codes:
        if code not in allowed and change.exit_code in allowed:
            detail = f"`{command}` exits with {change.exit_code}, but its test session ended with {code}"
            yield _problem(Code.EXIT_DISAGREES, detail)


def _failing_already(base: Report, change: Report, known: Collection[str]) -> str:
    """Name what failed before the change and still does: it is no fault of the change, but has to be said by the task."""
    before = {test.id for test in base.tests if test.status in _FAILING}
    still = sorted({test.id for test in change.tests if test.status in _FAILING} & before)
    unsaid = [test for test in still if not _is_known(test, known)]
    if not unsaid:
        return ""
    more = f" and {len(unsaid) - 1} more" if unsaid[1:] else ""
    return f"; {unsaid[0]}{more} failed on the base already: name in known_failures what may go on failing"


def _suite(base: Report, change: Report, known: Collection[str], sides: Sides) -> Iterator[Problem]:
    if not base.tests and not change.tests:
        yield _problem(Code.NO_TESTS_SELECTED, "the test command collects no tests at all")
    earlier, after = base.by_id(), change.by_id()
    for test, before in earlier.items():
        seen = after.get(test, [])
        if len(seen) < len(before) and not _is_known(test, known) and not sides.free(_file_of(test)):
            yield _problem(Code.TEST_MISSING, f"{test} is collected on the base and not on the change")
        yield from _replaced(before, seen, sides)
    for test, seen in after.items():
        if not _is_known(test, known):
            free = sides.free(_file_of(test))
            yield from _outcome(
                test, earlier.get(test, []), [one for one in seen if not (free and one.omitted)]
            )


def _file_of(test: str) -> str:
    return test.partition("::")[0]


def _is_known(test: str, known: Collection[str]) -> bool:
    return test in known or re.sub(r"\[.*\]$", "", test) in known


def _outcome(test: str, before: Sequence[Seen], seen: Sequence[Seen]) -> Iterator[Problem]:
    earlier = {one.status for one in before}
    for one in seen:
        if one.status == "xpassed" and {"xfailed", "xpassed"} & earlier:
            continue  # what was expected to fail passes now
        if one.status == "passed" or (
            one.status in ("skipped", "xfailed", "xpassed") and one.status in earlier
        ):
            continue
        if not before and one.omitted:
            continue  # a new test that is not asked for proves nothing and hides nothing
        if one.status in ("skipped", "xfailed", "xpassed"):
            yield _problem(Code.TEST_SKIPPED, f"{test} is {one.status} on the change, which is no pass")
        elif one.status == "hidden":
            if "hidden" not in earlier:
                yield _problem(Code.RUNNER_TAMPERED, f"{test} raised an error and was reported as passed")
        elif one.status == "unknown":
            yield _problem(Code.TEST_NOT_PASSING, f"{test} was not seen to run to its end on the change")
        else:
            yield _problem(
                Code.TEST_NOT_PASSING, f"{test} is {one.status} on the change{_as_before(earlier)}"
            )


def _as_before(earlier: Collection[str]) -> str:
    return " (as on the base; list it in known_failures if it may go on failing)" if (
        {"failed", "error"} & set(earlier)
    ) else ""  # fmt: skip


def _held(base: Report, change: Report, known: Collection[str], sides: Sides) -> tuple[int, int]:
    """Count the base's tests, and those that hold; a test that both sides leave out says nothing and is not counted."""
    after = change.by_id()
    total = held = 0
    for test, seen in base.by_id().items():
        later = after.get(test, [])
        fine = len(later) >= len(seen) and not list(_outcome(test, seen, later))
        if fine and all(one.omitted for one in (*seen, *later)):
            continue
        total += 1
        held += fine or _is_known(test, known) or sides.free(_file_of(test))
    return total, held


def _replaced(before: Sequence[Seen], seen: Sequence[Seen], sides: Sides) -> Iterator[Problem]:
    """Find tests that are made of other code than on the base although their file is the same."""
    for one in seen:
        for old in before[:1]:
            if old.kind == "doctest" and one.kind == "doctest":
                intact = _contains(one.digest.split("+")[0].split(","), old.digest.split("+")[0].split(","))
            elif old.kind == "function" and sides.kept(old.file):
                intact = old.digest == one.digest or one.status == "unknown" or old.status == "unknown"
            else:
                intact = True
            if not intact:
                yield _problem(
                    Code.TEST_CODE_REPLACED, f"{one.id} is not made of the code it has on the base"
                )


def _contains(after: Sequence[str], before: Sequence[str]) -> bool:
    rest = iter(after)
    return all(any(example == other for other in rest) for example in before)


def _fixed(command: str, base: Ran, change: Ran, sides: Sides) -> Iterator[Problem]:
    if change.report.observed and not change.report.tests:
        yield _problem(Code.NO_TESTS_SELECTED, f"`{command}` selects no tests on the change")
    before, after = base.report.by_id(), change.report.by_id()
    for test, earlier in before.items():
        if len(after.get(test, [])) < len(earlier) and not sides.free(_file_of(test)):
            yield _problem(Code.TEST_MISSING, f"{test} is selected on the base and not on the change")
        yield from _replaced(earlier, after.get(test, []), sides)
    turned = False
    for test, seen in after.items():
        statuses = {one.status for one in before.get(test, [])}
        file = _file_of(test)
        brought = file in sides.change_files - sides.base_files and not sides.free(file)
        turned |= not brought and "passed" not in statuses and any(one.status == "passed" for one in seen)
        for one in seen:
            if one.omitted and one.status not in statuses:
                yield _problem(Code.TEST_SKIPPED, f"{test} is {one.status} on the change, which is no pass")
            else:
                yield from _outcome(test, before.get(test, []), [one])
    if after and not turned and not base.succeeded:
        detail = f"no test that the base brings fails there and passes on the change with `{command}`"
        yield _problem(Code.NO_TESTS_SELECTED, detail)
