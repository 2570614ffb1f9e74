"""Runs the tests of one trial in a forked pytest and says, line by line, what became of each.

It needs nothing but pytest 7 to 9 and the standard library of Python 3.8 or later.
"""

from __future__ import annotations

import json
import os
import re
import signal
import sys
import threading
import time

import pytest

_ADDRESS = re.compile(r"0x[0-9a-fA-F]+")


class TimeUp(BaseException):
    """A test has used up its processor time."""


_reals = {}


def _real(path):
    """Resolve a path once: a traceback of a recursion names the same one a thousand times."""
    if path not in _reals:
        _reals[path] = os.path.realpath(path)
    return _reals[path]


def settle(config):
    """Keep every test in this process, and what costs time and is not looked at out of it."""
    wanted = {
        "numprocesses": 0,
        "dist": "no",
        "tx": [],
        "maxfail": 0,
        "continue_on_collection_errors": True,
        "tbstyle": "no",
        "timeout": 0,
        "usepdb": False,
    }
    for name, value in wanted.items():
        if hasattr(config.option, name):
            setattr(config.option, name, value)


class Lines:
    """Counts how often each line of some files is executed."""

    def __init__(self, tree, paths):
        self.known = {os.path.join(tree, path): path for path in paths}
        self.names = {}
        self.counts = {}
        self.tool = None

    def start(self):
        if hasattr(sys, "monitoring"):
            self.monitor()
        else:
            threading.settrace(self.call)
            sys.settrace(self.call)

    def monitor(self):
        kinds = sys.monitoring
        for tool in (kinds.COVERAGE_ID, kinds.PROFILER_ID, 3, 4):
            if kinds.get_tool(tool) is None:
                break
        self.tool = tool
        kinds.use_tool_id(tool, "trial")
        kinds.register_callback(tool, kinds.events.LINE, self.line)
        kinds.set_events(tool, kinds.events.LINE)

    def line(self, code, number):
        path = self.place(code.co_filename)
        if path is None:
            return sys.monitoring.DISABLE
        counts = self.counts
        counts[path, number] = counts.get((path, number), 0) + 1

    def place(self, filename):
        try:
            return self.names[filename]
        except KeyError:
            path = self.names[filename] = self.known.get(_real(filename))
            return path

    def call(self, frame, event, _):
        path = self.place(frame.f_code.co_filename)
        if path is None:
            return None
        counts = self.counts

        def local(frame, event, _):
            if event == "line":
                key = path, frame.f_lineno
                counts[key] = counts.get(key, 0) + 1
            return local

        return local

    def take(self):
        """Return what was counted since the last time, as rows of path, line and count."""
        rows = [[path, line, count] for (path, line), count in list(self.counts.items())]
        # Not a new one: functions under way hold on to it.
        self.counts.clear()
        return rows


