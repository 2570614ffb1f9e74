"""The same sandbox, built by bubblewrap where it is installed.

Standard library only: imported by the bare interpreter that supervises a sandbox.
"""

import os

from libs.sandbox.init import restore_signals

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import NoReturn

    from libs.sandbox.layout import Bind, Spec


def arguments(spec: "Spec", texts: "list[int]", report: int, leash: int) -> list[str]:
    """Write the spec as bubblewrap's options; `texts` are descriptors that hold the contents of its files."""
    options = ["--unshare-user", "--unshare-pid", "--unshare-net", "--unshare-ipc", "--unshare-uts"]
    options += ["--unshare-cgroup-try", "--uid", str(spec["uid"]), "--gid", str(spec["uid"])]
    options += [
        "--hostname",
        "sandbox",
        "--cap-drop",
        "ALL",
        "--die-with-parent",
        "--new-session",
        "--clearenv",
    ]
    if spec["bwrap_disables_userns"]:
        options.append("--disable-userns")
    for name, value in spec["env"].items():
        options += ["--setenv", name, value]
    for path, target in spec["links"]:
        options += ["--symlink", target, path]
    options += ["--proc", "/proc", "--dev", "/dev"]
    for (path, _), fd in zip(spec["files"], texts, strict=True):
        options += ["--perms", "0644", "--file", str(fd), path]
    for place, mode in spec["scratch"]:
        options += ["--perms", mode, "--size", str(spec["memory_bytes"]), "--tmpfs", place]
    for bind in spec["system"] + spec["mounts"]:
        options += _bind(bind)
    for place in ("/dev", "/proc", "/"):
        options += ["--remount-ro", place]
    options += ["--chdir", spec["cwd"]]
    options += ["--json-status-fd", str(report), "--block-fd", str(leash)]
    return options


def _bind(bind: "Bind") -> list[str]:
    if bind["link"]:
        return ["--symlink", bind["source"], bind["target"]]
    return ["--bind" if bind["writable"] else "--ro-bind", bind["source"], bind["target"]]


def execute(spec: "Spec", report: int, leash: int, output: int) -> "NoReturn":
    """Become bubblewrap, which tells what happens on `report` and waits for a byte on `leash`."""
    try:
        texts = [_memory_file(text) for _, text in spec["files"]]
        # Through a descriptor: a command line, and the environment in it, can be read by every user of the
        # machine.
        whole = _memory_file("\0".join(arguments(spec, texts, report, leash)) + "\0")
        os.dup2(os.open("/dev/null", os.O_RDONLY), 0)
        os.dup2(output, 1)
        os.dup2(output, 2)
        for fd in (report, leash, whole, *texts, *spec["pass_fds"]):
            os.set_inheritable(fd, True)
        restore_signals()
        command = ["bwrap", "--args", str(whole), "--", "/bin/sh", "-c", spec["script"]]
        # Not the command's environment: an LD_PRELOAD in it would be obeyed out here.
        os.execve(spec["bwrap"], command, dict(os.environ))  # noqa: S606
    except BaseException as error:
        os.write(2, f"{spec['bwrap']}: {error!r}".encode())
    os._exit(1)


def _memory_file(text: str) -> int:
    fd = os.memfd_create("sandbox", 0)
    data = memoryview(os.fsencode(text))
    while data:
        data = data[os.write(fd, data) :]
    os.lseek(fd, 0, os.SEEK_SET)
    return fd


def understand(line: bytes, status: int | None) -> tuple[int, int | None]:
    """Read a line of --json-status-fd: the namespace's first process, if told, and the wait status."""
    import json  # here: the other backend would pay 6 ms for it at each start)

    said = json.loads(line)
    if "exit-code" in said:
        status = int(said["exit-code"]) << 8
    return int(said.get("child-pid", 0)), status
