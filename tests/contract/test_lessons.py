"""The page of lessons names tests that exist."""

from __future__ import annotations

import re

import pytest

from autopilot.documents import ROOT

PAGE = (ROOT / "docs" / "lessons.md").read_text()
TESTS = "\n".join(path.read_text() for path in (ROOT / "tests").rglob("test_*.py"))
CASES = "\n".join(path.read_text() for path in (ROOT / "libs" / "testing").glob("*case.py"))
NAMED = sorted(set(re.findall(r"`(test_\w+)`", PAGE)))


@pytest.mark.parametrize("name", NAMED)
def test_a_named_test_exists(name: str) -> None:
    assert f"def {name}(" in TESTS + CASES


def test_every_lesson_has_its_row() -> None:
    assert re.findall(r"^\| (F\d+) \|", PAGE, re.MULTILINE) == [f"F{number}" for number in range(1, 29)]
