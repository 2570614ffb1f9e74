"""Reports every test to the verifier over a channel of its own, from inside the target's pytest.

It is copied under an unpredictable name into a read-only folder outside the tree and loaded with `-p` before
any code of the repository runs. It needs nothing but pytest 7 to 9 and the standard library of Python 3.8
or later. Code under test shares this process: what it could still do is in docs/threats.md, and nothing here
is trusted alone (the verifier repeats the run with tests that must fail).
"""

from __future__ import annotations

import _json
import _thread
import builtins
import hashlib
import inspect
import os
import random
import socket
import struct
import sys
import types
import unittest.case

import _hashlib
import pytest
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
        return None, "", False
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
    except OSError:
        return None, tree, False
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

    return report, tree, is_control


_report, _tree, _is_control = _open_channel()


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


def _in_tree(path):
    """Give the path below the tree, or nothing for what lies elsewhere."""
    if not isinstance(path, str):
        return None
    path = os.path.realpath(path)
    if path == _tree:
        return ""
    return path[len(_tree) + 1 :] if path.startswith(_tree + os.sep) else None


def _code_digest(code):
    """Digest what code does, without where it stands."""
    parts = [
        code.co_code,
        repr((code.co_names, code.co_varnames, code.co_freevars, code.co_argcount)).encode(),
    ]
    for constant in code.co_consts:
        nested = isinstance(constant, types.CodeType)
        parts.append(_code_digest(constant).encode() if nested else repr(constant).encode("utf-8", "replace"))
    return hashlib.sha256(b"\0".join(parts)).hexdigest()


def _describe(item):
    """Say which code a test is made of: kind, file, line, digest."""
    try:
        return _made_of(item)
    except Exception:  # an item that cannot be looked into has no digest, which the base knows or does not
        return "other", "", 0, ""


def _made_of(item):
    examples = getattr(getattr(item, "dtest", None), "examples", None)
    if examples is not None:
        texts = [(example.source + "\1" + example.want).encode("utf-8", "replace") for example in examples]
        file = _in_tree(getattr(item.dtest, "filename", "") or "") or ""
        return "doctest", file, 0, ",".join(hashlib.sha256(text).hexdigest()[:12] for text in texts)
    function = getattr(item, "function", None) or getattr(item, "obj", None)
    for _ in range(50):
        inner = getattr(getattr(function, "hypothesis", None), "inner_test", None)
        inner = inner or getattr(function, "__wrapped__", None) or getattr(function, "__func__", None)
        if inner is None and not hasattr(function, "__code__"):
            inner = getattr(function, "func", None)
        if inner is None:
            break
        function = inner
    code = getattr(function, "__code__", None)
    if not isinstance(code, types.CodeType):
        return "other", "", 0, ""
    return "function", _in_tree(code.co_filename) or "", code.co_firstlineno, _code_digest(code)


def _given(item):
    """Digest the plain values that a test is given: what it expects is often among them."""
    given = getattr(getattr(item, "callspec", None), "params", None)
    if type(given) is not dict or not given:
        return ""
    text = repr([(name, _plain(given[name], [2000])) for name in sorted(given)])
    return "/" + hashlib.sha256(text.encode("utf-8", "replace")).hexdigest()[:16]


def _plain(value, budget):
    """Keep what can be compared from run to run; anything else is only its type's name."""
    budget[0] -= 1
    kind = type(value)
    if budget[0] < 0:
        return "..."
    if kind in (int, float, complex, str, bytes, bool, type(None)):
        return value
    if kind in (list, tuple):
        return kind([_plain(one, budget) for one in value])
    if kind is dict:
        return [(_plain(key, budget), _plain(one, budget)) for key, one in value.items()]
    return kind.__name__


def _row(item):
    kind, file, line, digest = _describe(item)
    item_given = _given(item) if kind == "function" else ""
    _givens[item.nodeid] = item_given
    return item.nodeid, kind, file, line, digest + item_given


_givens = {}


