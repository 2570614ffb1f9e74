"""A part of the stack is killed with -9 while it has work in hand, and everything ends as if it had not been."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.stack import environment

#: One that is done, one stacked on it, one refused by a gate, one that engine repair searches for. (The demo's long search
#: for what is not to be found keeps two processors busy for most of its time, and is killed in the long drill.)
TASKS = ("right", "builds-on", "breaks-another", "wrong-bound")


def drill(*arguments: str, timeout_s: float) -> list[dict[str, Any]]:
    """Run the drill; every kill must have met work in hand and changed no outcome."""
    done = subprocess.run(
        [sys.executable, "-m", "loadtest.drill", "--json", *arguments],
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        timeout=timeout_s,
        env=environment(),
        check=False,
    )
    assert done.returncode == 0, done.stderr[-4000:]
    kills: list[dict[str, Any]] = json.loads(done.stdout)
    assert all(kill["in_hand"] and kill["same_outcomes"] for kill in kills), kills
    return kills


def test_a_killed_stage_runner_loses_and_repeats_nothing(
    demo_rows: list[dict[str, Any]], tmp_path: Path
) -> None:
    undisturbed = tmp_path / "undisturbed.json"
    undisturbed.write_text(json.dumps(demo_rows))
    options = ("--target", "stage-runner", "--times", "1", "--against", str(undisturbed), "--tasks", *TASKS)
    assert len(drill(*options, timeout_s=600)) == 1


@pytest.mark.drill
def test_every_part_is_killed_five_times() -> None:
    kills = drill("--times", "5", timeout_s=6 * 3600)
    assert len(kills) == 5 * len({kill["part"] for kill in kills}) == 45
