"""The process outside a sandbox that starts it, watches it and reports its end.

Runs in a bare interpreter (`python -I -S`), one per sandbox, standard library only; being a process of its
own with one thread it may fork inside new namespaces, and no flood of output reaches the caller's event
loop. Its descriptors: 0 is a pipe that closes when the caller dies or gives up, 1 the output file, 2 the
way back to the caller: NUL NUL and then fields parted by NUL; anything else on it is an accident, told as
it is.
"""

import _signal  # type: ignore[import-not-found]  # `signal` would cost 4 ms for its enums
import fcntl
import marshal
import os
import resource
import select
import sys
import time

from libs.sandbox import bubblewrap, init, kernel
from libs.sandbox.cgroup import Group
from libs.sandbox.gauge import Gauge
from libs.sandbox.init import StageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from libs.sandbox.layout import Spec

_SIGKILL = 9
_CHUNK = 2**18
_F_SETPIPE_SZ = 1031
#: seconds in which the root must be built
_SETUP_S = 30.0
#: seconds between two measurements: the first ones catch what grows at once, the rest cost little
_FIRST_TICK_S, _LAST_TICK_S = 0.01, 0.1
#: how many times as long as an exact look took there is none that only the peak needs: a twentieth of a processor
_EXACT = 20
_TAIL = 2000


class Supervisor:
    """One sandbox from its first process to the burial of its last."""

    def __init__(self, spec: "Spec") -> None:
        self.spec = spec
        # Under bubblewrap we stay in the IPC namespace that we were started in.
        self.gauge = Gauge([place for place, _ in spec["scratch"]], segments=not spec["bwrap"])
        try:
            self.group = Group(spec["memory_group"], spec["processes_group"])
        except OSError as error:
            raise StageError("control group", init.explain(error)) from error
        self.ended = ""
        self.error: StageError | None = None
        #: the command's wait status
        self.status: int | None = None
        #: bytes
        self.peak = self.printed = self.kept = 0
        self.most = 0
        self.cpu = 0.0
        self.tail = b""
        self._reported = b""
        self._began = time.monotonic()
        self._finished = 0.0
        self._deadline = self._began + _SETUP_S
        self._tick = _FIRST_TICK_S
        self._next_sample = self._began + self._tick
        self._next_exact = self._began
        self._measured_pid = 0

    def run(self) -> None:
        """Start the command, watch it, and return when no process of it is left."""
        self._report, report = os.pipe()
        leash, self._leash = os.pipe()
        self._output, output = os.pipe()
        os.set_blocking(self._output, False)
        fcntl.fcntl(self._output, _F_SETPIPE_SZ, _CHUNK)
        if not self.spec["bwrap"]:
            _enter_namespaces(self.spec["uid"])
        self._child = os.fork()
        if self._child == 0:
            os.close(self._leash)
            if self.spec["bwrap"]:
                bubblewrap.execute(self.spec, report, leash, output)
            init.run(self.spec, report, leash, output)
        for fd in (report, leash, output, *self.spec["pass_fds"]):
            os.close(fd)
        self._watch()
        self.duration = (self._finished or time.monotonic()) - self._began
        self._bury()

    def _watch(self) -> None:
        gone = os.pidfd_open(self._child)
        poller = select.poll()
        poller.register(0, select.POLLIN)
        for fd in (self._report, self._output, gone):
            poller.register(fd, select.POLLIN)
        while True:
            now = time.monotonic()
            wait = max(0.0, min(self._deadline, self._next_sample) - now)
            ready = {fd for fd, _ in poller.poll(wait * 1000 if not self.ended else None)}
            if self._report in ready and not self._hear():
                poller.unregister(self._report)
            if self._output in ready and not self._pump():
                poller.unregister(self._output)
            if gone in ready:
                return
            if 0 in ready and not os.read(0, 1):
                poller.unregister(0)
                self._end("cancelled")
            if not self.ended:
                self._judge(time.monotonic())

    def _judge(self, now: float) -> None:
        if now >= self._deadline:
            if not self._measured_pid:
                self.error = StageError("set-up", f"not finished after {_SETUP_S:.0f} s")
            self._end("wall")
        elif now >= self._next_sample:
            self._tick = min(2 * self._tick, _LAST_TICK_S)
            self._next_sample = now + self._tick
            if self._measured_pid and self.gauge.attach(self._measured_pid):
                limit = self.spec["memory_bytes"]
                # A limit is held exactly at every look; how high it was below it, as often as is cheap.
                concern = min(limit, self.peak) if now >= self._next_exact else limit
                memory, tasks = self.gauge.sample(concern, self.spec["processes"])
                if memory > concern:
                    self.peak = max(self.peak, memory)
                if concern < limit:
                    self._next_exact = now + _EXACT * (time.monotonic() - now)
                self.most = max(self.most, tasks)
                if memory > limit:
                    self._end("memory")
                elif tasks > self.spec["processes"]:
                    self._end("processes")
            if not self.ended and (held := self.group.exceeded()):
                self._end(held)

    def _end(self, reason: str) -> None:
        self.ended = self.ended or reason
        os.kill(self._child, _SIGKILL)  # not reaped yet, so the number is still ours

    def _begin(self, pid: int) -> None:
        # The command is about to run: from here on its time and memory count.
        self._measured_pid = pid
        self._began = time.monotonic()
        self._deadline = self._began + self.spec["wall_s"]
        self._tick = _FIRST_TICK_S
        self._next_sample = self._began + self._tick
        os.write(self._leash, b"g")

    def _hear(self) -> bool:
        data = os.read(self._report, 8192)
        self._reported += data
        *lines, self._reported = self._reported.split(b"\n")
        for line in lines:
            self._understand(line)
        return bool(data)

    def _understand(self, line: bytes) -> None:
        if line.startswith(b"{"):
            pid, self.status = bubblewrap.understand(line, self.status)
            if pid:
                try:
                    init.set_limits(pid, self.spec)
                    self.group.enter(pid)
                except ProcessLookupError:
                    return  # its set-up failed already; it says why in its output
                self._begin(pid)
        elif line == b"ready":
            self.gauge.attach(self._child)
            self.group.enter(self._child)
            self._begin(self._child)
        elif line.startswith(b"error "):
            stage, _, cause = line[6:].decode("utf-8", "replace").partition("\0")
            self.error = self.error or StageError(stage, cause)
        else:
            self.status = int(line.removeprefix(b"status "))
        if self.status is not None:
            self._finished = self._finished or time.monotonic()

    def _pump(self) -> bool:
        try:
            data = os.read(self._output, _CHUNK)
        except BlockingIOError:
            return True
        self.printed += len(data)
        self.tail = (self.tail + data[-_TAIL:])[-_TAIL:]
        room = memoryview(data)[: max(0, self.spec["output_bytes"] - self.kept)]
        while room:
            try:
                written = os.write(1, room)
            except OSError as error:
                self.error = self.error or StageError("output", init.explain(error))
                self._end("cancelled")
                return False
            self.kept += written
            room = room[written:]
        return bool(data)

    def _bury(self) -> None:
        # Under bubblewrap the namespace's process 1 is a grandchild that comes to us when its parent is
        # killed. One that can be waited for has seen all others of its namespace go.
        while True:
            try:
                _, status = os.waitpid(-1, 0)
            except ChildProcessError:
                break
        # A process that the kernel ended may have been the last, or its parent may have gone on as if nothing were.
        self.ended = self.ended or self.group.exceeded()
        if self.ended == "processes":
            self.most = max(self.most, self.spec["processes"])
        if self.ended == "memory":
            self.peak = max(self.peak, self.group.peak())
        # In KiB. Catches what was too short for a sample; at least a bare interpreter, whose fork the
        # command was.
        usage = resource.getrusage(resource.RUSAGE_CHILDREN)
        self.peak = max(self.peak, usage.ru_maxrss * 1024)
        # Of everything that ran in the sandbox: what nobody waited for, process 1 of the namespace did.
        self.cpu = usage.ru_utime + usage.ru_stime
        while self._hear():
            pass
        before = -1
        while before != self.printed and self.error is None:
            before = self.printed
            self._pump()
        dropped = self.printed - self.kept
        if dropped:
            os.write(1, b"\n[output truncated: %d bytes dropped]\n" % dropped)
        if self.ended == "starved":
            self.error = StageError(
                "memory of the machine",
                "the kernel ended a process of the command, whose limit was not reached",
            )
        if self.status is None and not self.ended and self.error is None:
            said = self.tail.decode("utf-8", "replace").strip() if self.spec["bwrap"] else ""
            self.error = StageError("init", said or f"ended without a word, wait status {status}")


