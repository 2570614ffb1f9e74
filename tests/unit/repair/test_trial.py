"""What a trial says is taken in as far as it reads as a trial's words, and proves nothing else."""

from __future__ import annotations

import json

from hypothesis import given
from hypothesis import strategies as st

from libs.repair.trial import Run


def test_a_test_is_taken_in_with_its_lines() -> None:
    run = Run()
    run.hear(
        json.dumps(["test", "t.py::a", "failed", 0.25, [["a.py", 3]], "E:1:x", [["a.py", 3, 9]]]).encode()
    )
    test = run.tests["t.py::a"]
    assert (test.status, test.cpu_s, test.places, test.lines) == (
        "failed",
        0.25,
        (("a.py", 3),),
        {("a.py", 3): 9},
    )


@given(
    st.binary()
    | st.recursive(st.none() | st.text() | st.integers(), st.lists).map(lambda v: json.dumps(v).encode())
)
def test_garbage_is_left_out(line: bytes) -> None:
    run = Run()
    run.hear(line)
    run.end(line)
    assert not run.tests
    assert not run.whole


def test_words_of_the_right_kind_with_wrong_content_are_left_out() -> None:
    run = Run()
    for line in (
        ["test", "a", "splendid", 1, [], "", []],
        ["test", "a", "passed", None, [], "", []],
        ["finish", "0"],
    ):
        run.hear(json.dumps(line).encode())
    assert not run.tests
    assert run.status is None


def test_a_session_without_an_end_is_not_whole() -> None:
    run = Run()
    run.hear(b'["test", "a", "passed", 0, [], "", []]')
    assert run.passed(("a",))
    assert not run.whole


def test_what_was_not_seen_did_not_pass() -> None:
    assert not Run().passed(("a",))
