"""The container stack on a real engine: the demo's promises, names and rights inside. Skipped where no engine answers.

It takes the ports of the default stack and builds the image, which takes minutes; hence it runs with the drills. The stack is
a project of its own with volumes of its own. The long form, with every container killed and three stage-runners, is
`python -m loadtest.compose`.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from autopilot.cli import demo
from autopilot.stack.config import StackConfig
from loadtest import failover
from loadtest.containers import container_stack, engine
from tests.e2e.containers import docker, missing
from tests.e2e.stack import until

pytestmark = [pytest.mark.containers, pytest.mark.drill]


@pytest.fixture(scope="module")
def stack() -> Iterator[StackConfig]:
    if why := missing():
        pytest.skip(why)
    engine("build")
    with container_stack() as config:
        yield config


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
    assert len(token) == 64
    assert token not in docker("inspect", *engine("ps", "-q").split())


def test_a_standby_leads_when_the_leader_is_killed_and_nobody_has_to_look_for_it(stack: StackConfig) -> None:
    with failover.several(), failover.watched(stack) as (witness, client):
        client.start()
        kills = [failover.kill_leader(witness, client) for _ in range(2)]
        client.stop()
        _, breaches = witness.at_rest(client.accepted)
    assert [one.leads for one in kills] == [kills[1].killed, kills[0].killed]
    # What is published never refuses a connection; what the dead one had in hand may be lost to its client.
    assert not {"ConnectionRefusedError"} & {fault for one in kills for fault in one.refused}
    assert breaches == []


#: The gate's own program, with a way to hang: a handler of a signal runs in the thread of the event loop, and this one stays there.
HANGS = """
import runpy, signal, sys, threading
def stays_here(*_): threading.Event().wait()
signal.signal(signal.SIGUSR1, stays_here)
sys.argv[1:] = ["services.gate.app"]
runpy.run_module("libs.runtime", run_name="__main__", alter_sys=True)
"""
#: Tells the program, which is the only child of the container's first process.
TELL = "import os; os.kill(int(open('/proc/1/task/1/children').read()), 10)"


@pytest.fixture
def gate(stack: StackConfig, tmp_path: Path) -> Iterator[str]:
    """The container of a gate that can be made to hang."""
    changed = {"command": ["python", "-c", HANGS], "environment": {"AUTOPILOT_HUNG_AFTER_S": "5"}}
    file = tmp_path / "hangs.yml"
    file.write_text(json.dumps({"services": {"gate": changed}}))
    engine("--file", "docker-compose.yml", "--file", str(file), "up", "-d", "--wait", "gate")
    yield engine("ps", "-q", "gate")
    engine("up", "-d", "--wait")


def test_a_part_that_hangs_ends_and_is_started_again(gate: str) -> None:
    engine("exec", "-T", "gate", "python", "-c", TELL)
    until(lambda: docker("inspect", "-f", "{{.RestartCount}}", gate).strip() == "1", "the gate's second life")
    until(
        lambda: docker("inspect", "-f", "{{.State.Health.Status}}", gate).strip() == "healthy", "its health"
    )
    said = docker("logs", gate)
    assert "Timeout (0:00:" in said
    assert "in stays_here" in said
