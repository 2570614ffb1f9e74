"""What the kernel itself holds of a sandbox's limits: its control groups, of version 1 or 2, as the supervisor sees them.

They are made and removed by `libs.sandbox.groups`. Standard library only: imported by the bare interpreter that
supervises a sandbox.
"""

import os

from libs.sandbox.gauge import read

TYPE_CHECKING = False
if TYPE_CHECKING:
    from libs.sandbox.layout import Place

_HUGE_PAGE = 2 << 20


class Group:
    """One sandbox's group for memory and its group for processes, as far as there are any; with version 2 the same one."""

    def __init__(self, memory: "Place | None", processes: "Place | None") -> None:
        """Open them. Only now: inside its namespaces a supervisor has no right to. Raises OSError."""
        self._memory, self._processes = memory, processes
        folders = {place["folder"] for place in (memory, processes) if place}
        flags = os.O_WRONLY | os.O_CLOEXEC
        self._members = [os.open(f"{folder}/cgroup.procs", flags) for folder in sorted(folders)]

    def enter(self, pid: int) -> None:
        """Put a process in, and so all that it starts from now on. Raises OSError."""
        for members in self._members:
            os.write(members, b"%d" % pid)

    def exceeded(self) -> str:
        """Say which limit the kernel had to hold: `memory`, `processes`, or nothing.

        `starved` when something else than the group's own limit was short of memory and cost a process its life.
        """
        if (place := self._memory) and self._killed(place):
            return "memory" if self._full(place) else "starved"
        if (place := self._processes) and _count(f"{place['folder']}/pids.events", "max"):
            return "processes"
        return ""

    def _killed(self, place: "Place") -> bool:
        file = "memory.oom_control" if place["version"] == 1 else "memory.events"
        return _count(f"{place['folder']}/{file}", "oom_kill") > 0

    def _full(self, place: "Place") -> bool:
        if place["version"] == 2:
            return _count(f"{place['folder']}/memory.events", "max") > 0
        # `memory.failcnt` stays 0 on some kernels. What did not fit any more may have been a huge page.
        return self.peak() + _HUGE_PAGE >= _number(f"{place['folder']}/memory.limit_in_bytes")

    def peak(self) -> int:
        """Bytes that were charged at most; what the kernel keeps of files is among them, so it is rather too much."""
        if self._memory is None:
            return 0
        name = "memory.max_usage_in_bytes" if self._memory["version"] == 1 else "memory.peak"
        return _number(f"{self._memory['folder']}/{name}")


def _count(path: str, name: str) -> int:
    for line in read(path).splitlines():
        word, _, value = line.partition(b" ")
        if word == name.encode():
            return int(value)
    return 0


def _number(path: str) -> int:
    text = read(path).strip()
    return int(text) if text.isdigit() else 0
