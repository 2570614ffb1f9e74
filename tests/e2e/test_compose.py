"""The container stack on a real engine: the demo's promises, names and rights inside. Skipped where no engine answers.

It takes the ports of the default stack and builds the image, which takes minutes; hence it runs with the drills. The long form,
with every container killed and three stage-runners, is `python -m loadtest.compose`.
"""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Iterator
from typing import Any

import pytest

from autopilot.cli import demo
from autopilot.stack.config import DEFAULT_PORTS
from autopilot.stack.ports import busy
from loadtest.compose import engine


def _missing() -> str:
    if shutil.which("docker") is None:
        return "no docker client is installed"
    found = subprocess.run(
        ["docker", "compose", "ls"], capture_output=True, text=True, timeout=20, check=False
    )
    if found.returncode:
        return f"no container engine answers: {found.stderr.strip()[:200]}"
    return f"ports of the stack are in use: {taken}" if (taken := busy(DEFAULT_PORTS)) else ""


pytestmark = [pytest.mark.containers, pytest.mark.drill]


@pytest.fixture(scope="module")
def stack() -> Iterator[None]:
    if why := _missing():
        pytest.skip(why)
    engine("build")
    engine("up", "-d", "--wait")
    try:
        yield
    finally:
        engine("down", "-v", "--timeout", "20")


@pytest.mark.usefixtures("stack")
def test_the_demo_ends_as_promised() -> None:
    rows: list[dict[str, Any]] = json.loads(engine("run", "--rm", "--no-deps", "-T", "cli", "demo", "--json"))
    assert {row["key"]: row["outcome"] for row in rows} == {
        key: promise["outcome"] for key, promise in demo.promised().items()
    }


@pytest.mark.usefixtures("stack")
def test_commands_are_isolated_inside_a_container_without_rights() -> None:
    said = json.loads(engine("exec", "-T", "stage-runner", "autopilot", "doctor", "--json"))
    (sandbox,) = [check for check in said if check["name"] == "sandbox"]
    assert sandbox["ok"], sandbox["detail"]
    status = engine("exec", "-T", "stage-runner", "cat", "/proc/self/status")
    fields = dict(line.split(":\t", 1) for line in status.splitlines())
    assert (fields["CapEff"], fields["NoNewPrivs"]) == ("0" * 16, "1")
    assert fields["Uid"].split()[0] == "10001"


@pytest.mark.usefixtures("stack")
def test_the_engine_shows_no_credential() -> None:
    token = engine("exec", "-T", "gate", "cat", "/secrets/api-token")
    ids = engine("ps", "-q").split()
    shown = subprocess.run(
        ["docker", "inspect", *ids], capture_output=True, text=True, timeout=60, check=True
    ).stdout
    assert len(token) == 64
    assert token not in shown
