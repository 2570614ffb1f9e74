"""Documentation that is checked: a promise without a test is none."""

from __future__ import annotations

import re
from pathlib import Path

from libs.verification.types import Code

ROOT = Path(__file__).parents[3]
PAGE = (ROOT / "docs" / "verification.md").read_text()


def test_every_promise_names_a_test_that_exists() -> None:
    promises = re.findall(r"^\d+\. .*?(?=^\d+\. |^#|\Z)", PAGE, flags=re.M | re.S)
    tests = "".join(path.read_text() for path in (ROOT / "tests").glob("*/verification/test_*.py"))
    defined = set(re.findall(r"def (test_\w+)", tests))

    assert len(promises) > 30
    for promise in promises:
        named = re.findall(r"`(test_\w+)`", promise)
        assert named, promise
        assert set(named) <= defined, promise


def test_every_code_is_explained() -> None:
    assert set(re.findall(r"^\| `(\w+)` \|", PAGE, flags=re.M)) == {str(code) for code in Code}
