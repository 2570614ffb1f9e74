"""A process that has loaded what every service loads and forks a service on request: all share the memory of it.

`python -m libs.runtime --zygote MODULE…`, Linux only. Standard input is a socket: it says `READY` once, and each message
that comes asks for one process and carries two open files: a socket on which that process says its id and hears its
orders, and the pipe for its output. The zygote never reads orders itself, so no process inherits the credentials of
another. The new process is orphaned at once and so becomes the child of whoever is `PR_SET_CHILD_SUBREAPER`: the
zygote's own parent, which must have said so before it asked.
"""

from __future__ import annotations

import ctypes
import gc
import importlib
import os
import signal
import socket
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import msgspec

from libs.sandbox import kernel

FLAG = "--zygote"
READY = b"ready"

#: What a service would load only when it starts to serve.
_LATE = (
    "encodings.idna",
    "pydantic.v1",
    "uvicorn.lifespan.off",
    "uvicorn.protocols.http.h11_impl",
    "uvicorn.protocols.websockets.auto",
)


class Orders(msgspec.Struct, frozen=True, kw_only=True):
    """What a new process becomes."""

    #: Those of `python -m libs.runtime`.
    arguments: tuple[str, ...]
    #: All of it: nothing of the zygote's own stays.
    environment: dict[str, str]
    #: Names of the variables that `/proc/PID/environ` shows.
    shown: tuple[str, ...]
    cwd: str


def serve(modules: Sequence[str]) -> bool:
    """Load modules, then fork for every request. True in each new process that has taken its orders, false otherwise.

    Nothing may be open or running after the modules are loaded: raises RuntimeError where they started a thread. In a
    new process raises msgspec.DecodeError, OSError, and ValueError where it cannot be shown under its own name.
    """
    # A collection would write into every object, and what has been written to is shared no longer.
    gc.disable()
    for module in (*_LATE, *modules):
        importlib.import_module(module)
    gc.freeze()
    if (threads := len(os.listdir("/proc/self/task"))) != 1:
        raise RuntimeError(f"a process of {threads} threads cannot be forked safely")
    parent = os.getppid()
    with socket.socket(fileno=os.dup(sys.stdin.fileno())) as requests:
        requests.send(READY)
        while True:
            message, files, _, _ = socket.recv_fds(requests, 1, 2)
            if not message:
                return False
            if not (child := os.fork()):
                break
            os.waitpid(child, 0)
            for file in files:
                os.close(file)
    between = os.getpid()
    if os.fork():
        os._exit(0)
    return _become(between, parent, *files)


def _become(between: int, parent: int, orders_from: int, output: int) -> bool:
    """Be a process like one that was started by itself; false if no orders came."""
    os.setsid()
    nothing = os.open(os.devnull, os.O_RDONLY)
    for ours, standard in ((nothing, sys.stdin), (output, sys.stdout), (output, sys.stderr)):
        os.dup2(ours, standard.fileno())
    os.close(nothing)
    os.close(output)
    with socket.socket(fileno=orders_from) as conversation:
        if not _adopted(between, parent):
            return False
        conversation.send(b"%d" % os.getpid())
        line = conversation.makefile("rb").readline()
    # Half a line is the end of whoever was writing it.
    if not line.endswith(b"\n"):
        return False
    orders = msgspec.json.decode(line, type=Orders)
    os.environ.clear()
    os.environ.update(orders.environment)
    os.chdir(orders.cwd)
    sys.argv[1:] = orders.arguments
    _show(
        [*sys.orig_argv[: sys.orig_argv.index(FLAG)], *orders.arguments],
        [f"{name}={orders.environment[name]}" for name in orders.shown],
    )
    gc.enable()
    return True


def _adopted(between: int, parent: int) -> bool:
    """Wait to be the parent's child and ask for a signal at its end; false if somebody else adopted this process."""
    while os.getppid() == between:
        # It is about to end, and has nothing else to do.
        time.sleep(0.0005)
    kernel.die_with_parent(signal.SIGKILL)
    return os.getppid() == parent


def _show(arguments: Sequence[str], variables: Sequence[str]) -> None:
    """Replace what the kernel shows as this process's command line and environment: until now the zygote's.

    Both lie in this process's own memory, where nobody reads them any more: Python copied them when it started.
    """
    text = Path("/proc/self/stat").read_text(encoding="utf-8", errors="replace")
    # Fields 48 to 51 in proc_pid_stat(5); the third comes after the command name's bracket.
    places = [int(field) for field in text[text.rindex(")") + 2 :].split()[45:49]]
    for words, begin, end in ((arguments, places[0], places[1]), (variables, places[2], places[3])):
        shown = b"".join(os.fsencode(word) + b"\0" for word in words)
        if len(shown) > end - begin:
            raise ValueError(f"no room to show {len(shown)} bytes in {end - begin}")
        ctypes.memmove(begin, shown.ljust(end - begin, b"\0"), end - begin)
