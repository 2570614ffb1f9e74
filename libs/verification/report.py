"""Holds what one run of a test command showed, test by test, whoever reported it."""

from __future__ import annotations

import re

import msgspec

from libs.verification.types import Status

_ADDRESS = re.compile(r"0x[0-9a-fA-F]+")


def stable_id(test: str) -> str:
    """Take out of a test id what differs from run to run: the addresses of objects."""
    return _ADDRESS.sub("0x", test)


class Seen(msgspec.Struct, frozen=True, kw_only=True):
    """One collected test and what was seen of it."""

    id: str
    status: Status
    #: Path of the function's source below the tree; empty when it lies outside of it or is not known.
    file: str = ""
    #: First line of the function's code, decorators included; 0 if unknown.
    line: int = 0
    #: Of the function's code without file names and line numbers; of a doctest, of its examples.
    digest: str = ""
    #: function | doctest | other
    kind: str = "other"

    @property
    def omitted(self) -> bool:
        """Tell whether the test was left out, or may fail: no evidence in either direction."""
        return self.status in ("skipped", "xfailed")


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """What one command's run showed."""

    #: Whether any test runner reported at all.
    observed: bool = False
    tests: tuple[Seen, ...] = ()
    #: Nodes (files, mostly) that could not be collected.
    collect_errors: tuple[str, ...] = ()
    #: Exit status that each test session announced for itself.
    exit_codes: tuple[int, ...] = ()
    #: Reasons why the report cannot be the observer's own work.
    violations: tuple[str, ...] = ()
    #: Reasons why the run did not come to its end.
    unfinished: tuple[str, ...] = ()
    #: Parts of the test framework that were not what they had been at the start.
    altered: tuple[str, ...] = ()
    #: Tests of the observer's own, made to fail, that were seen passing.
    passed_canaries: tuple[str, ...] = ()
    canaries: int = 0
    #: Hook implementations in force, `hook plugin function`.
    hooks: tuple[str, ...] = ()
    #: Modules loaded at the end: name to path below the tree, or to an empty path when from elsewhere.
    modules: dict[str, str] = msgspec.field(default_factory=dict)
    #: Folders below the tree on the module search path; "" is the tree itself.
    search_path: tuple[str, ...] = ()

    def count(self, *statuses: Status) -> int:
        """Count the tests in one of the states."""
        return sum(1 for test in self.tests if test.status in statuses)

    def by_id(self) -> dict[str, list[Seen]]:
        """Group the tests by their stable id; a runner may use one id more than once."""
        grouped: dict[str, list[Seen]] = {}
        for test in self.tests:
            grouped.setdefault(test.id, []).append(test)
        return grouped
