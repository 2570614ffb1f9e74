"""Reports every test to the verifier over a channel of its own, from inside the target's pytest.

It is copied under an unpredictable name into a read-only folder outside the tree and loaded with `-p` before
any code of the repository runs. It needs nothing but pytest 7 to 9 and the standard library of Python 3.8
or later. Code under test shares this process: what it could still do is in docs/threats.md, and nothing here
is trusted alone (the verifier repeats the run with tests that must fail).
"""

from __future__ import annotations

import _json
import _thread
import ast
import json
import os
import random
import socket
import struct
import sys
import unittest.case

import _hashlib
import pytest
from _frozen_importlib_external import FileLoader
from _pytest.assertion import rewrite
from _pytest.fixtures import FuncFixtureInfo
from _pytest.runner import CallInfo

_CHUNK = 20_000
_quote = _json.encode_basestring_ascii
_getpid = os.getpid
_ident = _thread.get_ident


def _encode(value):
    """Write JSON with nothing that can be replaced from Python."""
    if value is None:
        return "null"
    if value is True or value is False:
        return "true" if value else "false"
    if isinstance(value, int):
        return int.__repr__(value)
    if isinstance(value, str):
        return _quote(value)
    return "[" + ",".join([_encode(one) for one in value]) + "]"


def _open_channel():
    """Take the one key of this session and leave no trace of the channel in the environment."""
    setting = os.environ.pop("AUTOPILOT_CHANNEL", "")
    if not setting:
        return None, "", False, {}
    number, tree = setting.split(":", 1)
    mine = os.path.dirname(os.path.abspath(__file__))
    for name, original in (("PYTEST_ADDOPTS", "AUTOPILOT_ADDOPTS"), ("PYTHONPATH", None), ("PATH", None)):
        if original:
            kept = os.environ.pop(original, "")
        else:
            kept = os.pathsep.join(
                part
                for part in os.environ.get(name, "").split(os.pathsep)
                if part and not os.path.abspath(part).startswith(mine)
            )
        os.environ.pop(name, None)
        if kept:
            os.environ[name] = kept
    sys.path[:] = [part for part in sys.path if os.path.abspath(part or ".") != mine]
    try:
        line = socket.socket(fileno=int(number))
        os.set_inheritable(line.fileno(), False)
        line.settimeout(60)
        line.send(b"hello")
        answer = line.recv(64)
        packets = []
        while answer[32:] == b"c" and packets[-1:] != [b"end"]:
            line.send(b"next")
            packets.append(line.recv(1 << 17))
        altered = json.loads(b"".join(packets[:-1])) if packets else {}
    except OSError:
        return None, tree, False, {}
    key, is_control = answer[:32], answer[32:] == b"c"
    own, thread, count, send = _getpid(), _ident(), [0], line.send
    mac, pack, caller, encode, pid, ident = (
        _hashlib.hmac_digest,
        struct.pack,
        sys._getframe,
        _encode,
        _getpid,
        _ident,
    )
    mine = __file__

    def report(kind, *fields):
        # A forked child or a thread of the tested code must not speak for the session.
        if pid() != own or ident() != thread:
            return
        # Whoever stands between the observer's functions and this one would say something else than they do.
        if caller(1).f_code.co_filename != mine:
            kind, fields = "altered", [[("observer:report",)]]
        text = encode((kind,) + tuple(fields)).encode("ascii")
        try:
            send(mac(key, pack(">Q", count[0]) + text, "sha256") + text)
        except OSError:
            return
        count[0] += 1

    return report, tree, is_control, altered


# Before the channel is opened, which takes the folder of both files off the search path.
watch = __import__(__name__[:-1] + "w")
_report, _tree, _is_control, _altered = _open_channel()
watch.place[0] = _tree


