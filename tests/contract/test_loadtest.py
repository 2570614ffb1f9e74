"""The load test calls what the services offer, and its users load; gevent stays in a process of its own."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from libs.runtime import http
from libs.testing.world import World
from loadtest.traffic.routes import ROUTES
from services.dashboard.app import service as dashboard
from services.scheduler.app import service as scheduler

ROOT = Path(__file__).parents[2]


async def _nothing_wrong() -> dict[str, str]:
    return {}


@pytest.mark.parametrize("name", ["scheduler", "dashboard"])
async def test_every_route_of_the_load_test_is_offered(name: str, tmp_path: Path) -> None:
    world = World([scheduler, dashboard], str(tmp_path))
    running = await world.start(name)
    paths = http.build(running, _nothing_wrong).openapi()["paths"]
    offered = {(method.upper(), path) for path, methods in paths.items() for method in methods}
    called = [(route.method, route.path) for route in ROUTES if route.service == name]
    assert called
    assert [one for one in called if one not in offered] == []


def test_the_users_load_in_a_process_of_their_own_and_have_something_to_do() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "locust", "-f", ROOT / "loadtest" / "locustfile.py", "--show-task-ratio-json"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    users = json.loads(done.stdout)["total"]
    assert set(users) == {"Batcher", "Careless", "Commander", "Follower", "Operator", "Reader", "Submitter"}
    assert all(user["tasks"] for user in users.values())
    assert "gevent" not in sys.modules
