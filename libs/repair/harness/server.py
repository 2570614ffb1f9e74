"""Turns the target's pytest into a fork server: every trial is a fork of it, taken before any code of the repository.

It is copied under an unpredictable name into a read-only folder outside the tree and loaded with `-p`. It needs
nothing but pytest 7 to 9 and the standard library of Python 3.8 or later. What a trial says is never proof: code
under test shares the child's process, and only the verifier's own runs count.
"""

from __future__ import annotations

import gc
import importlib
import json
import os
import resource
import select
import signal
import socket
import sys
import time

import pytest

#: Bytes that one trial may say.
_MOST_SAID = 16 << 20
#: Seconds between asking a trial to stop and killing it.
_GRACE_S = 0.5

trial = __import__(__name__[:-1] + "w")


def _open_channel():
    """Take the channel and leave no trace of it, or of this folder, in the environment."""
    setting = os.environ.pop("AUTOPILOT_CHANNEL", "")
    if not setting:
        return None, ""
    number, tree = setting.split(":", 1)
    mine = os.path.dirname(os.path.abspath(__file__))
    paths = {"PYTEST_ADDOPTS": os.environ.pop("AUTOPILOT_ADDOPTS", "")}
    for name in ("PYTHONPATH", "PATH"):
        parts = os.environ.get(name, "").split(os.pathsep)
        paths[name] = os.pathsep.join(part for part in parts if part and not part.startswith(mine))
    for name, value in paths.items():
        os.environ.pop(name, None)
        if value:
            os.environ[name] = value
    sys.path[:] = [part for part in sys.path if os.path.abspath(part or ".") != mine]
    try:
        line = socket.socket(fileno=int(number))
        os.set_inheritable(line.fileno(), False)
    except OSError:
        return None, tree
    return line, tree


class _Server:
    def __init__(self, line, tree):
        self.line, self.tree = line, tree
        self.stream = line.makefile("rb")
        self.known = _processes()
        self.fresh = True

    def serve(self):
        """Carry jobs out until the other side hangs up. Returns in a child only, with its trial."""
        signal.signal(signal.SIGPIPE, signal.SIG_IGN)
        try:
            self.line.sendall(b"h\n")
            while True:
                text = self.stream.readline()
                if not text:
                    break
                job = json.loads(text)
                if self.fresh or job.get("warm"):
                    for name in job.get("warm", ()):
                        _warm(name)
                    # What is there now is never garbage: no fork shall look through it, nor copy its pages.
                    gc.collect()
                    gc.freeze()
                    self.fresh = False
                made = self.run(job)
                if made is not None:
                    return made
        except OSError:
            pass
        os._exit(3)

    def run(self, job):
        kept = _overlay(self.tree, job.get("files") or {})
        reader, writer = os.pipe()
        began, spent = time.monotonic(), _cpu_s()
        pid = os.fork()
        if pid == 0:
            os.close(reader)
            self.stream.close()
            self.line.close()
            _become_child(job)
            return trial.Trial(job, writer, self.tree)
        os.close(writer)
        try:
            how = self.attend(pid, reader, began + job["wall_s"])
        finally:
            os.close(reader)
            self.sweep()
            _restore(kept)
        seconds = {"seconds": round(time.monotonic() - began, 4), "cpu_s": round(_cpu_s() - spent, 4)}
        said = json.dumps({"how": how, **seconds})
        self.line.sendall(b"e" + said.encode() + b"\n")
        return None

    def attend(self, pid, reader, deadline):
        """Pass on what a child says, line by line, until it ends or is ended."""
        rest, said, asked, how = b"", 0, False, "ended"
        while True:
            left = deadline - time.monotonic()
            if left <= 0:
                how = "wall"
                if asked:
                    break
                asked, deadline = True, time.monotonic() + _GRACE_S
                _signal(pid, signal.SIGPROF)
                continue
            if not select.select([reader], [], [], min(left, 0.2))[0]:
                if _gone(pid):
                    break
                continue
            data = os.read(reader, 1 << 16)
            said += len(data)
            if not data or said > _MOST_SAID:
                break
            *lines, rest = (rest + data).split(b"\n")
            if lines:
                self.line.sendall(b"".join(b"t" + one + b"\n" for one in lines))
            if b"done" in lines:
                break
        return how

    def sweep(self):
        """Kill the child and whatever it left behind, groups of their own included."""
        for _ in range(50):
            strays = _processes() - self.known
            for pid in strays:
                _signal(pid, signal.SIGKILL)
            try:
                while os.waitpid(-1, os.WNOHANG)[0]:
                    pass
            except ChildProcessError:
                pass
            if not _processes() - self.known:
                return
            time.sleep(0.001)


