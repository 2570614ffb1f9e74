"""Real sandboxes, of each kind that this machine offers."""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import Awaitable, Callable, Coroutine
from pathlib import Path
from typing import Any

import msgspec
import pytest

from libs.sandbox import capability, groups
from libs.sandbox.command import Command, Limits, Mount, Outcome
from libs.sandbox.errors import SandboxError
from libs.sandbox.groups import Groups
from libs.sandbox.launch import Backend, launch

Shell = Callable[..., Coroutine[Any, Any, tuple[Outcome, str]]]
Waiting = Callable[[Callable[[], object]], Awaitable[None]]

#: Seconds; generous, since the machine may be busy with other things.
PATIENCE_S = 120
LIMITS = Limits(wall_s=60)


@pytest.fixture(scope="session", params=["groups", "samples"])
def held_by(request: pytest.FixtureRequest) -> Groups:
    """Who holds the limits: the kernel's control groups, or samples alone as where none can be made."""
    if request.param == "samples":
        return Groups()
    found = groups.find()
    if found.missing:
        pytest.skip("; ".join(found.missing))
    return found


@pytest.fixture(scope="session", params=capability.candidates(), ids=lambda candidate: candidate.kind)
def backend(request: pytest.FixtureRequest, held_by: Groups) -> Backend:
    """Each kind of sandbox that is installed; one that does not work is skipped with the reason."""
    candidate: Backend = msgspec.structs.replace(request.param, groups=held_by)
    try:
        capability.try_out(candidate)
    except SandboxError as error:
        pytest.skip(f"{candidate.kind}: {capability.remedy(error)}")
    return candidate


@pytest.fixture
def shell(backend: Backend, tmp_path: Path) -> Shell:
    """Runs a script in a sandbox and returns the outcome and what it printed."""

    async def run(
        script: str,
        *mounts: Mount,
        cwd: str = "/tmp",
        env: dict[str, str] | None = None,
        limits: Limits = LIMITS,
        cookie: str = "",
        pass_fds: tuple[int, ...] = (),
    ) -> tuple[Outcome, str]:
        output = tmp_path / f"output-{secrets.token_hex(4)}"
        command = Command(
            script=script,
            cwd=cwd,
            env={"PATH": "/usr/local/bin:/usr/bin:/bin"} if env is None else env,
            mounts=mounts,
            limits=limits,
            cookie=cookie,
            pass_fds=pass_fds,
        )
        outcome = await launch(command, output, backend)
        return outcome, output.read_text(encoding="utf-8", errors="replace")

    return run


@pytest.fixture
def marker() -> str:
    """A number of seconds that no other process on this machine sleeps for."""
    return f"{10**6 + secrets.randbelow(10**9)}.5"


@pytest.fixture
def until() -> Waiting:
    """Waits for a condition outside, and fails when it does not come true."""

    async def wait(condition: Callable[[], object]) -> None:
        deadline = time.monotonic() + PATIENCE_S
        while not condition():
            assert time.monotonic() < deadline, "the condition did not come true in time"
            await asyncio.sleep(0.01)

    return wait


@pytest.fixture
def processes() -> Callable[[str], list[int]]:
    """Finds the host's processes whose command line has this word."""

    def find(word: str) -> list[int]:
        found = []
        for folder in Path("/proc").glob("[0-9]*"):
            try:
                words = (folder / "cmdline").read_bytes().split(b"\0")
            except OSError:
                continue
            if word.encode() in words:
                found.append(int(folder.name))
        return found

    return find