def _enter_namespaces(uid: int) -> None:
    outside_uid, outside_gid = os.geteuid(), os.getegid()
    try:
        kernel.unshare(kernel.NEWUSER, "unshare")
        for name, text in (
            ("setgroups", "deny"),
            ("uid_map", f"{uid} {outside_uid} 1"),
            ("gid_map", f"{uid} {outside_gid} 1"),
        ):
            with open(f"/proc/self/{name}", "w", encoding="ascii") as file:
                file.write(text)
    except OSError as error:
        raise StageError("user namespace", init.explain(error)) from error
    try:
        others = kernel.NEWPID | kernel.NEWNET | kernel.NEWIPC | kernel.NEWUTS | kernel.NEWCGROUP
        kernel.unshare(others, "unshare")
    except OSError as error:
        raise StageError("namespaces", init.explain(error)) from error


def main() -> None:
    """Read the spec from the descriptor named on the command line, carry it out, report and exit."""
    # A handler here would be one in the sandbox's process 1 too, where the command could then send the
    # signal.
    _signal.signal(_signal.SIGINT, _signal.SIG_DFL)
    os.umask(0o022)  # what a command makes should not depend on who runs the stack
    with open(int(sys.argv[2]), "rb") as file:
        supervisor = Supervisor(marshal.load(file))  # noqa: S302
    try:
        kernel.leave_session_keyring()
        kernel.become_subreaper()
        supervisor.run()
        error = supervisor.error
    except StageError as failure:
        error = failure
    if error is not None:
        fields = ["error", error.stage, error.cause]
    else:
        figures = (
            None if supervisor.ended else supervisor.status,
            supervisor.duration,
            supervisor.cpu,
            supervisor.peak,
            supervisor.most,
            supervisor.printed,
            supervisor.kept,
        )
        fields = ["ended", supervisor.ended or "exited", *(str(figure) for figure in figures)]
    os.write(2, b"\0\0" + "\0".join(fields).encode("utf-8", "replace")[:4000])
    os._exit(0)
