"""Finds out which ports are free, and keeps two stacks from choosing the same ones."""

from __future__ import annotations

import errno
import fcntl
import os
import random
import socket
import tempfile
from collections.abc import Mapping
from pathlib import Path

from autopilot.stack.config import DEFAULT_PORTS, HOST
from autopilot.stack.errors import StackError

#: Below the kernel's range for outgoing connections (32768 on Linux, 49152 on macOS): a port from inside that range
#: can be taken by any connection between the choice and the service's bind, seconds later.
_FIRST, _LAST, _BLOCK = 20000, 32000, 16


def busy(ports: Mapping[str, int]) -> dict[str, int]:
    """Name the ports that somebody listens on."""
    return {name: port for name, port in ports.items() if not _free(port)}


def _free(port: int) -> bool:
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        # As the servers do it: without this a port in TIME_WAIT looks taken right after a restart.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError as error:
            if error.errno in (errno.EADDRINUSE, errno.EACCES):
                return False
            raise
        return True


class PortBlock:
    """A block of free ports that is this process's own until it is released.

    The claim is a lock on a small file, so it ends with the process however that ends.
    """

    def __init__(self, ports: Mapping[str, int], lock_fd: int) -> None:
        self.ports = dict(ports)
        self._lock_fd: int | None = lock_fd

    @classmethod
    def claim(cls) -> PortBlock:
        """Find a free block and keep it; raises `StackError` where none is left."""
        blocks = list(range(_FIRST, _LAST, _BLOCK))
        random.shuffle(blocks)
        for base in blocks:
            fd = os.open(_lock_path(base), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            ports = {name: base + offset for offset, name in enumerate(DEFAULT_PORTS)}
            try:
                fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                os.close(fd)
                continue
            if not busy(ports):
                return cls(ports, fd)
            os.close(fd)
        raise StackError("no block of free ports was found on 127.0.0.1")

    def release(self) -> None:
        """Give the block back; twice is once."""
        if self._lock_fd is not None:
            os.close(self._lock_fd)
            self._lock_fd = None


def _lock_path(base: int) -> Path:
    folder = Path(tempfile.gettempdir()) / f"autopilot-ports-{os.getuid()}"
    folder.mkdir(mode=0o700, exist_ok=True)
    return folder / str(base)
