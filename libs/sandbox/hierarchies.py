"""Reads what the kernel says of control groups: what is mounted, and where a process is in it."""

from __future__ import annotations

from collections.abc import Iterator
from os.path import normpath, relpath
from pathlib import Path

from msgspec import Struct

SELF = Path("/proc/self")


class Hierarchy(Struct, frozen=True, kw_only=True):
    """A mounted hierarchy of control groups."""

    #: of the interface: 1 or 2
    version: int
    #: where it is mounted
    path: str
    #: the group that is the root there
    root: str
    #: controllers, with version 1
    controllers: tuple[str, ...]

    def own(self, proc: Path, controller: str) -> str:
        """Name the group that a process is in, as an absolute path; the mounted root where it is outside of it."""
        wanted = controller if self.version == 1 else ""
        for line in (proc / "cgroup").read_text(encoding="utf-8").splitlines():
            _, controllers, path = line.split(":", 2)
            if wanted in controllers.split(","):
                below = relpath(path, self.root)
                return self.path if below.startswith("..") else normpath(f"{self.path}/{below}")
        return self.path


def mounted(proc: Path) -> Iterator[Hierarchy]:
    """List the hierarchies in the order in which they were mounted."""
    for line in (proc / "mountinfo").read_text(encoding="utf-8", errors="replace").splitlines():
        before, _, after = line.partition(" - ")
        left, right = before.split(), after.split()
        if len(left) > 4 and len(right) > 2 and right[0] in ("cgroup", "cgroup2"):
            version = 2 if right[0] == "cgroup2" else 1
            controllers = tuple(right[2].split(",")) if version == 1 else ()
            yield Hierarchy(version=version, path=left[4], root=left[3], controllers=controllers)


def words(path: str) -> list[str]:
    """Read a file of words; none where it is not there."""
    try:
        return Path(path).read_text(encoding="ascii").split()
    except OSError:
        return []
