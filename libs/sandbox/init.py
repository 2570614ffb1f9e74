"""Process 1 of a sandbox: builds the root, gives up every power, starts the command, buries the dead.

Runs in the fork that the supervisor makes inside the new namespaces; standard library only. What it says
goes up the report pipe, which no process of the sandbox can reach, as lines: `ready`, then `error <stage>
NUL <cause>` or `status <wait status>`. Its own end is the end of every process in the namespace.
"""

import _signal  # type: ignore[import-not-found]  # `signal` would cost 4 ms for its enums
import _socket
import _struct
import fcntl
import os
import resource
import select

from libs.sandbox import kernel, landlock

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import NoReturn

    from libs.sandbox.layout import Bind, Spec

_SIGKILL = 9
_DEVICE_LINKS = (
    ("fd", "/proc/self/fd"),
    ("stdin", "/proc/self/fd/0"),
    ("stdout", "/proc/self/fd/1"),
    ("stderr", "/proc/self/fd/2"),
    ("ptmx", "pts/ptmx"),
)
#: files of /proc that tell about the machine and that root outside may read even without capabilities
_MASKED = ("kcore", "keys", "kpagecount", "kpageflags", "sched_debug", "timer_list", "vmallocinfo")
_OLD = "/.old"
_OPEN_FILES = 4096


class StageError(Exception):
    """A step of the set-up failed."""

    def __init__(self, stage: str, cause: str) -> None:
        self.stage = stage
        self.cause = cause
        super().__init__(f"{stage}: {cause}")


def explain(error: OSError) -> str:
    """Put an OSError in one line: what the kernel said, about what."""
    return f"{error.strerror or error}" + (f": {error.filename}" if error.filename else "")


def run(spec: "Spec", report: int, leash: int, output: int) -> "NoReturn":
    """Be process 1 until the command has ended; never returns."""
    try:
        code = _live(spec, report, leash, output)
    except StageError as error:
        tell_error(report, error)
        code = 1
    except BaseException as error:  # a fork must never return into the supervisor's code
        tell_error(report, StageError("init", repr(error)))
        code = 1
    os._exit(code)


def tell_error(report: int, error: StageError) -> None:
    """Send a failure up the report pipe."""
    text = f"error {error.stage}\0{error.cause}".replace("\n", " ")
    os.write(report, text.encode("utf-8", "surrogateescape")[:4000] + b"\n")


def _live(spec: "Spec", report: int, leash: int, output: int) -> int:
    _tie(leash)
    try:
        kernel.set_hostname("sandbox")
        _loopback_up()
        kernel.unshare(kernel.NEWNS, "unshare")
    except OSError as error:
        raise StageError("namespaces", explain(error)) from error
    build_root(spec)
    os.write(report, b"ready\n")
    if os.read(leash, 1) != b"g":  # the supervisor opens its gauges meanwhile
        return 1
    try:
        _give_up_powers(spec)
    except OSError as error:
        raise StageError("privileges", explain(error)) from error
    _tie(leash)  # again: changing credentials undid it
    child = os.fork()
    if child == 0:
        _become_command(spec, report, output)
    for fd in (output, *spec["pass_fds"]):
        os.close(fd)  # so that readers see the end when the command's own copies are closed
    while True:
        pid, status = os.waitpid(-1, 0)
        if pid == child:
            os.write(report, b"status %d\n" % status)
            return 0


def _tie(leash: int) -> None:
    # The kernel's signal alone misses a supervisor that died before it was asked for; the pipe tells of
    # that one.
    kernel.die_with_parent(_SIGKILL)
    poller = select.poll()
    poller.register(leash, 0)
    if poller.poll(0):
        os._exit(1)


def _loopback_up() -> None:
    # An ioctl on any socket will do. 0x8914 is SIOCSIFFLAGS, 0x41 is IFF_UP | IFF_RUNNING.
    probe = _socket.socket(_socket.AF_INET, _socket.SOCK_DGRAM)
    fcntl.ioctl(probe.fileno(), 0x8914, _struct.pack("16sH14x", b"lo", 0x41))
    probe.close()


