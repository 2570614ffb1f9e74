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
from loadtest.chaos.arena import Arena, until
from loadtest.chaos.behind import redirected


@contextmanager
def second(arena: Arena, service: str, number: int = 2) -> Iterator[int]:
    """Run `<service>-<number>` beside the supervised `<service>-1`; yields its process id once it answers.

    It ends with the context. Raises ChaosError when it does not answer in time.
    """
    credentials = secrets.load_or_create(arena.config.secrets_dir)
    seen = redirected(arena.placed, arena.nats.port, arena.postgres.port)
    port = _free_port()
    changed = {"AUTOPILOT_REPLICA": f"{service}-{number}", "AUTOPILOT_HTTP_PORT": str(port)}
    with arena.config.log_file(f"{service}-{number}").open("ab") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "libs.runtime", module_of(service)],
            env={**environment.for_service(service, seen, credentials), **changed},
            cwd=arena.config.data_dir,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
        )
    try:
        # It answers before it has a lease, and from then on it asks for one.
        until(lambda: _answers(port) or None, f"{service}-{number} answers")
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


def _answers(port: int) -> bool:
    try:
        socket.create_connection((HOST, port), timeout=1.0).close()
    except OSError:
        return False
    return True


def _free_port() -> int:
    with socket.create_server((HOST, 0)) as probe:
        port: int = probe.getsockname()[1]
        return port