def _cpu_s():
    """Processor seconds of this process and of those that it has buried."""
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    return time.process_time() + children.ru_utime + children.ru_stime


def _warm(name):
    """Import what every trial is going to import; what does not let itself be imported is left to them."""
    try:
        importlib.import_module(name)
    except BaseException:
        pass


def _processes():
    return {int(name) for name in os.listdir("/proc") if name.isdigit()}


def _signal(pid, number):
    try:
        os.kill(pid, number)
    except OSError:
        pass


def _gone(pid):
    """Tell whether a child has ended, without reaping it."""
    try:
        return os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None
    except ChildProcessError:
        return True


def _overlay(tree, files):
    """Write files into the tree; their times differ from the originals', so that no compiled code is taken for theirs."""
    kept = []
    for path, text in files.items():
        place = os.path.join(tree, path)
        try:
            with open(place, "rb") as stream:
                kept.append((place, stream.read(), os.stat(place)))
            with open(place, "wb") as stream:
                stream.write(text.encode("utf-8", "surrogateescape"))
            os.utime(place, (1, 1))
        except OSError:
            pass
    return kept


def _restore(kept):
    for place, content, status in kept:
        try:
            if os.path.islink(place) or os.path.isdir(place):
                continue
            with open(place, "wb") as stream:
                stream.write(content)
            os.utime(place, ns=(status.st_atime_ns, status.st_mtime_ns))
        except OSError:
            pass


def _become_child(job):
    os.setsid()
    nothing = os.open(os.devnull, os.O_RDWR)
    for number in (0, 1, 2):
        os.dup2(nothing, number)
    os.close(nothing)
    sys.dont_write_bytecode = not job.get("bytecode")
    if job.get("data_mb"):
        most = job["data_mb"] << 20
        soft, hard = resource.getrlimit(resource.RLIMIT_DATA)
        if hard == resource.RLIM_INFINITY or most < hard:
            resource.setrlimit(resource.RLIMIT_DATA, (most, hard))


_line, _tree = _open_channel()
if _line is None and _tree:
    # A second session of the same command: the first one took the channel, and only one can be held.
    os._exit(3)


#: How a process that came too far tells its parent to serve from before it.
_TOO_FAR = 77
#: Whether this process is to serve when it comes to collecting.
_deep = [False]


def _only_conftests():
    """Tell whether nothing of the tree was loaded but configuration of tests: nothing that a trial might edit."""
    for module in list(sys.modules.values()):
        file = os.path.realpath(getattr(module, "__file__", None) or "/")
        if file.startswith(_tree + os.sep) and os.path.basename(file) != "conftest.py":
            return False
    return True


@pytest.hookimpl(hookwrapper=True, tryfirst=True)
def pytest_load_initial_conftests(early_config):
    if _line is not None:
        known = early_config.known_args_namespace
        if getattr(known, "cov_source", None):
            known.cov_source = []  # the one tracer of a process is ours
        # A fork goes on to where pytest is about to collect, which spares every trial the way there. Where that loads
        # what may be edited, it is of no use, and trials begin here.
        pid = os.fork()
        if pid == 0:
            _deep[0] = True
        else:
            status = os.waitpid(pid, 0)[1]
            if not (os.WIFEXITED(status) and os.WEXITSTATUS(status) == _TOO_FAR):
                os._exit(3)
            early_config.pluginmanager.register(_Server(_line, _tree).serve(), "trial")
    yield


@pytest.hookimpl(hookwrapper=True, tryfirst=True)
def pytest_cmdline_main(config):
    trial.settle(config)
    yield


@pytest.hookimpl(hookwrapper=True, tryfirst=True)
def pytest_collection(session):
    if _deep[0]:
        _deep[0] = False
        if not _only_conftests():
            os._exit(_TOO_FAR)
        made = _Server(_line, _tree).serve()
        made.begin(session.config)
        session.config.pluginmanager.register(made, "trial")
    yield


def pytest_unconfigure():
    if _deep[0]:
        os._exit(_TOO_FAR)
