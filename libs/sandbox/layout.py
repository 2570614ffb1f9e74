"""What every sandbox contains before the caller's mounts, in a form that both backends carry out."""

from __future__ import annotations

import os
from typing import TypedDict

from libs.sandbox.command import Command, Mount
from libs.sandbox.errors import SandboxError

#: who the command is inside; outside it is whoever runs the sandbox
UID = 1000
HOME = "/home/sandbox"
#: places that the command may fill (and their modes), each a file system in memory; counted as the
#: command's memory
SCRATCH = (("/tmp", "1777"), ("/dev/shm", "1777"), (HOME, "0700"))  # noqa: S108
#: what a command finds under /dev, besides pts, shm and the links to its own descriptors
DEVICES = ("null", "zero", "full", "random", "urandom", "tty")

#: read-only in every sandbox
SYSTEM = ("/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32")
_ETC = (
    "alternatives",
    "ld.so.cache",
    "ld.so.conf",
    "ld.so.conf.d",
    "localtime",
    "mime.types",
    "os-release",
    "protocols",
    "services",
)
_FILES = {
    "/etc/passwd": f"sandbox:x:{UID}:{UID}::{HOME}:/bin/sh\nnobody:x:65534:65534::/:/bin/false\n",
    "/etc/group": f"sandbox:x:{UID}:\nnogroup:x:65534:\n",
    "/etc/hosts": "127.0.0.1 localhost sandbox\n::1 localhost\n",
    "/etc/nsswitch.conf": "passwd: files\ngroup: files\nhosts: files dns\n",
}
_KERNEL_PLACES = ("/proc", "/dev", "/sys")
#: private writable memory that one process may reserve, by its limit, where only samples tell what is used: what a
#: process takes between two of them ends here. Thread stacks count, used or not.
_RESERVABLE = 4


class Bind(TypedDict):
    """A path of the host to be shown inside."""

    source: str
    target: str
    writable: bool
    #: a symbolic link at the target instead
    link: bool


class Place(TypedDict):
    """A control group of the sandbox's own."""

    #: of the interface: 1 or 2
    version: int
    #: absolute path
    folder: str


class Spec(TypedDict):
    """All that the supervisor process is told, in types that `marshal` knows."""

    #: absolute path of bwrap, or "" for our own set-up
    bwrap: str
    #: whether this bwrap knows --disable-userns
    bwrap_disables_userns: bool
    script: str
    cwd: str
    env: dict[str, str]
    pass_fds: list[int]
    uid: int
    links: list[tuple[str, str]]
    files: list[tuple[str, str]]
    system: list[Bind]
    scratch: list[tuple[str, str]]
    devices: list[str]
    mounts: list[Bind]
    wall_s: float
    memory_bytes: int
    #: of private writable memory for one process; 0 for no limit
    data_bytes: int
    file_bytes: int
    output_bytes: int
    processes: int
    #: where the kernel holds the limits of memory and of processes, or None
    memory_group: Place | None
    processes_group: Place | None


def spec(
    command: Command,
    bwrap: str = "",
    bwrap_disables_userns: bool = False,
    memory_group: Place | None = None,
    processes_group: Place | None = None,
) -> Spec:
    """Spell the command out for the supervisor; raises SandboxError for one that cannot be meant."""
    _check(command)
    env = {"HOME": HOME, "TMPDIR": "/tmp", "LANG": "C.UTF-8", **command.env}  # noqa: S108
    if command.cookie:
        env["AUTOPILOT_COOKIE"] = command.cookie
    limits = command.limits
    memory = limits.memory_mb * 2**20
    return Spec(
        bwrap=bwrap,
        bwrap_disables_userns=bwrap_disables_userns,
        script=command.script,
        cwd=command.cwd,
        env=env,
        pass_fds=list(command.pass_fds),
        uid=UID,
        links=[(path, os.readlink(path)) for path in SYSTEM if os.path.islink(path)],
        files=list(_FILES.items()),
        system=_system(),
        scratch=list(SCRATCH),
        devices=list(DEVICES),
        mounts=[_bind(mount) for mount in sorted(command.mounts, key=_depth)],
        wall_s=float(limits.wall_s),
        memory_bytes=memory,
        data_bytes=0 if memory_group else _RESERVABLE * memory,
        file_bytes=limits.file_mb * 2**20,
        output_bytes=limits.output_bytes,
        processes=limits.processes,
        memory_group=memory_group,
        processes_group=processes_group,
    )


def _system() -> list[Bind]:
    places = [path for path in SYSTEM if os.path.isdir(path) and not os.path.islink(path)]
    # /etc/localtime and /etc/os-release are often symlinks: the file they name is what is wanted here.
    places += [f"/etc/{name}" for name in _ETC if os.path.exists(f"/etc/{name}")]
    return [Bind(source=path, target=path, writable=False, link=False) for path in places]


def _bind(mount: Mount) -> Bind:
    return Bind(source=mount.source, target=mount.target, writable=mount.writable, link=mount.link)


def _depth(mount: Mount) -> int:
    # What lies inside another mount is mounted after it, or it would be covered.
    return mount.target.count("/")


def _check_place(mount: Mount, outer: Mount) -> None:
    """Raise SandboxError if a mount inside another one would make something there, or follow a link."""
    place = outer.source
    for part in os.path.relpath(mount.target, outer.target).split("/"):
        place = os.path.join(place, part)
        if os.path.islink(place):
            # An untrusted tree could otherwise choose where the caller's mount ends up.
            raise SandboxError(f"mount {mount.target}", f"the path leads through a symbolic link: {place}")
    if not os.path.lexists(place):
        cause = f"no such mount point, and none is made in a directory of the host: {place}"
        raise SandboxError(f"mount {mount.target}", cause)


def _check(command: Command) -> None:
    for mount in command.mounts:
        around = [other for other in command.mounts if mount.target.startswith(f"{other.target}/")]
        if around and not mount.link:
            _check_place(mount, max(around, key=_depth))
        stage = f"mount {mount.target}"
        if not os.path.isabs(mount.source) or not os.path.isabs(mount.target):
            raise SandboxError(stage, "source and target must be absolute paths")
        if os.path.normpath(mount.target) != mount.target or mount.target in ("/", "//"):
            raise SandboxError(stage, "the target must be a plain path below the root")
        if mount.target.startswith(tuple(f"{place}/" for place in _KERNEL_PLACES)):
            raise SandboxError(stage, "nothing can be mounted on what the kernel provides")
        if mount.target in _KERNEL_PLACES:
            raise SandboxError(stage, "nothing can be mounted on what the kernel provides")
    if not os.path.isabs(command.cwd):
        raise SandboxError("working directory", f"{command.cwd!r} is not an absolute path")
    if any(fd < 3 for fd in command.pass_fds):
        raise SandboxError("descriptors", "0, 1 and 2 belong to the sandbox")
    strings = [command.script, command.cwd, *command.env.keys(), *command.env.values()]
    if any("\0" in text for text in strings) or any("=" in name or not name for name in command.env):
        raise SandboxError("command", "a NUL byte or an impossible variable name")
