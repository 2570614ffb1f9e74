"""A tiny repository with one fault, a patch that mends it, and task files about it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from tests.e2e.stack import git

#: The test runner of this installation without its plug-ins, which take longer than the till's tests.
ENV = {"PATH": f"{Path(sys.executable).parent}:$PATH", "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}

FAULTY = '''"""Adds prices up."""


def count(prices):
    """Count the prices."""
    return len(prices)


def total(prices):
    """Add the prices up."""
    return sum(prices[:-1])
'''

_FILES = {
    "till.py": FAULTY,
    "tests/test_till.py": """from till import count, total


def test_count():
    assert count([1, 2, 3]) == 3


def test_total_of_nothing():
    assert total([]) == 0


def test_total():
    assert total([1, 2, 3]) == 6
""",
    "pytest.ini": "[pytest]\npythonpath = .\n",
}

MENDED = """--- a/till.py
+++ b/till.py
@@ -8,4 +8,4 @@

 def total(prices):
     \"\"\"Add the prices up.\"\"\"
-    return sum(prices[:-1])
+    return sum(prices)
"""

ELSEWHERE = """--- a/till.py
+++ b/till.py
@@ -8,4 +8,4 @@

 def total(prices):
     \"\"\"Something that this file never said.\"\"\"
-    return sum(prices[1:])
+    return sum(prices)
"""


def make(place: Path, files: dict[str, str] | None = None) -> Path:
    """Make the repository, with some more files."""
    place.mkdir(parents=True)
    for name, text in {**_FILES, **(files or {})}.items():
        path = place / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    git(place, "-c", "init.defaultBranch=main", "init", "-q")
    git(place, "add", "-A")
    git(place, "commit", "-q", "-m", "The till")
    return place


def task(url: Path | str, *, repo: dict[str, Any] | None = None, **changed: Any) -> dict[str, Any]:
    """Describe a task that mends the till; what is given replaces what it says.

    One command is enough to prove the change, and each command is run on the base, on the change and as a control.
    """
    described = {
        "name": "till",
        "url": str(url),
        "base": "main",
        "env": ENV,
        "fail_to_pass": ["python -m pytest -q"],
        **(repo or {}),
    }
    return {
        "title": "The last price is left out",
        "body": "`total` adds all prices but the last.",
        "repos": [described],
        "engine": "patch",
        "patch": MENDED,
        "budget": {"memory_mb": 256, "wall_s": 300},
        **changed,
    }


def write(place: Path, described: dict[str, Any]) -> Path:
    """Write a task file (JSON is YAML)."""
    place.write_text(json.dumps(described, indent=2))
    return place


def unchanged(place: Path) -> bool:
    """Tell whether a user's checkout is as it was committed."""
    done = subprocess.run(
        ["git", "status", "--porcelain"], cwd=place, capture_output=True, text=True, timeout=60, check=True
    )
    return done.stdout == ""
