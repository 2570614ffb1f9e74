"""Measures what a sandbox uses, from outside, through its own /proc.

Standard library only: imported by the bare interpreter that supervises a sandbox.
"""

import os

_PAGE = os.sysconf("SC_PAGE_SIZE")
#: bytes of kernel memory behind a file in memory, even an empty one: inode and directory entry, about
_INODE = 1024


class Gauge:
    """Memory, processes and threads of one process namespace."""

    def __init__(self, scratch: list[str]) -> None:
        self._places = scratch
        self._proc = -1
        self._scratch: list[int] = []

    def attach(self, pid: int) -> bool:
        """Open what is measured, through the root of a process inside; False while it is not there yet."""
        if self._proc >= 0:
            return True
        opened: list[int] = []
        flags = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
        try:
            proc = os.open(f"/proc/{pid}/root/proc", flags)
            opened.append(proc)
            # A process that has not changed its root yet shows us the host's /proc, in which we appear
            # ourselves.
            os.stat("self/stat", dir_fd=proc)
        except FileNotFoundError:
            if opened:
                try:
                    self._scratch = [os.open(f"/proc/{pid}/root{place}", flags) for place in self._places]
                except OSError:
                    self._scratch = []
                else:
                    self._proc = opened.pop()
        except OSError:
            pass
        for fd in opened:
            os.close(fd)
        return self._proc >= 0

    def sample(self, concern: int, processes_limit: int) -> tuple[int, int]:
        """Bytes of memory in use, and processes with their threads; 0, 0 before `attach`.

        Resident pages count once for every process that shares them. Only when that sum is above what is of
        `concern`, a limit or the highest value so far, is the exact and slower proportional share asked for; what is
        returned above it is therefore exact. Nothing is measured of more processes than there may be: a fork bomb
        makes them faster than they can be looked at.
        """
        if self._proc < 0:
            return 0, 0
        pids = [name for name in os.listdir(self._proc) if name.isdigit() and name != "1"]
        if len(pids) > processes_limit:
            return 0, len(pids)
        stored = 0
        for fd in self._scratch:
            usage = os.fstatvfs(fd)
            stored += (usage.f_blocks - usage.f_bfree) * usage.f_frsize
            stored += (usage.f_files - usage.f_ffree) * _INODE
        resident = tasks = 0
        for pid in pids:
            # The command's name, in parentheses, may itself contain spaces and parentheses.
            fields = self._read(f"{pid}/stat").rpartition(b") ")[2].split()
            if len(fields) > 21:
                tasks += int(fields[17])
                resident += int(fields[21]) * _PAGE
        if resident + stored > concern:
            resident = sum(self._proportional(pid) for pid in pids)
        return resident + stored, tasks

    def _proportional(self, pid: str) -> int:
        for line in self._read(f"{pid}/smaps_rollup").splitlines():
            if line.startswith(b"Pss:"):
                return int(line.split()[1]) * 1024
        statm = self._read(f"{pid}/statm").split()
        return int(statm[1]) * _PAGE if statm else 0

    def _read(self, path: str) -> bytes:
        return read(path, self._proc)


def read(path: str, folder: int | None = None) -> bytes:
    """What a small file of the kernel's holds; nothing where it is gone, as that of a process that has ended is."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC, dir_fd=folder)
    except OSError:
        return b""
    try:
        return os.read(fd, 4096)
    except OSError:
        return b""
    finally:
        os.close(fd)
