"""The container stack as a load test sees it: from outside, with the docker client, under a project of its own.

Its volumes are its own too, so a record that somebody keeps under the compose file's name is never touched. The ports are
those of every stack, so it does not start beside another.
"""

from __future__ import annotations

import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec

from autopilot.containers.dealing import described
from autopilot.stack import secrets, status
from autopilot.stack.config import StackConfig

ROOT = Path(__file__).resolve().parents[1]
PROJECT = "autopilot-loadtest"
COMPOSE = ("docker", "compose", "--project-name", PROJECT)
#: Seconds for a command of the engine.
ENGINE_S = 300.0


def engine(*arguments: str, given: bytes | None = None) -> str:
    """Run `docker compose …` on the project and return what it prints. Raises `subprocess.CalledProcessError`."""
    return spoken(*arguments, given=given).decode().strip()


def spoken(*arguments: str, given: bytes | None = None) -> bytes:
    """Do the same for what is no text. `given` goes to standard input."""
    done = subprocess.run(
        [*COMPOSE, *arguments],
        cwd=ROOT,
        input=given,
        stdin=subprocess.DEVNULL if given is None else None,
        stdout=subprocess.PIPE,
        check=True,
        timeout=ENGINE_S,
    )
    return done.stdout


def remove() -> None:
    """Remove containers and volumes."""
    engine("--profile", "*", "down", "-v", "--timeout", "20")


@contextmanager
def container_stack(*, keep: bool = False) -> Iterator[StackConfig]:
    """Start the stack and remove it in the end, unless it is to be kept. Raises `subprocess.CalledProcessError`.

    What is yielded names a directory that describes it as that of an embedded stack does, with the credentials of
    whoever looks from outside.
    """
    try:
        engine("up", "-d", "--wait")
        with tempfile.TemporaryDirectory(prefix="autopilot-containers-") as scratch:
            config = StackConfig(data_dir=Path(scratch))
            config.secrets_dir.mkdir(mode=0o700)
            for name, part, file in (
                ("api-token", "scheduler", "api-token"),
                ("postgres-superuser", "postgres", "superuser-password"),
            ):
                secret = engine("exec", "-T", part, "cat", f"/secrets/{file}")
                secrets.write_private(config.secrets_dir / name, secret + "\n")
            status.write(config.stack_file, msgspec.structs.replace(described(config), published=None))
            yield config
    finally:
        if not keep:
            remove()
