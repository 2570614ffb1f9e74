"""Lines are ranked by Ochiai and by where exceptions passed."""

from __future__ import annotations

import math

from hypothesis import given
from hypothesis import strategies as st

from libs.repair.suspicion import IMPORTED, ordered, rank
from libs.repair.trial import Place, Result, Status


def seen(name: str, status: Status, *lines: int, places: tuple[Place, ...] = (), times: int = 1) -> Result:
    return Result(id=name, status=status, places=places, lines={("a.py", line): times for line in lines})


def test_a_line_that_only_failing_tests_execute_leads() -> None:
    scores = rank([seen("bad", "failed", 1, 2), seen("good", "passed", 1), seen("fine", "passed", 1, 3)])
    assert [one.line for one in ordered(scores)] == [2, 1]


def test_the_score_is_ochiais() -> None:
    tests = [seen("bad", "failed", 1), seen("worse", "failed", 2), seen("good", "passed", 1)]
    assert math.isclose(rank(tests)["a.py", 1], 1 / math.sqrt(2 * 2), abs_tol=0.02)


def test_a_test_that_runs_out_of_time_fails() -> None:
    assert ("a.py", 4) in rank([seen("hangs", "late", 4)])


def test_of_equally_suspicious_lines_the_busier_leads() -> None:
    often = Result(id="b", status="failed", lines={("a.py", 1): 1, ("a.py", 2): 1_000_000})
    assert ordered(rank([often]))[0].line == 2


def test_the_line_that_raised_is_before_those_that_led_to_it_and_these_before_others() -> None:
    way = (("a.py", 3), ("a.py", 7))
    tests = [seen("bad", "failed", 3, 5, 7, places=way), seen("good", "passed", 3, 5, 7)]
    assert [one.line for one in ordered(rank(tests))] == [7, 3, 5]


def test_lines_of_loading_a_module_count_little() -> None:
    scores = rank([seen("bad", "failed", 1)], imported=[("a.py", 1), ("a.py", 9)])
    assert scores["a.py", 9] == IMPORTED < scores["a.py", 1]


def test_where_nothing_could_be_collected_the_way_of_the_exception_counts() -> None:
    assert ordered(rank([], failures=[[("a.py", 2), ("b.py", 5)]]))[0].path == "b.py"


@given(
    st.lists(
        st.tuples(
            st.sampled_from(("passed", "failed", "skipped", "late")),
            st.sets(st.integers(1, 6)),
            st.integers(1, 10**7),
        ),
        max_size=8,
    )
)
def test_scores_are_above_nothing_and_at_most_one(rows: list[tuple[Status, set[int], int]]) -> None:
    tests = [seen(str(n), status, *lines, times=times) for n, (status, lines, times) in enumerate(rows)]
    assert all(0 < score <= 1 for score in rank(tests).values())
