"""Finds signs that a run on the change was not the run that it was on the base."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator

from libs.verification.execution import Ran
from libs.verification.report import Report
from libs.verification.types import Code, Problem


def integrity(
    command: str,
    base: Ran,
    change: Ran,
    change_files: Collection[str],
    kept: Callable[[str], bool],
) -> Iterator[Problem]:
    """Compare framework, hooks, modules and files; what the base's own run showed is no sign."""
    before, after = base.report, change.report
    for name in sorted(set(after.altered) - set(before.altered)):
        yield _problem(Code.RUNNER_TAMPERED, f"`{command}`: {name} was replaced while the tests ran")
    for name in sorted(set(after.passed_canaries) - set(before.passed_canaries)):
        yield _problem(
            Code.RUNNER_TAMPERED, f"`{command}`: a control that must fail ({name}) was seen passing"
        )
    if before.canaries and after.tests and not after.canaries:
        yield _problem(Code.RUNNER_TAMPERED, f"`{command}`: no control could be run on the change")
    yield from _hooks(command, before, after)
    yield from _modules(before, after, change_files)
    for path in sorted(set(change.touched) - set(base.touched)):
        if kept(path):
            yield _problem(Code.RUNNER_TAMPERED, f"`{command}` left {path} other than it found it")


def _problem(code: Code, detail: str) -> Problem:
    return Problem(code=code, detail=f"{detail}.")


def _hooks(command: str, before: Report, after: Report) -> Iterator[Problem]:
    if not before.hooks or not after.hooks:
        return
    # A repository that is a pytest plugin itself may gain hooks in the modules that had some.
    providers = {_module_of(hook) for hook in before.hooks}
    for hook in sorted(set(after.hooks) - set(before.hooks)):
        if not (_module_of(hook) in providers and before.modules.get(_module_of(hook))):
            yield _problem(Code.RUNNER_TAMPERED, f"`{command}`: a hook was added to the runner ({hook})")
    for hook in sorted(set(before.hooks) - set(after.hooks)):
        if not before.modules.get(_module_of(hook)):
            yield _problem(Code.RUNNER_TAMPERED, f"`{command}`: a hook is gone from the runner ({hook})")


def _module_of(hook: str) -> str:
    return hook.partition(" ")[2].partition(":")[0]


def _modules(before: Report, after: Report, change_files: Collection[str]) -> Iterator[Problem]:
    for name, path in sorted(after.modules.items()):
        earlier = before.modules.get(name)
        if earlier is None or earlier == path:
            continue
        if not earlier or earlier in change_files:
            came = earlier or "outside the repository"
            now = path or "outside the repository"
            detail = f"the module {name} came from {came} on the base and comes from {now} on the change"
            yield _problem(Code.MODULE_SHADOWED, detail)
