"""A tiny repository with one fault, whose agent, named by its policy file, sleeps and then mends it.

`python -m loadtest.traffic.repository DIR SECONDS` makes one.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

#: Nobody's settings decide what is made.
_PLAIN = ("-c", "user.name=Load", "-c", "user.email=load@localhost", "-c", "init.defaultBranch=main")
_FILES = {
    "till.py": "def total(prices):\n    return sum(prices[:-1])\n",
    "test_till.py": "from till import total\n\n\ndef test_total():\n    assert total([1, 2, 3]) == 6\n",
    "pytest.ini": "[pytest]\npythonpath = .\n",
}
_MENDS = r"sed -i 's/prices\[:-1\]/prices/' till.py"


def make(place: Path, seconds: float) -> Path:
    """Make it, with an agent that sleeps so long; return where it is. Raises CalledProcessError."""
    place.mkdir(parents=True)
    policy = f"[agent]\ncommand = '''sleep {seconds:g}; {_MENDS}'''\n"
    for name, content in {**_FILES, "autopilot-policy.toml": policy}.items():
        (place / name).write_text(content, encoding="utf-8")
    for words in (("init", "-q"), ("add", "-A"), ("commit", "-qm", "A till that leaves a price out")):
        subprocess.run(["git", *_PLAIN, *words], cwd=place, check=True, timeout=60, capture_output=True)
    return place


def task(place: str, tools: str, number: str) -> dict[str, Any]:
    """Write a task for its agent; `tools` is the directory of a Python with pytest, where the stage-runner is."""
    repo = {
        "name": "till",
        "url": place,
        "base": "main",
        "env": {"PATH": f"{tools}:$PATH", "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"},
        "fail_to_pass": ["python -m pytest -q"],
    }
    return {
        "title": f"The last price is left out ({number})",
        "repos": [repo],
        "engine": "command",
        "queue": "agents",
        "budget": {"memory_mb": 256, "wall_s": 300},
        "synthetic": True,
    }


if __name__ == "__main__":
    make(Path(sys.argv[1]), float(sys.argv[2]))
