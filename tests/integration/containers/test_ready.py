"""A container's health check, as the engine runs it."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

READY = Path(__file__).parents[3] / "infra" / "docker" / "ready.py"
ANSWERS = {
    "/ready": (200, b'{"ready": true, "not_ready": {}}'),
    "/standby": (503, b'{"ready": false, "not_ready": {"standby": "another process holds the lease"}}'),
    "/worse": (503, b'{"ready": false, "not_ready": {"standby": "so", "record": "away"}}'),
    "/idle": (503, b'{"ready": false, "not_ready": {"lease": "not held yet"}}'),
    "/proxy": (503, b"nobody is there"),
}


class Answering(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        status, body = ANSWERS[self.path]
        self.send_response(status)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture(scope="module")
def port() -> Iterator[int]:
    with ThreadingHTTPServer(("127.0.0.1", 0), Answering) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server.server_address[1]
        server.shutdown()
        thread.join()


def check(*arguments: object) -> int:
    command = [sys.executable, "-I", "-S", READY, *arguments]
    return subprocess.run(list(map(str, command)), capture_output=True, timeout=60, check=False).returncode


@pytest.mark.parametrize(
    ("paths", "status"),
    [
        (["/ready"], 0),
        # It does what it is there for; `/readyz` says 503 to whoever looks for somebody to talk to.
        (["/standby"], 0),
        (["/worse"], 1),
        (["/idle"], 1),
        (["/proxy"], 1),
        (["/ready", "/ready"], 0),
        (["/ready", "/proxy"], 1),
    ],
    ids=str,
)
def test_a_service_is_healthy_when_it_works_or_stands_by(port: int, paths: list[str], status: int) -> None:
    assert check(*(f"{port}{path}" for path in paths)) == status


def test_who_does_not_answer_is_not_healthy(port: int) -> None:
    assert check("1/readyz") == 1


def test_a_beat_must_be_young(tmp_path: Path) -> None:
    beat = tmp_path / "beat"
    assert check(beat, 45) == 1
    beat.touch()
    assert check(beat, 45) == 0
    assert check(beat, 0) == 1
