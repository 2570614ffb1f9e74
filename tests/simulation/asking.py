"""What people ask for: tasks that go well, fail, stumble, are rejected, take their time, or wait in a window."""

from __future__ import annotations

import random
from typing import Any

STAGES = ("spec", "plan", "implement", "verify", "review", "pr", "monitor")
QUEUES = ("default", "default", "red", "blue")


def draw_task(dice: random.Random) -> dict[str, Any]:
    """Draw a task file: half of them simulated work, half of engine `patch`, whose stages answer from a twin."""
    real = dice.random() < 0.5
    repo: dict[str, Any] = {"name": "r", "url": "/somewhere/r.git", "base": "main"}
    if window := dice.choice((0, 0, 0, 2, 12)):
        repo["monitor"] = {"window_s": window}
    spec = {
        "title": "a task",
        "body": "\n".join(_wishes(dice, real)),
        "priority": dice.choice(("urgent", "normal", "normal", "low")),
        "queue": dice.choice(QUEUES),
        "repos": [repo],
    }
    if real:
        repo["fail_to_pass"] = ["python -m pytest -q tests/test_wide.py"]
        repo["verify"] = {"test": "python -m pytest -q", "audit": "python -m compileall -q ."}
        return {**spec, "engine": "patch", "patch": "diff"}
    return {**spec, "engine": "noop", "synthetic": True}


def _wishes(dice: random.Random, real: bool) -> list[str]:
    lines = []
    if dice.random() < 0.5:
        lines.append(f"fail {dice.choice(STAGES)} {dice.choice((1, 1, 1, 2, 9))}")
    if dice.random() < 0.5:
        lines.append(f"work {dice.choice(STAGES)} {dice.choice((0.1, 1, 4))}")
    if dice.random() < 0.2:
        lines.append(f"stumble {dice.choice(STAGES)} {dice.choice((1, 1, 2, 5))}")
    if not real and dice.random() < 0.5:
        # More than a first grant now and then, and than a whole budget if it comes to several attempts.
        lines.append(f"spend {dice.choice(STAGES)} {dice.choice((300, 900, 1_500))} {dice.choice((1, 2, 4))}")
    if real and dice.random() < 0.3:
        lines.append(f"reject {dice.choice((1, 2))}")
    return lines
