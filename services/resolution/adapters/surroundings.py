"""Looks at what the commands of a task find around them, as the lock of an incident's environment."""

from __future__ import annotations

import asyncio
import importlib.metadata
import platform
import tempfile
from pathlib import Path

import msgspec
import structlog

from contracts.task import RepoSpec
from libs.sandbox import runner
from libs.sandbox.command import Command, Ended, Limits
from libs.sandbox.errors import SandboxError, SandboxUnavailableError
from libs.sandbox.interpreters import required_mounts
from libs.verification.environment import Surroundings, plain, surround
from libs.verification.types import RequestError

log = structlog.get_logger(__name__)

#: Seconds and MiB that the look may take.
_LIMITS = Limits(wall_s=30, memory_mb=512, output_bytes=2**20)
#: Says what the task's own interpreter sees: nothing of ours may be asked instead.
_LOOK = """
git --version 2>/dev/null || echo
python=$(command -v python || command -v python3) || exit 0
"$python" --version 2>&1
"$python" - <<'END'
from importlib.metadata import distributions
names = {}
for one in distributions():
    names.setdefault((one.metadata["Name"] or "").strip(), one.version)
for name in sorted(filter(None, names), key=str.lower):
    print(f"{name}=={names[name]}")
END
"""


class Seen(msgspec.Struct, frozen=True, kw_only=True):
    """What the commands of one repository find."""

    #: `python --version`, `git --version`; empty where there is none.
    python: str = ""
    git: str = ""
    #: Installed packages, `name==version`, as the task's Python sees them.
    packages: tuple[str, ...] = ()
    #: Digest that the verifier's receipts are bound to: variables, interpreters, packages.
    digest: str = ""
    variables: dict[str, str] = msgspec.field(default_factory=dict)
    #: Directories that the variables name and that the commands may read.
    directories: tuple[str, ...] = ()


class Lock(msgspec.Struct, frozen=True, kw_only=True):
    """An incident's environment."""

    autopilot: str
    platform: str
    repositories: dict[str, Seen]


def around(repo: RepoSpec) -> Surroundings | None:
    """Work out variables and directories as the verifier does; None where it refuses them."""
    try:
        return surround(repo.env)
    except RequestError:
        return None


async def look(repos: tuple[RepoSpec, ...]) -> Lock:
    """Look at the surroundings of every repository."""
    return Lock(
        autopilot=importlib.metadata.version("autopilot"),
        platform=platform.platform(),
        repositories={repo.name: await _seen(repo) for repo in repos},
    )


async def _seen(repo: RepoSpec) -> Seen:
    found = await asyncio.to_thread(around, repo)
    if found is None:
        return Seen()
    known = Seen(digest=found.digest, variables=found.env, directories=found.directories)
    with tempfile.TemporaryDirectory(prefix="autopilot-look-") as scratch:
        output = Path(scratch) / "output"
        command = Command(
            script=_LOOK,
            cwd="/",
            env=plain(found.env),
            mounts=await asyncio.to_thread(required_mounts, found.directories),
            limits=_LIMITS,
        )
        try:
            outcome = await runner.run(command, output)
        except (SandboxError, SandboxUnavailableError) as error:
            log.warning("environment_not_seen", repo=repo.name, error=str(error))
            return known
        lines = output.read_text(errors="replace").splitlines()
    if outcome.ended is not Ended.EXITED or outcome.exit_code != 0:
        return known
    git, python, *packages = [*lines, "", ""][: max(2, len(lines))]
    return msgspec.structs.replace(known, git=git, python=python, packages=tuple(packages))
