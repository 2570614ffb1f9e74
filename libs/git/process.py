"""Runs one git process: bounded in time and output, and never survived by what it started."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from collections.abc import Mapping, Sequence
from pathlib import Path

import msgspec

from libs.git.error import GitMissingError, GitTimeoutError, OversizeError

#: Bytes of standard output that one call may produce unless it says otherwise.
OUTPUT_LIMIT = 256 * 1024 * 1024
#: Bytes of standard error that are kept; the rest is read and dropped.
_STDERR_KEPT = 64 * 1024
_CHUNK = 256 * 1024


class Completed(msgspec.Struct, frozen=True, kw_only=True):
    """Holds what a git process left behind."""

    code: int
    stdout: bytes
    stderr: str

    @property
    def text(self) -> str:
        """Returns standard output as text without its last newline; odd bytes survive as in `os.fsdecode`."""
        return os.fsdecode(self.stdout).rstrip("\n")


async def run(
    args: Sequence[str],
    *,
    cwd: Path,
    environment: Mapping[str, str],
    timeout_s: float,
    data: bytes | None = None,
    output_limit: int = OUTPUT_LIMIT,
    inherit: tuple[int, ...] = (),
) -> Completed:
    """Runs `git args` to its end, whatever its exit code.

    `inherit` are descriptors of locks: git and its children hold them too, so that a lock outlives a caller
    that was killed for as long as its git is still writing.
    Raises GitTimeoutError, OversizeError and GitMissingError; the process group is killed on each, and on
    cancellation.
    """
    process: asyncio.subprocess.Process | None = None
    try:
        async with asyncio.timeout(timeout_s):
            process = await asyncio.create_subprocess_exec(
                "git",
                *args,
                cwd=cwd,
                env=dict(environment),
                stdin=asyncio.subprocess.DEVNULL if data is None else asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.PIPE,
                start_new_session=True,
                pass_fds=inherit,
            )
            stdout, stderr = await _talk(process, data, output_limit)
            code = await process.wait()
    except TimeoutError as error:
        raise GitTimeoutError(_name(args), timeout_s) from error
    except FileNotFoundError as error:
        if error.filename == "git":
            raise GitMissingError from error
        raise
    except BaseExceptionGroup as group:
        oversize, rest = group.split(OversizeError)
        if oversize is None or rest is not None:
            raise
        raise OversizeError(f"the output of git {_name(args)}", output_limit) from None
    finally:
        if process is not None and process.returncode is None:
            await _kill(process)
    return Completed(code=code, stdout=stdout, stderr=os.fsdecode(stderr))


async def _talk(process: asyncio.subprocess.Process, data: bytes | None, limit: int) -> tuple[bytes, bytes]:
    assert process.stdout is not None
    assert process.stderr is not None
    async with asyncio.TaskGroup() as group:
        out = group.create_task(_read(process.stdout, limit, fail=True))
        err = group.create_task(_read(process.stderr, _STDERR_KEPT, fail=False))
        group.create_task(_write(process.stdin, data))
    return out.result(), err.result()


async def _read(stream: asyncio.StreamReader, limit: int, *, fail: bool) -> bytes:
    kept = bytearray()
    while chunk := await stream.read(_CHUNK):
        if fail and len(kept) + len(chunk) > limit:
            raise OversizeError("the output", limit)
        kept += chunk[: max(0, limit - len(kept))]
    return bytes(kept)


async def _write(stream: asyncio.StreamWriter | None, data: bytes | None) -> None:
    if stream is None or data is None:
        return
    # Git may end before it has read everything; why is then in its exit code and words.
    with contextlib.suppress(BrokenPipeError, ConnectionResetError):
        stream.write(data)
        await stream.drain()
    with contextlib.suppress(BrokenPipeError, ConnectionResetError):
        stream.close()
        await stream.wait_closed()


async def _kill(process: asyncio.subprocess.Process) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    await process.wait()


def _name(args: Sequence[str]) -> str:
    return next((word for word in args if not word.startswith("-")), "")
