"""A second process of a service: the standby, or the other replica, of a case that pauses the first."""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from autopilot.stack import environment, secrets
from autopilot.stack.config import HOST, module_of
from loadtest.chaos.arena import Arena
from loadtest.chaos.behind import redirected


@contextmanager
def second(arena: Arena, service: str) -> Iterator[int]:
    """Run `<service>-2` beside the supervised `<service>-1`; yields its process id. It ends with the context."""
    credentials = secrets.load_or_create(arena.config.secrets_dir)
    seen = redirected(arena.placed, arena.nats.port, arena.postgres.port)
    changed = {"AUTOPILOT_REPLICA": f"{service}-2", "AUTOPILOT_HTTP_PORT": str(_free_port())}
    with arena.config.log_file(f"{service}-2").open("ab") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "libs.runtime", module_of(service)],
            env={**environment.for_service(service, seen, credentials), **changed},
            cwd=arena.config.data_dir,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
        )
    try:
        yield process.pid
    finally:
        process.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(timeout=10)
        process.kill()
        process.wait()


@contextmanager
def paused(pid: int, signals: tuple[int, int]) -> Iterator[None]:
    """Stop a process for as long as the context lasts."""
    stop, go = signals
    os.kill(pid, stop)
    try:
        yield
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, go)


def _free_port() -> int:
    with socket.create_server((HOST, 0)) as probe:
        port: int = probe.getsockname()[1]
        return port
