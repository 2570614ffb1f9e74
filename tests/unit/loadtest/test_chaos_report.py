"""When a case counts as passed, and what the table says of it."""

from __future__ import annotations

import pytest

from loadtest.chaos.case import Result
from loadtest.chaos.report import failed, late, table


def bounded(*seconds: float) -> Result:
    return Result(case="kill it", bounded=True, recovered_s=list(seconds), interrupted=[3] * len(seconds))


def test_ten_quick_recoveries_pass() -> None:
    assert failed([bounded(*[1.9] * 10)]) == []


@pytest.mark.parametrize("seconds", [[2.1] * 10, [0.5] * 9 + [4.1]])
def test_a_slow_median_or_one_slow_recovery_fails(seconds: list[float]) -> None:
    assert late(bounded(*seconds))
    assert len(failed([bounded(*seconds)])) == 1


def test_fewer_than_ten_kills_say_nothing_about_time() -> None:
    assert not late(bounded(9.0))


def test_recoveries_that_interrupted_nothing_prove_nothing() -> None:
    result = bounded(*[0.0] * 10)
    result.interrupted = [0] * 10
    assert late(result)


def test_a_breach_a_lost_task_and_an_error_each_fail_the_case() -> None:
    broken = [
        Result(case="a", breaches=1, examples=["slots: too many"]),
        Result(case="b", lost=1),
        Result(case="c", error="ChaosError: nothing came back"),
    ]
    assert failed(broken) == broken
    text = table(broken)
    assert "| a | BROKEN |" in text
    assert "a: slots: too many" in text
    assert "c: ChaosError: nothing came back" in text


def test_a_skipped_case_says_why_and_does_not_fail() -> None:
    skipped = Result(case="disk full", skipped="no tmpfs can be mounted")
    assert failed([skipped]) == []
    assert "skipped: no tmpfs can be mounted" in table([skipped])
