"""What a coding agent is told."""

from __future__ import annotations

import msgspec

from contracts.task import PlanDelta, StageInput, TaskSpec
from services.stage_runner.adapters.engines.assignment import assignment

SPEC = msgspec.convert(
    {
        "title": "Pad",
        "body": "It pads nothing.",
        "repos": [
            {
                "name": "wide",
                "url": "u",
                "verify": {"test": "pytest -q", "build": "make"},
                "fail_to_pass": ["pytest test_wide.py\npytest other.py"],
                "known_failures": ["test_x.py::test_y"],
                "may_change_tests": ["test_new.py"],
            }
        ],
    },
    TaskSpec,
)


def test_it_holds_all_that_the_change_is_judged_by() -> None:
    text = assignment(StageInput(spec=SPEC), SPEC.repos[0], ("src/",))
    for part in (
        "# Pad\n\nIt pads nothing.",
        "    pytest test_wide.py\n    pytest other.py",
        "    make\n\n    pytest -q",
        "- test_x.py::test_y",
        "`src/`",
        "`test_new.py`",
    ):
        assert part in text
    assert "refused" not in text


def test_after_a_refusal_it_says_what_has_to_be_answered() -> None:
    delta = PlanDelta(loop=1, different="another way", answers=("test_not_passing",), signature="s")
    given = StageInput(spec=SPEC, delta=delta, thoughts=("look at pad()",))
    text = assignment(given, SPEC.repos[0], ("*",))
    for part in ("another way", "- test_not_passing", "- look at pad()"):
        assert part in text