def _load_altered(altered):
    """Let Python load altered test files where it would load those of the tree; on disk nothing changes."""
    sources = {
        os.path.join(_tree, path): text.encode("utf-8", "surrogatepass") for path, text in altered.items()
    }
    real, caller, parse, build = os.path.realpath, sys._getframe, ast.parse, compile
    rewrite_test, read_pyc, get_data = rewrite._rewrite_test, rewrite._read_pyc, FileLoader.get_data

    def _rewrite_test(fn, config):
        source = sources.get(real(str(fn)))
        if source is None:
            return rewrite_test(fn, config)
        tree = parse(source, filename=str(fn))
        rewrite.rewrite_asserts(tree, source, str(fn), config)
        return os.stat(fn), build(tree, str(fn), "exec", dont_inherit=True)

    def _read_pyc(source, *rest, **options):
        return None if real(str(source)) in sources else read_pyc(source, *rest, **options)

    def _get_data(self, path):
        # Whoever else reads a file of tests finds what lies there.
        loading = caller(1).f_code.co_name == "get_code"
        source = sources.get(real(path)) if loading else None
        return get_data(self, path) if source is None else source

    rewrite._rewrite_test, rewrite._read_pyc, FileLoader.get_data = _rewrite_test, _read_pyc, _get_data


if _altered:
    _load_altered(_altered)
_altered = None


def _report_many(kind, rows):
    """Send a long list in packets that fit the channel."""
    packet, size = [], 0
    for row in rows:
        packet.append(row)
        size += sum(len(str(field)) for field in row) + 8
        if size > _CHUNK:
            _report(kind, packet)
            packet, size = [], 0
    if packet:
        _report(kind, packet)


def _row(item):
    kind, file, line, digest = watch.describe(item)
    item_given = watch.given(item) if kind == "function" else ""
    _givens[item.nodeid] = item_given
    return item.nodeid, kind, file, line, digest + item_given


_givens = {}
_methods = {}


_LOW, _HIGH = random.sample(range(1_000), 2)


def _canary_compares():
    assert _LOW == _HIGH


def _canary_raises():
    raise RuntimeError("a control that must fail")


class _Canaries:
    """Runs tests of our own that must fail through the same machinery, at moments nobody can foresee."""

    def __init__(self):
        self.random = random.SystemRandom()
        self.plugins = None

    def run(self, item):
        module = item.getparent(pytest.Module)
        if module is None:
            return
        body = self.random.choice((_canary_compares, _canary_raises))
        manager = item.config.pluginmanager
        foreign = [
            plugin
            for plugin in manager.get_plugins()
            if not str(getattr(plugin, "__name__", type(plugin).__module__)).startswith("_pytest.")
        ]
        make_report = manager.subset_hook_caller("pytest_runtest_makereport", foreign)
        info = FuncFixtureInfo((), (), [], {})
        canary = pytest.Function.from_parent(module, name="test_control", callobj=body, fixtureinfo=info)
        call = CallInfo.from_call(canary.runtest, when="call")
        report = make_report(item=canary, call=call)
        failed = (
            call.excinfo is not None and report.outcome == "failed" and report.failed and not report.passed
        )
        _report("canary", body.__name__, bool(failed))


def _called(item):
    # What a test was given is taken at collection: a test may alter its own arguments.
    return watch.describe(item)[3] + _givens.get(item.nodeid, "")


def _look_at(item):
    _say_altered(watch.additions(item, _methods))


class Observer:
    """Sees each test from the outermost place; registered when collection is over."""

    def __init__(self):
        self.random = random.SystemRandom()
        self.canaries = _Canaries()
        self.described = {}

    @pytest.hookimpl(hookwrapper=True, tryfirst=True)
    def pytest_runtest_protocol(self, item):
        _report("begin", item.nodeid)
        yield
        _report("end", item.nodeid)
        seldom = self.random.random() < 0.1
        # Some 8,000 functions of the standard library take a millisecond: seldom is enough for what stays.
        _check(seldom)
        if seldom:
            self.control(item)

    def control(self, item):
        try:
            self.canaries.run(item)
        except Exception as problem:  # a control that cannot be made is no evidence in either direction
            _report("canary_error", repr(problem)[:500])

    @pytest.hookimpl(hookwrapper=True, tryfirst=True)
    def pytest_runtest_call(self, item):
        outcome = yield
        _report("call", item.nodeid, _called(item), outcome.excinfo is not None)
        _look_at(item)

    @pytest.hookimpl(hookwrapper=True, tryfirst=True)
    def pytest_runtest_makereport(self, item, call):
        raised = call.excinfo is not None
        outcome = yield
        if outcome.excinfo is None and isinstance(item, pytest.Item) and item.name != "test_control":
            _report("made", item.nodeid, call.when, raised, outcome.get_result().outcome)

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_logreport(self, report):
        _report("log", report.nodeid, str(report.when), report.outcome, hasattr(report, "wasxfail"))


