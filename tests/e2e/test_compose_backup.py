"""A backup goes from containers to containers, from there to the embedded stack, and back. Skipped where no engine answers."""

from __future__ import annotations

import json
import subprocess
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from autopilot.cli.client import Client
from loadtest.containers import container_stack, engine, remove, spoken
from loadtest.traffic import repository
from tests.e2e.containers import missing
from tests.e2e.stack import ENDS, Stack, until

pytestmark = [pytest.mark.containers, pytest.mark.drill]

PLACE = "/scratch/till"
#: Under way while the backup is made.
WAITS = {
    "title": "waits",
    "body": "work implement 20",
    "engine": "noop",
    "synthetic": True,
    "repos": [{"name": "none", "url": "/nowhere"}],
}


def shown(client: Client, task_id: str) -> dict[str, Any]:
    """A task as the page shows it."""
    told: dict[str, Any] = client.dashboard("GET", f"/api/v1/tasks/{task_id}")
    return told


def ended(client: Client, task_id: str) -> str:
    """Wait for a task's end; return how it ended."""

    def look() -> str | None:
        phase: str = client.scheduler("GET", f"/v1/tasks/{task_id}")["phase"]
        return phase if phase in ENDS else None

    return until(look, "the end of a task")


def restore(given: bytes, key: str) -> None:
    """Fill new volumes."""
    engine("run", "--rm", "-T", "restore", key, given=given)


def test_a_backup_moves_between_containers_and_the_embedded_stack(tmp_path: Path) -> None:
    if why := missing():
        pytest.skip(why)
    engine("build")
    with container_stack() as config, closing(Client(config)) as client:
        make = ("-m", "loadtest.traffic.repository", PLACE, "0")
        engine("run", "--rm", "--no-deps", "-T", "--entrypoint", "python", "cli", *make)
        real = client.scheduler("POST", "/v1/tasks", json=repository.task(PLACE, "/opt/venv/bin", "1"))["id"]
        assert ended(client, real) == "done"
        done = until(
            lambda: told if (told := shown(client, real))["pull_requests"] else None, "its pull request"
        )
        waits = client.scheduler("POST", "/v1/tasks", json=WAITS)["id"]
        until(lambda: client.scheduler("GET", f"/v1/tasks/{waits}")["stage"] == "implement", "its stage")
        given = spoken("run", "--rm", "-T", "--no-deps", "cli", "backup", "-")
        assert client.scheduler("GET", f"/v1/tasks/{waits}")["phase"] not in ENDS
        key = engine("run", "--rm", "-T", "--no-deps", "cli", "journal", "verify", "--json")

    try:
        restore(given, _key(key))
        with pytest.raises(subprocess.CalledProcessError):
            restore(given, _key(key))
        _goes_on(real, waits)
    finally:
        remove()

    (tmp_path / "backup.gz").write_bytes(given)
    other = Stack(tmp_path / "embedded")
    assert other.run("restore", tmp_path / "backup.gz", "--public-key", _key(key)).returncode == 0
    assert other.run("up", "--detach", "--ephemeral-ports").returncode == 0
    try:
        assert other.ended(waits)["phase"] == "done"
        assert other.task(real)["pull_requests"] == done["pull_requests"]
        assert other.json("journal", "verify")["ok"]
        assert other.run("backup", tmp_path / "again.gz").returncode == 0
    finally:
        other.client.close()
        assert other.run("down").returncode == 0

    try:
        restore((tmp_path / "again.gz").read_bytes(), other.secret("journal-public-key"))
        _goes_on(real, waits)
    finally:
        remove()


def _key(verdict: str) -> str:
    key: str = json.loads(verdict)["key"]
    return key


def _goes_on(real: str, waits: str) -> None:
    """Start on what was restored: what had ended is there, what was under way ends, and what is new is done."""
    with container_stack(keep=True) as config, closing(Client(config)) as client:
        assert ended(client, waits) == "done"
        assert len(shown(client, real)["pull_requests"]) == 1
        new = client.scheduler("POST", "/v1/tasks", json=WAITS)["id"]
        assert ended(client, new) == "done"
        # Files came along: the pull request is one that git can read.
        refs = engine("exec", "-T", "stage-runner", "sh", "-c", "git -C /data/forge/*.git show-ref")
        assert "refs/pull/1/head" in refs
        assert '"ok": true' in engine("run", "--rm", "-T", "--no-deps", "cli", "journal", "verify", "--json")
