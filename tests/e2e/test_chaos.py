"""Everything is killed at once under load, started again, and an outsider finds nothing lost and nothing doubled."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from tests.e2e.stack import environment


def test_a_stack_that_was_killed_whole_goes_on_and_its_record_is_sound(tmp_path: Path) -> None:
    result = tmp_path / "chaos.json"
    # Small: the suite itself is `make chaos`.
    options = ("kill everything", "--tasks", "25", "--real", "0", "--json", str(result))
    done = subprocess.run(
        [sys.executable, "-m", "loadtest.chaos", *options],
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        timeout=600,
        env=environment(),
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr[-4000:]
    (one,) = json.loads(result.read_text())
    assert (one["tasks"], one["lost"], one["breaches"], one["error"]) == (25, 0, 0, "")
    assert one["interrupted"][0] > 0