_integrity = watch.Integrity() if _report else None
_known = []
_observer = Observer()
_items = []


def _check(whole=True):
    found = _integrity.differences() + (_integrity.replaced() if whole else [])
    _say_altered(found)


def _say_altered(found):
    new = [one for one in found if one not in _known]
    if new:
        _known.extend(new)
        _report_many("altered", [(one,) for one in new])


def _hooks(manager):
    rows = set()
    for caller in vars(manager.hook).values():
        for implementation in getattr(caller, "get_hookimpls", list)():
            function = implementation.function
            rows.add(
                (
                    caller.name,
                    getattr(function, "__module__", "") or "",
                    getattr(function, "__qualname__", "") or "",
                    watch.in_tree(getattr(getattr(function, "__code__", None), "co_filename", "")) or "",
                )
            )
    return sorted(row for row in rows if row[1] != __name__)


def _one_process(config):
    """Keep every test in this process, and go on after failures: the verifier wants to see all of them."""
    wanted = {"numprocesses": 0, "dist": "no", "tx": [], "maxfail": 0, "continue_on_collection_errors": True}
    if _is_control:
        # Where every test fails, tracebacks are four fifths of the time: boltons takes 10.5 s instead of 1.9 s.
        wanted["tbstyle"] = "no"
    for name, value in wanted.items():
        if hasattr(config.option, name):
            setattr(config.option, name, value)


if _report is not None:

    @pytest.hookimpl(hookwrapper=True, tryfirst=True)
    def pytest_cmdline_main(config):
        _one_process(config)
        yield

    @pytest.hookimpl(tryfirst=True)
    def pytest_configure(config):
        _one_process(config)
        sys.modules.pop(__name__, None)
        sys.modules.pop(watch.__name__, None)

    def pytest_sessionstart(session):
        _report("start", pytest.__version__, sys.version.split()[0], os.path.realpath(os.getcwd()))

    @pytest.hookimpl(hookwrapper=True)
    def pytest_collectreport(report):
        if report.failed:
            _report("collect_error", report.nodeid)
        yield

    @pytest.hookimpl(hookwrapper=True, tryfirst=True)
    def pytest_collection_finish(session):
        yield
        _items[:] = session.items
        for item in session.items:
            owner = getattr(item, "cls", None)
            if isinstance(owner, type) and owner not in _methods:
                _methods[owner] = watch.helpers(owner)
        _report_many("tests", [_row(item) for item in session.items])
        _report("collected", len(session.items))
        session.config.pluginmanager.register(_observer, "observer-%x" % random.getrandbits(64))
        _check()
        _report_many("hook", _hooks(session.config.pluginmanager))
        if session.items:
            _observer.control(session.items[0])

    @pytest.hookimpl(hookwrapper=True, tryfirst=True)
    def pytest_sessionfinish(session):
        if _items:
            _observer.control(_items[-1])
        yield
        _check()
        _report_many("hook", _hooks(session.config.pluginmanager))
        modules = []
        for name, module in list(sys.modules.items()):
            file = getattr(module, "__file__", None)
            modules.append((str(name), watch.in_tree(file) or "", bool(file)))
        _report_many("module", modules)
        _report_many(
            "path",
            [(place,) for place in map(watch.in_tree, (p or "." for p in sys.path)) if place is not None],
        )
        _report("finish", int(getattr(session, "exitstatus", -1)))
        if _is_control:
            session.exitstatus = 0  # `pytest a && pytest b` shall come to its second half
