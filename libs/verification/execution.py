"""Runs one command of a verification in the sandbox and brings back everything that was seen of it."""

from __future__ import annotations

import asyncio
import shutil
import uuid
from collections.abc import AsyncIterator, Coroutine, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from libs.sandbox import runner
from libs.sandbox.command import Command, Ended, Mount
from libs.sandbox.command import Limits as SandboxLimits
from libs.sandbox.interpreters import required_mounts
from libs.verification import junit, transcript
from libs.verification.channel import Channel
from libs.verification.checkout import Snapshot
from libs.verification.environment import TREE, Surroundings, hand_over, observed, plain, surround
from libs.verification.report import Report
from libs.verification.types import Limits

T = TypeVar("T")


class Ran(msgspec.Struct, frozen=True, kw_only=True):
    """One command's run, as measured from outside."""

    command: str
    exit_code: int | None
    ended: str
    duration_s: float
    cpu_s: float = 0.0
    peak_memory_mb: float
    report: Report = msgspec.field(default_factory=Report)
    #: Protected files that were not the same after the run.
    touched: tuple[str, ...] = ()
    cached: bool = False

    @property
    def succeeded(self) -> bool:
        """Tell whether the command ended by itself and said that all is well."""
        return self.ended == Ended.EXITED and self.exit_code == 0


class Workshop(msgspec.Struct, frozen=True, kw_only=True):
    """What all commands of one verification share."""

    workdir: Path
    surroundings: Surroundings
    limits: Limits
    #: Marks every process of this verification, so that a later one finds what a crash left behind.
    cookie: str
    #: Keeps the number of commands that run at once within the limit.
    places: asyncio.Semaphore

    def fresh(self, kind: str) -> Path:
        """Name a path below the working directory that nothing uses yet."""
        return self.workdir / f"{kind}-{uuid.uuid4().hex[:12]}"


async def together(works: Sequence[Coroutine[Any, Any, T]]) -> list[T]:
    """Carry works out at once; when one fails, the others are stopped and its own exception is raised.

    A task group would wrap that exception into a group, which callers who wait for a sandbox's error do not catch.
    """
    tasks = [asyncio.ensure_future(work) for work in works]
    try:
        return await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


@asynccontextmanager
async def opened(
    env: Mapping[str, str], limits: Limits, workdir: Path, cookie: str
) -> AsyncIterator[Workshop]:
    """Make the working directory of a verification; it is gone afterwards, whatever happens."""
    surroundings = await asyncio.to_thread(surround, env)
    await asyncio.to_thread(shutil.rmtree, workdir, ignore_errors=True)
    workdir.mkdir(parents=True)
    try:
        yield Workshop(
            workdir=workdir.absolute(),
            surroundings=surroundings,
            limits=limits,
            cookie=cookie or f"verify-{uuid.uuid4().hex}",
            places=asyncio.Semaphore(max(1, limits.parallel)),
        )
    finally:
        # Shielded: a cancelled verification must not leave a checkout behind.
        await asyncio.shield(asyncio.to_thread(shutil.rmtree, workdir, ignore_errors=True))


async def run_plain(workshop: Workshop, command: str, tree: Path, output: Path) -> Ran:
    """Run a command that is judged by its exit code."""
    async with workshop.places:
        return await _run(workshop, command, tree, output, plain(workshop.surroundings.env))


async def run_observed(
    workshop: Workshop,
    command: str,
    tree: Path,
    output: Path,
    report: str | None = None,
    *,
    altered: Mapping[str, bytes] | None = None,
) -> Ran:
    """Run a command that is judged test by test: by our observer, or by the report that the task names.

    `altered` are test files, by path, that the observed process shall load in the place of those on disk.
    """
    if report is not None:
        async with workshop.places:
            await asyncio.to_thread(junit.remove, tree, report)
            ran = await _run(workshop, command, tree, output, plain(workshop.surroundings.env))
            read = await asyncio.to_thread(junit.read, tree, report)
        return msgspec.structs.replace(ran, report=read)
    handover = await asyncio.to_thread(
        hand_over, workshop.fresh("observer"), workshop.surroundings.env["PATH"]
    )
    try:
        async with workshop.places:
            with Channel(altered=altered) as channel:
                env = observed(workshop.surroundings.env, handover, channel.descriptor)
                mounts = (Mount(source=str(handover.source), target=handover.target),)
                ran = await _run(workshop, command, tree, output, env, mounts, (channel.descriptor,))
        report_read = await asyncio.to_thread(transcript.read, channel.sessions, channel.violations)
    finally:
        await asyncio.shield(asyncio.to_thread(shutil.rmtree, handover.source.parent, ignore_errors=True))
    return msgspec.structs.replace(ran, report=report_read)


async def _run(
    workshop: Workshop,
    command: str,
    tree: Path,
    output: Path,
    env: dict[str, str],
    mounts: Iterable[Mount] = (),
    descriptors: tuple[int, ...] = (),
) -> Ran:
    interpreters = await asyncio.to_thread(required_mounts, workshop.surroundings.directories)
    outcome = await runner.run(
        Command(
            script=command,
            cwd=TREE,
            env=env,
            mounts=(Mount(source=str(tree), target=TREE, writable=True), *mounts, *interpreters),
            limits=SandboxLimits(wall_s=workshop.limits.wall_s, memory_mb=workshop.limits.memory_mb),
            cookie=workshop.cookie,
            pass_fds=descriptors,
        ),
        output,
    )
    return Ran(
        command=command,
        exit_code=outcome.exit_code,
        ended=str(outcome.ended),
        duration_s=round(outcome.duration_s, 3),
        cpu_s=outcome.cpu_s,
        peak_memory_mb=round(outcome.peak_memory_mb, 1),
    )


def with_touched(ran: Ran, before: Snapshot, after: Snapshot) -> Ran:
    """Note which protected files a run left different from how it found them."""
    return msgspec.structs.replace(ran, touched=before.differing(after))
