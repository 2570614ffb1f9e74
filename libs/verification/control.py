"""Judges the control runs: what passed must have been seen failing when it was made to fail."""

from __future__ import annotations

import ast
import re
from collections.abc import Collection, Iterator
from pathlib import Path

import msgspec

from libs.verification.environment import TREE
from libs.verification.novelty import Novelty
from libs.verification.report import Report, Seen
from libs.verification.sabotage import first_line, sabotage
from libs.verification.syntax import parse
from libs.verification.types import Code, Problem

_FAILING = frozenset(("failed", "error"))


class Sabotaged(msgspec.Struct, frozen=True, kw_only=True):
    """Which tests a control tree makes fail: by id, or all of them where the runner does not say where they are."""

    ids: frozenset[str] = frozenset()
    everything: bool = False
    #: Altered files, by path below the tree.
    files: dict[str, bytes] = msgspec.field(default_factory=dict)

    def covers(self, test: str) -> bool:
        """Tell whether a test must fail in the control run."""
        return self.everything or test in self.ids


def make_controls(
    tree: Path,
    base: Collection[Seen],
    change: Collection[Seen],
    tests: Collection[str],
    new: Novelty | None = None,
) -> Sabotaged:
    """Alter the test files of a tree, in memory only, so that every test in them fails.

    Where a test's code stands is taken from the base, which nobody had a reason to falsify; for a test that
    is not on the base from its file, and only then from what the change's own run said. `tests` are the base's
    own test files.
    """
    matchers = _matchers(tree, tests)
    places: dict[tuple[str, int], set[str]] = {}
    known = {test.id for test in base}
    for test in [*base, *(test for test in change if test.id not in known)]:
        file, line = test.file, test.line
        if test.id not in known:
            file, line = _locate(tree, test.id) or (file, line)
        if file and line:
            places.setdefault((file, line), set()).add(test.id)
    ids: set[str] = set()
    files: dict[str, bytes] = {}
    for file in sorted({file for file, _ in places}):
        lines = {line for other, line in places if other == file}
        # What the change's own tests compare is theirs to say: they are no evidence for it.
        altered = _alter(tree / file, lines, matchers, new if file in tests else None)
        if altered is not None:
            files[file] = altered
            ids |= {test for line in lines for test in places[file, line]}
    return Sabotaged(ids=frozenset(ids), files=files)


def _locate(tree: Path, test: str) -> tuple[str, int] | None:
    """Find the function that a pytest id names in the file that it names."""
    file, *names = re.sub(r"\[.*\]$", "", test, flags=re.DOTALL).split("::")
    path = tree / file
    if not names or path.suffix != ".py" or not path.is_file():
        return None
    try:
        node: ast.AST = parse(path.read_bytes())
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None
    for name in names:
        found = [one for one in ast.iter_child_nodes(node) if getattr(one, "name", None) == name]
        if not found:
            return None
        node = found[-1]
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
        return file, first_line(node)
    return None


def write_blind_controls(tree: Path, tests: Collection[str], new: Novelty | None = None) -> Sabotaged:
    """Alter every `test*` function of some Python files, where the runner does not say which it ran."""
    matchers = _matchers(tree, tests)
    hits = 0
    for file in tests:
        altered = _alter(tree / file, None, matchers, new)
        if altered is not None:
            (tree / file).write_bytes(altered)
            hits += 1
    return Sabotaged(everything=hits > 0)


def _matchers(tree: Path, tests: Collection[str]) -> list[str]:
    """Find the test files that define when something is equal, as the sandbox names them."""
    python = [file for file in tests if file.endswith(".py") and (tree / file).is_file()]
    return [f"{TREE}/{file}" for file in python if b"__eq__" in (tree / file).read_bytes()]


def _alter(
    path: Path, lines: Collection[int] | None, matchers: Collection[str], new: Novelty | None
) -> bytes | None:
    if path.is_symlink() or not path.is_file() or path.suffix != ".py":
        return None
    return sabotage(path.read_bytes(), lines, matchers, new)


def unassured(change: Report, control: Report, sabotaged: Sabotaged) -> dict[str, Code]:
    """Find the tests whose pass is worth nothing, and why."""
    seen = control.by_id()
    found: dict[str, Code] = {}
    for test in change.tests:
        if test.status != "passed" or not sabotaged.covers(test.id):
            continue
        statuses = {other.status for other in seen.get(test.id, [])}
        if not statuses:
            found[test.id] = Code.CONTROL_MISSING
        elif not statuses <= _FAILING:
            passed = statuses & {"passed", "xpassed", "hidden"}
            found[test.id] = Code.CONTROL_PASSED if passed else Code.CONTROL_MISSING
    return found


def exempt(test: str, base: Report, base_control: Report) -> bool:
    """Tell whether a test cannot be made to fail in this way on the base either, where it passes."""
    before = {one.status for one in base.by_id().get(test, [])}
    if before != {"passed"}:
        return False
    return not {one.status for one in base_control.by_id().get(test, [])} & _FAILING


def problems(command: str, found: dict[str, Code], control: Report) -> Iterator[Problem]:
    """Say what the control run of a command showed."""
    for reason in control.violations:
        yield Problem(code=Code.REPORT_FORGED, detail=f"`{command}`, run with failing tests: {reason}.")
    for test, code in found.items():
        if code is Code.CONTROL_PASSED:
            detail = f"{test} passes even when it is made to fail: something other than the test decides"
        else:
            detail = f"{test} could not be seen failing when it was made to fail"
        yield Problem(code=code, detail=f"{detail}.")
