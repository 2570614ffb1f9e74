"""Whether the container stack can be started here, and what is looked at with the docker client beside `docker compose`."""

from __future__ import annotations

import shutil
import subprocess

from autopilot.stack.config import DEFAULT_PORTS
from autopilot.stack.ports import busy


def missing() -> str:
    """Say what is missing; empty if nothing is."""
    if shutil.which("docker") is None:
        return "no docker client is installed"
    found = subprocess.run(
        ["docker", "compose", "ls"], capture_output=True, text=True, timeout=20, check=False
    )
    if found.returncode:
        return f"no container engine answers: {found.stderr.strip()[:200]}"
    return f"ports of the stack are in use: {taken}" if (taken := busy(DEFAULT_PORTS)) else ""


def docker(*arguments: str) -> str:
    """Run `docker …` and return what it says on both its outputs."""
    done = subprocess.run(["docker", *arguments], capture_output=True, text=True, timeout=60, check=True)
    return done.stdout + done.stderr
