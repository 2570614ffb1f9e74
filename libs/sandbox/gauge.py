"""Measures what a sandbox uses, from outside, through its own /proc.

Standard library only: imported by the bare interpreter that supervises a sandbox.
"""

import os

_PAGE = os.sysconf("SC_PAGE_SIZE")
#: bytes of kernel memory behind a file in memory, even an empty one: inode and directory entry, about
_INODE = 1024
#: bytes read of the list of a process's mappings, which are some 20,000 of them
_MAPPINGS = 2**24


class Gauge:
    """Memory, processes and threads of one process namespace."""

    def __init__(self, scratch: list[str], segments: bool = False) -> None:
        """Name the file systems in memory, and say whether this process is in the sandbox's IPC namespace."""
        self._places, self._segments = scratch, segments
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
        # What is in files is there once, mapped or not, and whether or not there is a name for them.
        unnamed = self._unnamed(pids)
        stored = self._stored() + sum(unnamed.values())
        resident = tasks = 0
        for pid in pids:
            # The command's name, in parentheses, may itself contain spaces and parentheses.
            fields = self._read(f"{pid}/stat").rpartition(b") ")[2].split()
            if len(fields) > 21:
                tasks += int(fields[17])
                resident += int(fields[21]) * _PAGE
        if resident + stored > concern:
            resident = sum(self._proportional(pid, unnamed) for pid in pids)
        return resident + stored, tasks

    def _stored(self) -> int:
        """Bytes in the file systems in memory, and in segments of System V, attached or not."""
        stored = 0
        for fd in self._scratch:
            usage = os.fstatvfs(fd)
            stored += (usage.f_blocks - usage.f_bfree) * usage.f_frsize
            stored += (usage.f_files - usage.f_ffree) * _INODE
        if self._segments:
            head, *lines = read("/proc/sysvipc/shm", most=2**20).splitlines() or [b""]
            column = head.split().index(b"rss") if b"rss" in head else 0
            stored += sum(int(line.split()[column]) for line in lines if column)
        return stored

    def _unnamed(self, pids: list[str]) -> dict[tuple[int, int], int]:
        """Bytes in each file in memory that has no name and is open somewhere, by device and inode."""
        found: dict[tuple[int, int], int] = {}
        for pid in pids:
            try:
                folder = os.open(f"{pid}/fd", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=self._proc)
            except OSError:
                continue
            try:
                for name in os.listdir(folder):
                    if os.readlink(name, dir_fd=folder).startswith("/memfd:"):
                        status = os.stat(name, dir_fd=folder)
                        found[status.st_dev, status.st_ino] = status.st_blocks * 512
            except OSError:
                pass  # it has ended, or closed one meanwhile: the next look is soon
            finally:
                os.close(folder)
        return found

    def _proportional(self, pid: str, unnamed: dict[tuple[int, int], int]) -> int:
        """A process's share of what it has mapped, but for files that are counted where they are stored."""
        share, shared = -1, True
        for line in self._read(f"{pid}/smaps_rollup").splitlines():
            name, _, value = line.partition(b":")
            if name == b"Pss":
                share = int(value.split()[0]) * 1024
            elif name == b"Pss_Shmem":
                shared = int(value.split()[0]) > 0
        if share >= 0:
            return self._elsewhere(pid, unnamed, share) if shared else share
        statm = self._read(f"{pid}/statm").split()
        return int(statm[1]) * _PAGE if statm else 0

    def _elsewhere(self, pid: str, unnamed: dict[tuple[int, int], int], whole: int) -> int:
        """Leave out of a process's whole share what is counted where it is stored."""
        # All of it in one look: between two, others map the same pages, and a smaller share would be left out than was in.
        text = self._read(f"{pid}/smaps", most=_MAPPINGS)
        if len(text) >= _MAPPINGS:
            return whole  # Not read to its end: what is not seen must not be hidden.
        stores = {os.fstat(fd).st_dev for fd in self._scratch}
        counted, share = False, 0
        for line in text.splitlines():
            words = line.split(None, 5)
            if words[0] == b"Pss:" and not counted:
                share += int(words[1]) * 1024
            elif len(words) > 4 and b"-" in words[0]:
                major, _, minor = words[3].partition(b":")
                device = os.makedev(int(major, 16), int(minor, 16))
                segment = self._segments and words[-1].startswith(b"/SYSV")
                counted = segment or device in stores or (device, int(words[4])) in unnamed
        return share

    def _read(self, path: str, most: int = 4096) -> bytes:
        return read(path, self._proc, most)


def read(path: str, folder: int | None = None, most: int = 4096) -> bytes:
    """What a small file of the kernel's holds; nothing where it is gone, as that of a process that has ended is."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC, dir_fd=folder)
    except OSError:
        return b""
    text = b""
    try:
        # The kernel gives a page or two at a time.
        while len(text) < most and (more := os.read(fd, most - len(text))):
            text += more
        return text
    except OSError:
        return b""
    finally:
        os.close(fd)
