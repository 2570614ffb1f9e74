"""Carries what children print into logs of bounded size."""

from __future__ import annotations

import asyncio
import contextlib
import os
from pathlib import Path

_CHUNK = 64 * 1024

#: Bytes read after a child's end. What it printed is in the pipe by then (64 KiB); more can come only from a
#: descendant that is still printing.
_DRAIN_LIMIT = 1024 * 1024


class RotatedLog:
    """An append-only file that becomes `<name>.1`, `<name>.2` … at a size.

    A full disk loses lines and never stops the caller; how many bytes were lost is written when it works again.
    """

    def __init__(self, path: Path, *, max_bytes: int = 10_000_000, files: int = 3) -> None:
        self._path = path
        self._max_bytes = max_bytes
        self._files = files
        self._fd: int | None = None
        self._size = 0
        self._lost = 0

    def write(self, data: bytes) -> None:
        """Append the bytes, rotating first if they do not fit."""
        try:
            if self._fd is None:
                self._open()
            if self._size and self._size + len(data) > self._max_bytes:
                self._rotate()
            if self._lost:
                self._append(f"[{self._lost} bytes lost: the log could not be written]\n".encode())
                self._lost = 0
            self._append(data)
        except OSError:
            self._lost += len(data)
            self.close()

    def close(self) -> None:
        """Close the file; the next write opens it again."""
        if self._fd is not None:
            os.close(self._fd)
            self._fd = None

    def _append(self, data: bytes) -> None:
        assert self._fd is not None
        view = memoryview(data)
        while view:
            written = os.write(self._fd, view)
            self._size += written
            view = view[written:]

    def _open(self) -> None:
        self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._fd = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        self._size = os.fstat(self._fd).st_size

    def _rotate(self) -> None:
        self.close()
        for number in range(self._files - 1, 0, -1):
            newer = self._numbered(number - 1)
            with contextlib.suppress(FileNotFoundError):
                os.replace(newer, self._numbered(number))
        self._open()

    def _numbered(self, number: int) -> Path:
        return self._path if number == 0 else self._path.with_name(f"{self._path.name}.{number}")


def tail(path: Path, limit: int = 2000) -> str:
    """Read the end of a log for an error message; empty where there is none."""
    with contextlib.suppress(OSError), path.open("rb") as file:
        size = file.seek(0, os.SEEK_END)
        file.seek(max(0, size - limit))
        return file.read().decode(errors="replace").strip()
    return ""


class Pump:
    """Moves a child's output from its pipe to a log: one chunk a turn of the loop, nothing kept in memory."""

    def __init__(self, fd: int, log: RotatedLog) -> None:
        self._fd = fd
        self._log = log
        self._loop = asyncio.get_running_loop()
        os.set_blocking(fd, False)
        self._loop.add_reader(fd, self._move)

    def _move(self) -> None:
        try:
            data = os.read(self._fd, _CHUNK)
        except BlockingIOError:
            return
        if data:
            self._log.write(data)
        else:
            self._loop.remove_reader(self._fd)

    def finish(self) -> None:
        """Take what is still in the pipe and stop reading; the caller closes the pipe."""
        self._loop.remove_reader(self._fd)
        taken = 0
        with contextlib.suppress(BlockingIOError):
            while taken < _DRAIN_LIMIT and (data := os.read(self._fd, _CHUNK)):
                self._log.write(data)
                taken += len(data)
