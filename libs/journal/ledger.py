"""The checkpoints' second place: a file outside Postgres to which lines are appended and in which none is changed."""

from __future__ import annotations

import contextlib
import fcntl
import os
from collections.abc import Iterable, Iterator
from pathlib import Path

from libs.journal.checkpoint import number_of

FOLDER, NAME = "journal", "checkpoints.jsonl"
#: Bytes from the end in which the last line is looked for; the longest one has a third of that.
_TAIL = 2**20


class Ledger:
    """One file of checkpoints. One process writes it, others may read it meanwhile; every method may raise OSError."""

    def __init__(self, data_dir: Path) -> None:
        self.path = data_dir / FOLDER / NAME

    def create(self) -> None:
        """Make it, empty, where there is none. It is not made again by itself: a file that is gone is a finding."""
        self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        os.close(os.open(self.path, os.O_WRONLY | os.O_CREAT, 0o600))
        _sync_folder(self.path.parent)

    def mend(self) -> None:
        """Cut a line off that was begun and not ended: the machine stopped in the middle of it.

        Raises FileNotFoundError.
        """
        with self._opened() as fd:
            text, start = _tail(fd)
            whole = text.rfind(b"\n") + 1
            if whole < len(text):
                os.ftruncate(fd, start + whole)
                os.fsync(fd)

    def append(self, line: str) -> None:
        """Add a line, unless it is there or others are behind it already; durable when this returns.

        A sealer that was held up between table and file may come after its successor has caught up for it.
        Raises FileNotFoundError.
        """
        with self._opened() as fd:
            text, _ = _tail(fd)
            ended = text[: text.rfind(b"\n") + 1].splitlines()
            if not ended or (number_of(ended[-1].decode(errors="replace")) or 0) < (number_of(line) or 0):
                _write(fd, line + "\n")

    def extend(self, lines: Iterable[str]) -> None:
        """Add lines whatever is there, durable when this returns. Raises FileNotFoundError."""
        with self._opened() as fd:
            _write(fd, "".join(line + "\n" for line in lines))

    @contextlib.contextmanager
    def _opened(self) -> Iterator[int]:
        fd = os.open(self.path, os.O_RDWR | os.O_APPEND)
        try:
            # Belongs to the open file, so it is gone with the process.
            fcntl.flock(fd, fcntl.LOCK_EX)
            yield fd
        finally:
            os.close(fd)

    def last(self) -> str | None:
        """Return the last line that was ended, None where there is none. Raises FileNotFoundError."""
        with self.path.open("rb") as file:
            text, _ = _tail(file.fileno())
        ended = text[: text.rfind(b"\n") + 1].splitlines()
        return ended[-1].decode(errors="replace") if ended else None

    def lines(self) -> Iterator[str]:
        """Read all lines that were ended, from the beginning. Raises FileNotFoundError."""
        with self.path.open("rb") as file:
            for line in file:
                if line.endswith(b"\n"):
                    yield line[:-1].decode(errors="replace")


def _write(fd: int, text: str) -> None:
    data = text.encode()
    while data:
        data = data[os.write(fd, data) :]
    os.fdatasync(fd)


def _tail(fd: int) -> tuple[bytes, int]:
    size = os.fstat(fd).st_size
    start = max(0, size - _TAIL)
    return os.pread(fd, size - start, start), start


def _sync_folder(folder: Path) -> None:
    fd = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