class Trial:
    """The plugin of one child."""

    def __init__(self, job, writer, tree):
        self.job, self.writer, self.tree = job, writer, tree
        self.pid = os.getpid()
        self.wanted = {name: place for place, name in enumerate(job.get("ids") or ())}
        self.must = set(job.get("must") or self.wanted)
        self.failed = self.late = 0
        self.longest = 0.0
        self.limit = job["cpu_s"]
        self.time_up = self.testing = False
        self.lines = Lines(tree, job["cover"]) if job.get("cover") else None
        self.before = set(sys.modules)
        signal.signal(signal.SIGPROF, self.stop)
        if self.lines:
            self.lines.start()

    def say(self, *fields):
        if os.getpid() != self.pid:
            return
        data = json.dumps(fields).encode() + b"\n"
        while data:
            data = data[os.write(self.writer, data) :]

    def done(self):
        if os.getpid() == self.pid:
            os.write(self.writer, b"done\n")
        os._exit(0)

    def stop(self, *_):
        self.time_up = True
        raise TimeUp

    @pytest.hookimpl(hookwrapper=True, tryfirst=True)
    def pytest_collection(self, session):
        self.begin(session.config)
        yield

    def begin(self, config):
        """Say what is to be collected, and until when."""
        if self.wanted:
            names = list(self.wanted)
            if len(names) > 30:
                names = list(dict.fromkeys(name.partition("::")[0] for name in names))
            config.args = [os.path.join(str(config.rootpath), name) for name in names]
        # Collecting runs the code of the product too, and may never end.
        signal.setitimer(signal.ITIMER_PROF, max(self.limit * 2, 2.0), 0.25)

    @pytest.hookimpl(hookwrapper=True, trylast=True)
    def pytest_collection_modifyitems(self, items):
        yield
        if self.wanted:
            items[:] = sorted(
                (item for item in items if item.nodeid in self.wanted),
                key=lambda item: self.wanted[item.nodeid],
            )

    @pytest.hookimpl(hookwrapper=True)
    def pytest_collectreport(self, report):
        if report.failed:
            text = str(getattr(report, "longreprtext", "") or report.longrepr)
            self.say("collect", report.nodeid, text[-4000:])
        yield

    @pytest.hookimpl(hookwrapper=True, tryfirst=True)
    def pytest_collection_finish(self, session):
        signal.setitimer(signal.ITIMER_PROF, 0)
        yield
        if self.lines:
            self.say("import", self.lines.take())
        self.say("collected", [item.nodeid for item in session.items] if self.job.get("list") else [])

    @pytest.hookimpl(hookwrapper=True, tryfirst=True)
    def pytest_runtest_protocol(self, item):
        self.reports, self.places, self.sign, self.time_up = [], [], "", False
        began = time.process_time()
        signal.setitimer(signal.ITIMER_PROF, self.limit, 0.25)
        yield
        signal.setitimer(signal.ITIMER_PROF, 0)
        spent = time.process_time() - began
        status = self.status()
        counts = not self.must or item.nodeid in self.must
        if status == "late":
            self.late += counts
            # Enough has been waited for the first: the others are measured by what does end.
            self.limit = min(self.limit, max(0.3, 4 * self.longest))
        else:
            self.longest = max(self.longest, spent)
        covered = self.lines.take() if self.lines else []
        self.say("test", item.nodeid, status, round(spent, 4), self.places, self.sign, covered)
        self.failed += counts and status != "passed"
        most, latest = self.job.get("stop_after"), self.job.get("stop_late")
        if (most and self.failed >= most) or (latest and self.late >= latest):
            # Pytest's own way to stop prints a traceback, which costs four times what a trial does.
            self.say("finish", 1)
            self.done()

    def status(self):
        if self.time_up:
            return "late"
        if any(report.failed for report in self.reports):
            return "failed"
        if any(report.skipped or hasattr(report, "wasxfail") for report in self.reports):
            return "skipped"
        return "passed" if self.reports else "failed"

    @pytest.hookimpl(hookwrapper=True, tryfirst=True)
    def pytest_runtest_makereport(self, item, call):
        if call.excinfo is not None and not self.places:
            self.locate(call.excinfo, item)
        yield

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_logreport(self, report):
        self.reports.append(report)

    def locate(self, excinfo, item):
        """Take down the lines of the tree that an exception passed through, outermost first, and what it says."""
        trace, last = excinfo.tb, 0
        own = _real(str(item.fspath))
        while trace is not None:
            file = _real(trace.tb_frame.f_code.co_filename)
            if file == own:
                last = trace.tb_lineno
            if file.startswith(self.tree + os.sep):
                place = [file[len(self.tree) + 1 :], trace.tb_lineno]
                if place not in self.places[-8:]:
                    self.places.append(place)
            trace = trace.tb_next
        del self.places[:-40]
        try:
            text = _ADDRESS.sub("0x", str(excinfo.value))[:300]
        except Exception:
            text = ""
        self.sign = "%s:%d:%s" % (excinfo.type.__name__, last, text)

    @pytest.hookimpl(tryfirst=True)
    def pytest_sessionfinish(self, session):
        if self.job.get("list"):
            new = [name for name, module in list(sys.modules.items()) if self.is_foreign(name, module)]
            self.say("modules", new)
        self.say("finish", int(session.exitstatus))
        self.done()

    def is_foreign(self, name, module):
        file = getattr(module, "__file__", None) or ""
        return name not in self.before and not os.path.realpath(file).startswith(self.tree + os.sep) and file

    @pytest.hookimpl(tryfirst=True)
    def pytest_unconfigure(self):
        self.done()