def build_root(spec: "Spec") -> None:
    """Make a fresh root, show in it what the spec names, and leave the old one; raises StageError."""
    sources = [(bind, -1 if bind["link"] else _open_source(bind)) for bind in spec["system"] + spec["mounts"]]
    own: set[int] = set()
    stage = "root"
    try:
        kernel.mount("", "/", "", kernel.MS_REC | kernel.MS_PRIVATE)
        # /tmp is only where the new root hangs for a moment; what the host keeps there stays reachable by
        # `sources`.
        _tmpfs("/tmp", "mode=0755,size=4m")  # noqa: S108
        os.chdir("/tmp")  # noqa: S108
        os.mkdir(_OLD[1:])
        kernel.pivot_root(".", _OLD[1:])
        os.chdir("/")
        own.add(os.stat("/").st_dev)
        stage = "proc"
        os.mkdir("/proc")
        kernel.mount("proc", "/proc", "proc", kernel.MS_NOSUID | kernel.MS_NODEV | kernel.MS_NOEXEC)
        stage = "system files"
        os.mkdir("/etc")
        for path, text in spec["files"]:
            _write(path, text)
        for path, target in spec["links"]:
            os.symlink(target, path)
        stage = "devices"
        _devices(spec["devices"])
        stage = "scratch"
        for place, mode in spec["scratch"]:
            os.makedirs(place, exist_ok=True)
            _tmpfs(place, f"mode={mode},size={spec['memory_bytes']},nr_inodes=500000")
            own.add(os.stat(place).st_dev)
        for bind, source in sources:
            stage = f"mount {bind['target']}"
            if bind["link"]:
                _mount_point(os.path.dirname(bind["target"]), True, own)
                os.symlink(bind["source"], bind["target"])
            else:
                _bind(bind, source, own)
                os.close(source)
        stage = "proc"
        _close_proc()
        stage = "root"
        kernel.unmount(_OLD)
        os.rmdir(_OLD)
        kernel.restrict_mount("/", kernel.RDONLY | kernel.NOSUID | kernel.NODEV, recursive=False)
    except OSError as error:
        raise StageError(stage, explain(error)) from error


def _open_source(bind: "Bind") -> int:
    try:
        return os.open(bind["source"], os.O_PATH | os.O_CLOEXEC)
    except OSError as error:
        raise StageError(f"mount {bind['target']}", explain(error)) from error


def _tmpfs(target: str, options: str) -> None:
    kernel.mount("tmpfs", target, "tmpfs", kernel.MS_NOSUID | kernel.MS_NODEV, options)


def _write(path: str, text: str) -> None:
    with open(path, "w", encoding="utf-8") as file:
        file.write(text)


def _devices(names: list[str]) -> None:
    os.mkdir("/dev")
    for name in names:
        path = f"/dev/{name}"
        _write(path, "")
        kernel.mount(f"{_OLD}{path}", path, "", kernel.MS_BIND)
        # Read-only still lets one write to the device; but root's command, being the owner, could change
        # its mode.
        kernel.restrict_mount(path, kernel.RDONLY | kernel.NOSUID | kernel.NOEXEC)
    for name, target in _DEVICE_LINKS:
        os.symlink(target, f"/dev/{name}")
    os.mkdir("/dev/pts")
    options = "newinstance,ptmxmode=0666,mode=0620"
    kernel.mount("devpts", "/dev/pts", "devpts", kernel.MS_NOSUID | kernel.MS_NOEXEC, options)


