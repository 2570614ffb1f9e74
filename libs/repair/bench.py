"""Where trials run: one copy of the tree and, for each command, a held session, or the command as it is written."""

from __future__ import annotations

import asyncio
import re
import shutil
import time
from collections.abc import Collection
from pathlib import Path

import structlog

from libs.repair.commands import is_single_pytest
from libs.repair.session import LostError, NotHeldError, Session
from libs.repair.trial import Job, Place, Run
from libs.sandbox import runner
from libs.sandbox.command import Command, Ended, Limits, Mount
from libs.sandbox.errors import SandboxError, SandboxUnavailableError
from libs.sandbox.interpreters import required_mounts
from libs.verification import checkout
from libs.verification.environment import TREE, plain
from libs.verification.execution import Workshop

#: Seconds in which a command must come to its pytest.
_START_S = 30.0
#: Seconds that a command run as it is written gets beyond a trial's time: an interpreter starts each time.
_EXTRA_S = 5.0
#: Bytes of what such a command prints that are looked through for the way of an exception.
_READ_BYTES = 200_000
_FRAME = re.compile(rf'(?:File "|^){re.escape(TREE)}/([^":\n]+\.py)(?:", line |:)(\d+)', re.MULTILINE)

_log = structlog.get_logger(__name__)


class Bench:
    """One worker's place; it carries one trial out at a time."""

    def __init__(self, workshop: Workshop, original: Path, deadline: float) -> None:
        self._workshop = workshop
        self._original = original
        #: On the clock of `time.monotonic`.
        self._deadline = deadline
        self._tree: Path | None = None
        self._sessions: dict[str, Session] = {}
        self._written: set[str] = set()
        self._warm: tuple[str, ...] = ()

    def warm(self, modules: Collection[str]) -> None:
        """Name modules that every session imports once for all its trials."""
        self._warm = tuple(modules)

    def holds(self, command: str) -> bool:
        """Tell whether a command's tests are seen one by one."""
        return command not in self._written and is_single_pytest(command)

    async def run(self, command: str, job: Job) -> Run:
        """Carry a trial out. A trial that ends its session fails; the next one gets a new session and a new tree.

        Raises SandboxUnavailableError, and SandboxError where the fault is not the trial's.
        """
        if self.holds(command):
            try:
                return await self._run_held(command, job)
            except NotHeldError:
                _log.info("repair_not_held", command=command)
                self._written.add(command)
            except LostError:
                await self.reset()
                return Run(how="died")
        return await self._run_written(command, job)

    async def _run_held(self, command: str, job: Job) -> Run:
        session = self._sessions.get(command)
        if session is None:
            left = max(1.0, self._deadline - time.monotonic())
            session = await Session.open(self._workshop, command, await self._place(), left + 60, _START_S)
            self._sessions[command] = session
            await session.run(_warming(self._warm)) if self._warm else None
        return await session.run(job)

    async def _run_written(self, command: str, job: Job) -> Run:
        tree = await self._place()
        overlay = self._workshop.fresh("overlay")
        output = self._workshop.fresh("written").with_suffix(".log")
        # Mounted and not written: what ran before may have put links into the tree.
        mounts = await asyncio.to_thread(_overlay, overlay, job)
        interpreters = await asyncio.to_thread(required_mounts, self._workshop.surroundings.directories)
        asked = Command(
            script=command,
            cwd=TREE,
            env=plain(self._workshop.surroundings.env),
            mounts=(Mount(source=str(tree), target=TREE, writable=True), *mounts, *interpreters),
            limits=Limits(wall_s=job.wall_s + _EXTRA_S, memory_mb=self._workshop.limits.memory_mb),
            cookie=self._workshop.cookie,
        )
        try:
            outcome = await runner.run(asked, output)
            text = await asyncio.to_thread(_tail, output)
        except SandboxUnavailableError:
            raise
        except SandboxError as error:
            if not error.stage.startswith(f"mount {TREE}/"):
                raise
            await self.reset()
            return Run(how="died")
        finally:
            await asyncio.to_thread(_remove, overlay, output)
        how = "ended" if outcome.ended is Ended.EXITED else "wall"
        return Run(status=outcome.exit_code, how=how, seconds=outcome.duration_s, ways=(frames(text),))

    async def _place(self) -> Path:
        if self._tree is None:
            self._tree = self._workshop.fresh("bench")
            await asyncio.to_thread(checkout.copy, self._original, self._tree)
        return self._tree

    async def reset(self) -> None:
        """End all sessions and throw the tree away."""
        for session in self._sessions.values():
            await session.close()
        self._sessions.clear()
        if self._tree is not None:
            tree, self._tree = self._tree, None
            await asyncio.shield(asyncio.to_thread(shutil.rmtree, tree, ignore_errors=True))


def _warming(modules: tuple[str, ...]) -> Job:
    # A fork that is told to run no test: the imports happen before it, in the session itself.
    return Job(cpu_s=1, wall_s=5, ids=("no/such/test.py",), warm=modules)


def _overlay(folder: Path, job: Job) -> list[Mount]:
    folder.mkdir(parents=True)
    mounts = []
    for number, (path, text) in enumerate(sorted(job.files.items())):
        source = folder / f"{number}.py"
        source.write_text(text, encoding="utf-8", errors="surrogateescape", newline="")
        mounts.append(Mount(source=str(source), target=f"{TREE}/{path}"))
    return mounts


def _remove(folder: Path, file: Path) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    file.unlink(missing_ok=True)


def _tail(output: Path) -> str:
    with output.open("rb") as stream:
        stream.seek(max(0, output.stat().st_size - _READ_BYTES))
        return stream.read().decode("utf-8", "replace")


def frames(text: str) -> tuple[Place, ...]:
    """Find the lines of the tree that a printed traceback names, in their order."""
    return tuple((path, int(line)) for path, line in _FRAME.findall(text))[-200:]
