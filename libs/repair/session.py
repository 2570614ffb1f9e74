"""A test command that is held in the sandbox right before it loads its tests; each trial is a fork of it."""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import socket
from pathlib import Path

import msgspec

from libs.repair.trial import Job, Run
from libs.sandbox import runner
from libs.sandbox.command import Command, Limits, Mount, Outcome
from libs.sandbox.interpreters import required_mounts
from libs.verification.environment import TREE, hand_over, observed
from libs.verification.execution import Workshop

_HARNESS = Path(__file__).parent / "harness"
_PARTS = {"o": _HARNESS / "server.py", "w": _HARNESS / "trial.py"}
#: Bytes of one line of a server; it passes on no more per trial.
_LINE_BYTES = 32 << 20
#: MiB that the server needs beside what a trial may.
_OURS_MB = 64
#: Seconds in which a server must have ended a trial beyond the trial's own time.
_PATIENCE_S = 10.0


class NotHeldError(Exception):
    """The command ran no pytest that could be held, so it has to be run as it is written."""


class LostError(Exception):
    """The held command ended in the middle of a trial: the trial killed it, or a limit of the sandbox did."""


class Session:
    """One held command; one trial at a time."""

    def __init__(
        self,
        held: asyncio.Task[Outcome],
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        handover: Path,
    ) -> None:
        self._held = held
        self._reader = reader
        self._writer = writer
        self._handover = handover

    @classmethod
    async def open(
        cls, workshop: Workshop, command: str, tree: Path, wall_s: float, start_s: float
    ) -> Session:
        """Start the command on a tree and hold it.

        Raises NotHeldError if no pytest reports within `start_s`, and what the sandbox raises.
        """
        env = workshop.surroundings.env
        handover = await asyncio.to_thread(hand_over, workshop.fresh("harness"), env["PATH"], _PARTS)
        ours, theirs = socket.socketpair()
        ours.setblocking(False)
        reader, writer = await asyncio.open_connection(sock=ours, limit=_LINE_BYTES)
        interpreters = await asyncio.to_thread(required_mounts, workshop.surroundings.directories)
        asked = Command(
            script=command,
            cwd=TREE,
            env=observed(env, handover, theirs.fileno()),
            mounts=(
                Mount(source=str(tree), target=TREE, writable=True),
                Mount(source=str(handover.source), target=handover.target),
                *interpreters,
            ),
            limits=Limits(
                wall_s=wall_s, memory_mb=workshop.limits.memory_mb + _OURS_MB, output_bytes=1 << 20
            ),
            cookie=workshop.cookie,
            pass_fds=(theirs.fileno(),),
        )
        held = asyncio.create_task(runner.run(asked, workshop.fresh("held").with_suffix(".log")))
        session = cls(held, reader, writer, handover.source.parent)
        try:
            hello = await session._line(start_s)
        except BaseException:
            await session.close()
            raise
        finally:
            theirs.close()
        if hello != b"h\n":
            await session.close()
            if held.done() and not held.cancelled() and (error := held.exception()) is not None:
                raise error
            raise NotHeldError(f"`{command}` ran no pytest that could be held")
        return session

    async def run(self, job: Job) -> Run:
        """Carry one trial out. Raises LostError if the held command does not survive it."""
        run = Run()
        self._writer.write(msgspec.json.encode(job) + b"\n")
        deadline = asyncio.get_running_loop().time() + job.wall_s + _PATIENCE_S
        while True:
            line = await self._line(deadline - asyncio.get_running_loop().time())
            if line is None or not line.endswith(b"\n"):
                raise LostError("the held command ended")
            if line[:1] == b"e":
                run.end(line[1:])
                return run
            if line[:1] == b"t":
                run.hear(line[1:])

    async def _line(self, patience_s: float) -> bytes | None:
        """Read a line; None at the end of the command, or of patience."""
        reading = asyncio.ensure_future(self._reader.readline())
        try:
            await asyncio.wait(
                {reading, self._held}, timeout=max(0.0, patience_s), return_when=asyncio.FIRST_COMPLETED
            )
            if not reading.done():
                return None
            return reading.result() or None
        except (ValueError, OSError):
            return None
        finally:
            reading.cancel()
            with contextlib.suppress(asyncio.CancelledError, ValueError, OSError):
                await reading

    async def close(self) -> None:
        """End the command with all its processes."""
        # Shielded: whoever is cancelled meanwhile must leave no process and no folder behind.
        await asyncio.shield(self._end())

    async def _end(self) -> None:
        self._writer.close()
        self._held.cancel()
        await asyncio.wait({self._held})
        if not self._held.cancelled():
            self._held.exception()  # looked at, or asyncio complains; the trial that met it was told
        await asyncio.to_thread(shutil.rmtree, self._handover, ignore_errors=True)