class _Integrity:
    """Remembers what the framework was made of before any code of the repository ran."""

    def __init__(self):
        self.holders = []
        for name, module in sorted(sys.modules.items()):
            if name.split(".")[0] in ("pytest", "_pytest", "pluggy", "unittest") and module is not None:
                self._remember(name, vars(module), False)
                for key, value in list(vars(module).items()):
                    if isinstance(value, type) and getattr(value, "__module__", "") == name:
                        self._remember(name + "." + key, value, True)
        for owner, names in (
            (builtins, [name for name in vars(builtins) if name != "_"]),
            (os, ["_exit", "abort", "kill", "write", "fork", "environ", "execv", "execve", "dup2"]),
            (sys, ["exit", "settrace", "setprofile", "modules", "_getframe", "exc_info", "gettrace"]),
        ):
            held = {name: vars(owner)[name] for name in names if name in vars(owner)}
            self.holders.append((owner.__name__, vars(owner), held, {}, None))
        self.tracing = (sys.gettrace(), sys.getprofile())
        self.standard = []
        names = getattr(sys, "stdlib_module_names", ())
        for name, module in sorted(sys.modules.items()):
            if name.split(".")[0] in names and name not in ("sys", "builtins", "__main__"):
                self._note(name, vars(module))

    def _note(self, name, holder):
        """Remember the functions of a module of the standard library, and those of its classes."""
        for key, value in list(holder.items()):
            if isinstance(value, type) and getattr(value, "__module__", "") == name:
                for inner, method in list(vars(value).items()):
                    if isinstance(method, types.FunctionType):
                        label = name + "." + key + ":" + inner
                        self.standard.append((label, vars(value), inner, method, method.__code__))
            elif isinstance(value, (types.FunctionType, types.BuiltinFunctionType)):
                self.standard.append((name + ":" + key, holder, key, value, getattr(value, "__code__", None)))

    def replaced(self):
        """Name the functions of the standard library that are not what they were."""
        return [
            label
            for label, holder, key, value, code in self.standard
            if holder.get(key) is not value or (code is not None and value.__code__ is not code)
        ]

    def _remember(self, label, holder, is_class):
        held = dict(vars(holder) if is_class else holder)
        kinds = (property, classmethod, staticmethod)
        held = {key: value for key, value in held.items() if callable(value) or isinstance(value, kinds)}
        codes = {}
        for key, value in held.items():
            value = getattr(value, "__func__", value)
            value = getattr(value, "fget", None) or value
            if isinstance(value, types.FunctionType):
                codes[key] = (value, value.__code__, value.__defaults__, value.__kwdefaults__)
        keys = None
        if is_class:
            inherited = frozenset(name for parent in holder.__mro__[1:] for name in vars(parent))
            holder = vars(holder)
            keys = frozenset(holder), inherited
        self.holders.append((label, holder, held, codes, keys))

    def differences(self):
        """Name everything that is not what it was."""
        found = []
        for label, holder, held, codes, keys in self.holders:
            for key, value in held.items():
                if holder.get(key, found) is not value and not key.startswith(("__warning", "_abc", "@py")):
                    found.append(label + ":" + key)
            for key, (function, code, defaults, keywords) in codes.items():
                if (
                    function.__code__ is not code
                    or function.__defaults__ is not defaults
                    or function.__kwdefaults__ is not keywords
                ):
                    found.append(label + ":" + key + "()")
            if keys is not None and len(holder) != len(keys[0]):
                # A name that no parent has changes nothing (pytest notes on classes what it has warned about).
                found.extend(label + ":+" + key for key in holder if key not in keys[0] and key in keys[1])
        if (sys.gettrace() is None) != (self.tracing[0] is None):
            found.append("sys:trace function")
        if (sys.getprofile() is None) != (self.tracing[1] is None):
            found.append("sys:profile function")
        return found


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
    return _describe(item)[3] + _givens.get(item.nodeid, "")


_OWN = (
    "runtest",
    "setup",
    "teardown",
    "ihook",
    "reportinfo",
    "repr_failure",
    "_prunetraceback",
    "iter_parents",
)
_methods = {}


def _helpers(owner):
    """Take down what a class of tests asserts with, its parents included."""
    return {
        (klass.__name__, name): (value, getattr(value, "__code__", None))
        for klass in type.mro(owner)
        if klass is not object
        for name, value in list(vars(klass).items())
        if name.startswith(("assert", "fail", "run", "_call", "subTest", "__call__"))
    }


def _look_at(item):
    """Name what was put on a test, its instance or its class since it was collected."""
    found = ["item:" + name for name in _OWN if name in vars(item)]
    instance = getattr(item, "_instance", None) or getattr(item, "_testcase", None)
    instance = instance or getattr(getattr(item, "_obj", None), "__self__", None)
    found += ["instance:" + name for name in getattr(instance, "__dict__", ()) if name.startswith("assert")]
    owner = getattr(item, "cls", None)
    if isinstance(owner, type) and owner in _methods:
        now, before = _helpers(owner), _methods[owner]
        for key in set(now) | set(before):
            one, other = now.get(key, (None, None)), before.get(key, (None, None))
            if one[0] is not other[0] or one[1] is not other[1]:
                found.append("class:%s.%s" % key)
    new = [name for name in found if name not in _known]
    if new:
        _known.extend(new)
        _report_many("altered", [(name,) for name in new])


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


_integrity = _Integrity() if _report else None
_known = []
_observer = Observer()
_items = []


def _check(whole=True):
    found = _integrity.differences() + (_integrity.replaced() if whole else [])
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
                    _in_tree(getattr(getattr(function, "__code__", None), "co_filename", "")) or "",
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
                _methods[owner] = _helpers(owner)
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
            modules.append((str(name), _in_tree(file) or "", bool(file)))
        _report_many("module", modules)
        _report_many(
            "path", [(place,) for place in map(_in_tree, (p or "." for p in sys.path)) if place is not None]
        )
        _report("finish", int(getattr(session, "exitstatus", -1)))
        if _is_control:
            session.exitstatus = 0  # `pytest a && pytest b` shall come to its second half
