"""Holds what one trial is asked and what it said: per test a status, places and lines. Pure."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Literal

import msgspec

#: `late` used up its processor time.
Status = Literal["passed", "failed", "skipped", "late"]
#: Path below the tree and line, from 1.
Place = tuple[str, int]


class Job(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One fork of a held test session."""

    #: Processor seconds for each test, and wall-clock seconds for all.
    cpu_s: float
    wall_s: float
    #: Whole new texts of files, by path.
    files: Mapping[str, str] = msgspec.field(default_factory=dict)
    #: Tests to run, in this order; empty for all.
    ids: tuple[str, ...] = ()
    #: Tests whose failures count for `stop_after`; empty for all of `ids`.
    must: tuple[str, ...] = ()
    #: Failures, and tests that are late, after which the rest is left out; 0 for never.
    stop_after: int = 0
    stop_late: int = 0
    #: Files whose executed lines are counted; slows a trial down several times.
    cover: tuple[str, ...] = ()
    #: Whether to list the collected tests and the modules that were loaded from outside the tree.
    list: bool = False
    #: Whether compiled code is written, so that later trials find it.
    bytecode: bool = False
    #: Modules to import before forking.
    warm: tuple[str, ...] = ()
    #: MiB of private memory that a child may map.
    data_mb: int = 0


class Result(msgspec.Struct, frozen=True, kw_only=True):
    """One test of a trial."""

    id: str
    status: Status
    #: Processor seconds.
    cpu_s: float = 0.0
    #: Lines of the tree that the exception passed through, outermost first.
    places: tuple[Place, ...] = ()
    #: Kind of the exception, last line of the test's own file, and what it says.
    sign: str = ""
    #: How often each line was executed.
    lines: Mapping[Place, int] = msgspec.field(default_factory=dict)


class Run(msgspec.Struct, kw_only=True):
    """What was seen of one trial."""

    tests: dict[str, Result] = msgspec.field(default_factory=dict)
    #: What could not be collected, and why.
    collect_errors: dict[str, str] = msgspec.field(default_factory=dict)
    imported: dict[Place, int] = msgspec.field(default_factory=dict)
    collected: tuple[str, ...] = ()
    modules: tuple[str, ...] = ()
    #: Exit status that the session announced; None if it did not come to its end.
    status: int | None = None
    #: ended | wall | died: who ended the child.
    how: str = "died"
    seconds: float = 0.0
    #: Processor seconds, of the fork itself too.
    cpu_s: float = 0.0
    #: Ways of exceptions that were printed, where no test could be seen.
    ways: tuple[tuple[Place, ...], ...] = ()

    def hear(self, line: bytes) -> None:
        """Take in what a child said. What does not read as a child's words is left out: it proves nothing anyway."""
        try:
            match json.loads(line):
                case [
                    "test",
                    str(name),
                    "passed" | "failed" | "skipped" | "late" as status,
                    spent,
                    places,
                    sign,
                    lines,
                ]:
                    self.tests[name] = Result(
                        id=name,
                        status=status,
                        cpu_s=float(spent),
                        places=tuple((str(path), int(number)) for path, number in places),
                        sign=str(sign),
                        lines=_counts(lines),
                    )
                case ["collect", str(node), str(text)]:
                    self.collect_errors[node] = text
                case ["import", list(rows)]:
                    self.imported = _counts(rows)
                case ["collected", list(names)]:
                    self.collected = tuple(map(str, names))
                case ["modules", list(names)]:
                    self.modules = tuple(map(str, names))
                case ["finish", int(status)]:
                    self.status = status
        except (ValueError, TypeError, RecursionError):
            return

    def end(self, line: bytes) -> None:
        """Take in how the child ended, which the server says."""
        try:
            said = json.loads(line)
            self.how, self.seconds = str(said["how"]), float(said["seconds"])
            self.cpu_s = float(said["cpu_s"])
        except (ValueError, TypeError, LookupError, RecursionError):
            self.how = "died"

    def passed(self, names: tuple[str, ...]) -> bool:
        """Tell whether every one of the tests passed."""
        return all(name in self.tests and self.tests[name].status == "passed" for name in names)

    @property
    def failing(self) -> tuple[str, ...]:
        """Tests that failed or were late, in the order of their run."""
        return tuple(name for name, test in self.tests.items() if test.status in ("failed", "late"))

    @property
    def whole(self) -> bool:
        """Tell whether the session came to its end with every test passed, or left out by itself."""
        return self.status == 0 and not self.failing and not self.collect_errors


def _counts(rows: list[Any]) -> dict[Place, int]:
    return {(str(path), int(line)): int(count) for path, line, count in rows}
