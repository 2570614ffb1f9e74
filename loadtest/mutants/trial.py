"""What a suite says about a tree, test by test: pytest's own report, from a run in the sandbox."""

from __future__ import annotations

import re
import tempfile
from collections.abc import Collection
from pathlib import Path
from xml.etree import ElementTree

import msgspec

from libs.sandbox.command import Ended
from loadtest import independent
from loadtest.case import Case

#: Seconds after which a suite counts as hanging. Theirs take 1 to 5 s, ten times that on a busy machine.
SUITE_S = 120
#: Characters of a failure's message that are told.
_MESSAGE = 300


class Trial(msgspec.Struct, frozen=True, kw_only=True):
    """What one run of a command showed."""

    passed: frozenset[str] = frozenset()
    #: By node id, in the order of the run: what went wrong.
    failed: dict[str, str] = {}
    #: Whether a test or the whole run was stopped by its time limit.
    hangs: bool = False
    #: None where the run was stopped.
    exit_code: int | None = None


async def attempt(case: Case, script: str, tree: Path, tools: Path) -> Trial:
    """Run a command of a case in a checkout and read what pytest reports."""
    files = {str(path.relative_to(tree)) for path in tree.rglob("*.py")}
    with tempfile.TemporaryDirectory(prefix="autopilot-mutants-") as name:
        scratch = Path(name)
        report = scratch / "report"
        report.mkdir()
        outcome = await independent.attempt(case, script, tree, scratch, tools, wall_s=SUITE_S, report=report)
        if outcome.ended != Ended.EXITED:
            return Trial(hangs=outcome.ended == Ended.WALL)
        try:
            passed, failed = read(report / "junit.xml", files)
        except FileNotFoundError:
            return Trial(exit_code=outcome.exit_code)
    hangs = any("from pytest-timeout" in message for message in failed.values())
    return Trial(passed=passed, failed=failed, hangs=hangs, exit_code=outcome.exit_code)


def read(report: Path, files: Collection[str]) -> tuple[frozenset[str], dict[str, str]]:
    """Return the tests that pytest's JUnit file shows as passed, and as failed with the message, by node id.

    `files` are the paths of the tree. A module that could not be collected is neither: it is no test.
    """
    passed: set[str] = set()
    failed: dict[str, str] = {}
    for case in ElementTree.parse(report).iter("testcase"):  # noqa: S314  its size is limited by the sandbox
        test = _node_id(case.get("classname", ""), case.get("name", ""), files)
        if test is None:
            continue
        wrong = next((child for child in case if child.tag in ("failure", "error")), None)
        if wrong is not None:
            failed[test] = _told(wrong.get("message", ""))
        elif case.find("skipped") is None:
            passed.add(test)
    return frozenset(passed - set(failed)), failed


def _node_id(dotted: str, name: str, files: Collection[str]) -> str | None:
    """Undo what pytest makes of a node id: `tests.test_a.TestB` stands for a class in tests/test_a.py.

    The attribute `file` does not help: of an inherited test it names the file of the parent class.
    """
    parts = dotted.split(".")
    for length in range(len(parts), 0, -1):
        path = "/".join(parts[:length]) + ".py"
        if path in files:
            return "::".join([path, *parts[length:], name])
    return None


def _told(message: str) -> str:
    """Shorten a message, without addresses in memory: the same mutant makes the same case."""
    text = re.sub(r"0x[0-9a-f]{6,}", "0x…", message.strip())
    return text if len(text) <= _MESSAGE else text[:_MESSAGE] + " …"
