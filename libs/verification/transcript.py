"""Turns what the observers of one command said into a report, and says where it does not hold together."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

from libs.verification.channel import Session
from libs.verification.report import Report, Seen, stable_id
from libs.verification.types import Status

_PHASES = ("setup", "call", "teardown")


def read(sessions: Sequence[Session], violations: Sequence[str] = ()) -> Report:
    """Build the report of a command's run from everything its sessions sent."""
    readers = [_Reader() for _ in sessions]
    problems = list(violations)
    for reader, session in zip(readers, sessions, strict=True):
        for record in session.records:
            try:
                reader.take(record)
            except (KeyError, IndexError, TypeError, ValueError, AttributeError):
                problems.append("a packet does not say what packets of its kind say")
                break
        problems += reader.contradictions()
    tests: list[Seen] = [test for reader in readers for test in reader.tests()]
    return Report(
        observed=any(reader.started for reader in readers),
        tests=tuple(tests),
        collect_errors=_all(readers, lambda reader: reader.collect_errors),
        exit_codes=tuple(reader.exit_code for reader in readers if reader.exit_code is not None),
        violations=tuple(dict.fromkeys(problems)),
        unfinished=_all(readers, _Reader.unfinished),
        altered=_all(readers, lambda reader: reader.altered),
        passed_canaries=_all(readers, lambda reader: reader.passed_canaries),
        canaries=sum(reader.canaries for reader in readers),
        hooks=tuple(sorted({hook for reader in readers for hook in reader.hooks})),
        modules={name: path for reader in readers for name, path in reader.modules.items()},
        search_path=_all(readers, lambda reader: reader.search_path),
    )


def _all(readers: Sequence[_Reader], part: Callable[[_Reader], Sequence[str]]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(one for reader in readers for one in part(reader)))


class _Reader:
    """Takes the records of one session in their order."""

    def __init__(self) -> None:
        self.started = False
        self.announced: int | None = None
        self.exit_code: int | None = None
        self.collected: list[tuple[str, str, str, int, str]] = []
        self.collect_errors: list[str] = []
        self.begun: Counter[str] = Counter()
        self.finished: Counter[str] = Counter()
        self.logged: dict[str, list[tuple[str, str, bool]]] = {}
        self.raised: set[str] = set()
        self.called: dict[str, set[str]] = {}
        self.altered: list[str] = []
        self.passed_canaries: list[str] = []
        self.canaries = 0
        self.hooks: set[str] = set()
        self.modules: dict[str, str] = {}
        self.search_path: list[str] = []

    def take(self, record: list[Any]) -> None:
        match record:
            case ["start", str(), str(), str()]:
                self.started = True
            case ["collect_error", str(node)]:
                self.collect_errors.append(node)
            case ["tests", list(rows)]:
                self.collected += [
                    (str(test), str(kind), str(file), int(line), str(digest))
                    for test, kind, file, line, digest in rows
                ]
            case ["collected", int(count)]:
                self.announced = count
            case ["begin", str(test)]:
                self.begun[test] += 1
            case ["end", str(test)]:
                self.finished[test] += 1
            case ["call", str(test), str(digest), bool(raised)]:
                self.called.setdefault(test, set()).add(digest)
                if raised:
                    self.raised.add(test)
            case ["made", str(test), str(), bool(raised), str(outcome)]:
                if raised and outcome == "passed":
                    self.raised.add(test)
            case ["log", str(test), str(when), str(outcome), bool(expected)]:
                self.logged.setdefault(test, []).append((when, outcome, expected))
            case ["altered", list(rows)]:
                self.altered += [str(name) for (name,) in rows]
            case ["canary", str(name), bool(failed)]:
                self.canaries += 1
                if not failed:
                    self.passed_canaries.append(name)
            case ["canary_error", str()]:
                pass
            case ["hook", list(rows)]:
                self.hooks |= {f"{hook} {module}:{function}" for hook, module, function, _ in rows}
            case ["module", list(rows)]:
                self.modules |= {str(name): str(path) for name, path, has_file in rows if has_file}
            case ["path", list(rows)]:
                self.search_path += [str(place) for (place,) in rows]
            case ["finish", int(code)]:
                self.exit_code = code
            case _:
                raise ValueError("unknown record")

    def contradictions(self) -> list[str]:
        """Find what an observer at work never says."""
        found = []
        known = {row[0] for row in self.collected}
        if self.announced is not None and self.announced != len(self.collected):
            found.append("fewer or more tests were listed than were collected")
        if (strangers := sorted(set(self.logged) & set(self.begun) - known)) and self.announced is not None:
            found.append(f"{strangers[0]} was run but never collected")
        if any(self.finished[test] > self.begun[test] for test in self.finished):
            found.append("a test ended that had not begun")
        return found

    def unfinished(self) -> list[str]:
        """Say what had begun and did not come to its end."""
        if not self.started:
            return ["pytest ended before it began a session (wrong arguments?)"]
        if self.exit_code is not None:
            return []
        open_ = [test for test, count in self.begun.items() if self.finished[test] < count]
        where = f" while {open_[0]} was running" if open_ else ""
        return [f"the test process ended without ending its session{where}"]

    def tests(self) -> list[Seen]:
        return [
            Seen(
                id=stable_id(test),
                status=self._status(test),
                file=file,
                line=line,
                digest=self._digest(test, digest),
                kind=kind,
            )
            for test, kind, file, line, digest in self.collected
        ]

    def _digest(self, test: str, collected: str) -> str:
        """Join the digests at collection and at each call: equal ones count once."""
        return "+".join(sorted({collected} | self.called.get(test, set())))

    def _status(self, test: str) -> Status:
        logs = self.logged.get(test, [])
        phases = {when for when, _, _ in logs}
        status: Status
        if any(outcome == "failed" for when, outcome, _ in logs if when == "call"):
            status = "failed"
        elif any(outcome == "failed" for _, outcome, _ in logs):
            status = "error"
        elif any(outcome == "skipped" and expected for _, outcome, expected in logs):
            status = "xfailed"
        elif any(outcome == "skipped" for _, outcome, _ in logs):
            status = "skipped"
        elif any(outcome not in ("passed", "rerun") for _, outcome, _ in logs):
            status = "unknown"
        elif any(outcome == "passed" and expected for _, outcome, expected in logs):
            status = "xpassed"
        elif not phases.issuperset(_PHASES) or self.finished[test] < 1 or test not in self.called:
            status = "unknown"
        elif test in self.raised:
            status = "hidden"
        else:
            status = "passed"
        return status
