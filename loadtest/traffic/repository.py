"""A tiny repository whose agent, named by its policy file, waits and then changes one file."""

from __future__ import annotations

import subprocess
from pathlib import Path

from loadtest.traffic.wishes import COMMANDED

#: Nobody's settings decide what is made.
_PLAIN = ("-c", "user.name=Load", "-c", "user.email=load@localhost", "-c", "init.defaultBranch=main")


def make(place: Path, seconds: float) -> Path:
    """Make it; return where it is. Raises CalledProcessError."""
    place.mkdir(parents=True)
    (place / "README").write_text("Nothing is here yet.\n", encoding="utf-8")
    program = f"sleep {seconds:g}; echo done > {COMMANDED}"
    (place / "autopilot-policy.toml").write_text(f'[agent]\ncommand = "{program}"\n', encoding="utf-8")
    for words in (("init", "-q"), ("add", "-A"), ("commit", "-qm", "An agent that waits")):
        subprocess.run(["git", *_PLAIN, *words], cwd=place, check=True, timeout=60, capture_output=True)
    return place
