from __future__ import annotations

from typing import Any

import pytest

from libs.verification.channel import Session
from libs.verification.report import Report, stable_id
from libs.verification.transcript import read

A = "t.py::test_a"


def session(*records: list[Any]) -> Session:
    made = Session(1)
    made.records = [list(record) for record in records]
    return made


def whole(
    *middle: list[Any], test: str = A, phases: tuple[str, ...] = ("setup", "call", "teardown")
) -> Report:
    """Read a session with one test, whose records are given or those of a pass."""
    records = list(middle) or [
        ["call", test, "d", False],
        *(["made", test, phase, False, "passed"] for phase in phases),
        *(["log", test, phase, "passed", False] for phase in phases),
    ]
    return read(
        [
            session(
                ["start", "8", "3.11", "/checkout"],
                ["tests", [[test, "function", "t.py", 3, "d"]]],
                ["collected", 1],
                ["begin", test],
                *records,
                ["end", test],
                ["finish", 0],
            )
        ]
    )


def logs(*outcomes: tuple[str, str, bool]) -> list[list[Any]]:
    return [
        ["call", A, "d", False],
        *(["log", A, when, outcome, expected] for when, outcome, expected in outcomes),
    ]


PASS = (("setup", "passed", False), ("teardown", "passed", False))


@pytest.mark.parametrize(
    ("records", "status"),
    [
        (logs(*PASS, ("call", "passed", False)), "passed"),
        (logs(*PASS, ("call", "failed", False)), "failed"),
        (logs(("setup", "failed", False), ("teardown", "passed", False)), "error"),
        (logs(PASS[0], ("call", "passed", False), ("teardown", "failed", False)), "error"),
        (logs(("setup", "skipped", False), ("teardown", "passed", False)), "skipped"),
        (logs(*PASS, ("call", "skipped", True)), "xfailed"),
        (logs(*PASS, ("call", "passed", True)), "xpassed"),
        (logs(*PASS, ("call", "fine", False)), "unknown"),
        (logs(*PASS), "unknown"),
        (logs(PASS[0], ("call", "passed", False)), "unknown"),
        (logs(*PASS, ("call", "failed", False), ("call", "passed", False)), "failed"),
        (logs(*PASS, ("call", "passed", False))[1:], "unknown"),
        ([["call", A, "d", True], *logs(*PASS, ("call", "passed", False))[1:]], "hidden"),
        ([*logs(*PASS, ("call", "passed", False)), ["made", A, "call", True, "passed"]], "hidden"),
        ([["call", A, "d", False]], "unknown"),
    ],
)
def test_a_pass_needs_every_phase_and_no_error(records: list[list[Any]], status: str) -> None:
    (test,) = whole(*records).tests

    assert test.status == status


def test_a_whole_session_is_read() -> None:
    report = whole()

    assert (report.observed, report.exit_codes, report.unfinished, report.violations) == (True, (0,), (), ())
    assert (report.tests[0].file, report.tests[0].line, report.tests[0].digest) == ("t.py", 3, "d")


def test_a_test_whose_code_was_another_when_it_ran_shows_both() -> None:
    report = whole(["call", A, "e", False], *logs(*PASS, ("call", "passed", False))[1:])

    assert report.tests[0].digest == "d+e"


@pytest.mark.parametrize(
    "records",
    [
        [["nonsense"]],
        [["begin", 3]],
        [["tests", [["too", "short"]]]],
        [["start"]],
        ["text"],
        [["collected", 5]],
        [["end", A]],
        [["start", "8", "3", "/"], ["collected", 0], ["begin", A], ["log", A, "call", "passed", False]],
    ],
)
def test_what_an_observer_never_says_is_a_violation(records: list[Any]) -> None:
    made = Session(1)
    made.records = records

    assert read([made]).violations


def test_a_session_without_an_end_is_unfinished_and_names_the_test() -> None:
    report = read([session(["start", "8", "3", "/"], ["begin", A])])

    assert A in report.unfinished[0]
    assert read([Session(1)]).unfinished
    assert not read([Session(1)]).observed


def test_sessions_of_one_command_add_up() -> None:
    first, second = (
        session(["start", "8", "3", "/"], ["tests", [[name, "function", "t.py", 1, "d"]]], ["collected", 1], ["finish", code])
        for name, code in (("a", 0), ("b", 1))
    )  # fmt: skip

    report = read([first, second])

    assert [test.id for test in report.tests] == ["a", "b"]
    assert report.exit_codes == (0, 1)


def test_addresses_are_taken_out_of_ids() -> None:
    assert stable_id("t.py::test[<object at 0x7f3a>]") == "t.py::test[<object at 0x>]"
