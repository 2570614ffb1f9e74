"""When a silent child is taken for hung, and when it is let be."""

from __future__ import annotations

import pytest

from autopilot.stack.liveness import Liveness, LivenessPolicy, Verdict

QUICK = LivenessPolicy(every_s=1.0, misses=3, first_misses=5, ends=2, window_s=100.0)


def asked(liveness: Liveness, answers: str, since: float = 0.0) -> list[Verdict]:
    """Ask once a second from then on: `y` is answered, `n` is not."""
    return [
        liveness.heard(answer == "y", since + number, since + number + 1)
        for number, answer in enumerate(answers)
    ]


def test_three_misses_in_a_row_are_hanging() -> None:
    assert asked(Liveness(QUICK), "ynnn") == ["fine", "silent", "silent", "hung"]


def test_one_answer_forgets_the_misses_before_it() -> None:
    assert "hung" not in asked(Liveness(QUICK), "ynnynnynn")


def test_before_its_first_answer_it_has_longer() -> None:
    liveness = Liveness(QUICK)
    assert asked(liveness, "nnnnn") == ["silent"] * 4 + ["hung"]
    liveness.started()
    assert asked(liveness, "nnnn") == ["silent"] * 4


def test_readiness_counts_as_its_first_answer() -> None:
    liveness = Liveness(QUICK)
    liveness.answered()
    assert asked(liveness, "nnn") == ["silent", "silent", "hung"]


def test_a_child_that_was_started_again_is_a_new_one() -> None:
    liveness = Liveness(QUICK)
    asked(liveness, "ynn")
    liveness.started()
    assert asked(liveness, "ynn") == ["fine", "silent", "silent"]


@pytest.mark.parametrize(("took", "verdict"), [(1.5, "hung"), (1.6, "fine")])
def test_a_miss_while_this_process_did_not_get_to_run_says_nothing(took: float, verdict: Verdict) -> None:
    liveness = Liveness(QUICK)
    asked(liveness, "ynn")
    assert liveness.heard(False, 3.0, 3.0 + took) == verdict


def test_after_a_gap_the_count_begins_anew() -> None:
    liveness = Liveness(QUICK)
    asked(liveness, "ynn")
    liveness.heard(False, 3.0, 3600.0)
    assert asked(liveness, "nnn", since=3600.0) == ["silent", "silent", "hung"]


def test_it_is_ended_twice_within_the_window_and_then_let_be() -> None:
    liveness = Liveness(QUICK)
    verdicts = []
    for number in range(3):
        liveness.started()
        verdicts += asked(liveness, "ynnn", since=10.0 * number)[-1:]
    assert verdicts == ["hung", "hung", "stuck"]
    assert asked(liveness, "nn", since=30.0) == ["stuck", "stuck"]
    assert asked(liveness, "y", since=32.0) == ["fine"]


def test_later_it_may_be_ended_again() -> None:
    liveness = Liveness(QUICK)
    for number in range(3):
        liveness.started()
        asked(liveness, "ynnn", since=10.0 * number)
    assert liveness.heard(False, 102.9, 103.9) == "stuck"
    assert liveness.heard(False, 103.0, 104.0) == "hung"


def test_the_silence_is_told_in_seconds() -> None:
    liveness = Liveness(LivenessPolicy.within(30.0))
    verdicts = [liveness.heard(number == 0, number * 5.0, number * 5.0 + 5) for number in range(7)]
    assert (verdicts[-1], liveness.silence) == ("hung", "has not answered for 30 s")