def _bind(bind: "Bind", source: int, own: set[int]) -> None:
    target = bind["target"]
    _mount_point(target, os.path.isdir(f"/proc/self/fd/{source}"), own)
    if os.path.realpath(target) != target:
        # An untrusted tree could otherwise choose where the caller's mount ends up.
        raise OSError(40, "the path of the mount leads through a symbolic link", target)
    kernel.mount(f"/proc/self/fd/{source}", target, "", kernel.MS_BIND | kernel.MS_REC)
    attributes = kernel.NOSUID | kernel.NODEV
    kernel.restrict_mount(target, attributes if bind["writable"] else attributes | kernel.RDONLY)


def _mount_point(path: str, directory: bool, own: set[int]) -> None:
    if os.path.lexists(path):
        return
    parent = os.path.dirname(path)
    _mount_point(parent, True, own)
    if os.stat(parent).st_dev not in own:
        raise OSError(2, "no such mount point, and none is made in a directory of the host", path)
    if directory:
        os.mkdir(path, 0o755)
    else:
        _write(path, "")


def _close_proc() -> None:
    # Namespaces of the command's own making would offer it a great deal more of the kernel to attack.
    _write("/proc/sys/user/max_user_namespaces", "0")
    for name in _MASKED:
        if os.path.isfile(f"/proc/{name}"):
            kernel.mount("/dev/null", f"/proc/{name}", "", kernel.MS_BIND)
    # Run by root, the command is still owner of the host's settings in /proc/sys, and needs no capability
    # for them.
    kernel.restrict_mount("/proc", kernel.RDONLY, recursive=False)


def _give_up_powers(spec: "Spec") -> None:
    set_limits(0, spec)
    kernel.drop_capabilities()
    kernel.forbid_new_privileges()
    writable = [bind["target"] for bind in spec["mounts"] if bind["writable"] and not bind["link"]]
    landlock.allow_writing_only(["/dev", *(place for place, _ in spec["scratch"]), *writable])
    kernel.hide_from_ptrace()


def set_limits(pid: int, spec: "Spec") -> None:
    """Set the resource limits of a process (0: this one), which all that it starts inherit."""
    limits = {resource.RLIMIT_CORE: 0, resource.RLIMIT_FSIZE: spec["file_bytes"]}
    if spec["data_bytes"]:
        # RLIMIT_DATA, not RLIMIT_AS: runtimes reserve address space by the terabyte and never touch it.
        limits[resource.RLIMIT_DATA] = spec["data_bytes"]
    if tuple(int(part) for part in os.uname().release.split(".")[:2]) >= (5, 14):
        # Before, the kernel counted all processes of the user on the machine. Two are the supervisor and
        # its init.
        limits[resource.RLIMIT_NPROC] = spec["processes"] + 2
    for kind, wanted in limits.items():
        hard = resource.prlimit(pid, kind)[1]
        value = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        resource.prlimit(pid, kind, (value, value))
    hard = resource.prlimit(pid, resource.RLIMIT_NOFILE)[1]
    resource.prlimit(pid, resource.RLIMIT_NOFILE, (min(_OPEN_FILES, hard), hard))


def restore_signals() -> None:
    """Stop ignoring what every Python ignores and its children would go on ignoring."""
    for number in (_signal.SIGPIPE, _signal.SIGXFSZ):
        _signal.signal(number, _signal.SIG_DFL)


def _become_command(spec: "Spec", report: int, output: int) -> "NoReturn":
    stage = "working directory"
    try:
        os.chdir(spec["cwd"])
        stage = "command"
        os.setsid()
        os.dup2(os.open("/dev/null", os.O_RDONLY), 0)
        os.dup2(output, 1)
        os.dup2(output, 2)
        for fd in spec["pass_fds"]:
            os.set_inheritable(fd, True)
        restore_signals()
        os.execve("/bin/sh", ["sh", "-c", spec["script"]], spec["env"])  # noqa: S606
    except OSError as error:
        tell_error(report, StageError(stage, explain(error)))
    except BaseException as error:
        tell_error(report, StageError(stage, repr(error)))
    os._exit(127)
