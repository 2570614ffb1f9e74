"""Describes tests, and remembers what the process was made of; the observer's second file.

It needs nothing but the standard library of Python 3.8 or later, and reports nothing itself.
"""

from __future__ import annotations

import builtins
import hashlib
import os
import sys
import types

#: The tree's folder; the observer sets it before it asks anything.
place = [""]


def in_tree(path):
    """Give the path below the tree, or nothing for what lies elsewhere."""
    if not isinstance(path, str):
        return None
    path = os.path.realpath(path)
    if path == place[0]:
        return ""
    return path[len(place[0]) + 1 :] if path.startswith(place[0] + os.sep) else None


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


def describe(item):
    """Say which code a test is made of: kind, file, line, digest."""
    try:
        return _made_of(item)
    except Exception:  # an item that cannot be looked into has no digest, which the base knows or does not
        return "other", "", 0, ""


def _made_of(item):
    examples = getattr(getattr(item, "dtest", None), "examples", None)
    if examples is not None:
        texts = [(example.source + "\1" + example.want).encode("utf-8", "replace") for example in examples]
        file = in_tree(getattr(item.dtest, "filename", "") or "") or ""
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
    return "function", in_tree(code.co_filename) or "", code.co_firstlineno, _code_digest(code)


def given(item):
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


class Integrity:
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


def helpers(owner):
    """Take down what a class of tests asserts with, its parents included."""
    return {
        (klass.__name__, name): (value, getattr(value, "__code__", None))
        for klass in type.mro(owner)
        if klass is not object
        for name, value in list(vars(klass).items())
        if name.startswith(("assert", "fail", "run", "_call", "subTest", "__call__"))
    }


def additions(item, methods):
    """Name what was put on a test, its instance or its class since it was collected."""
    found = ["item:" + name for name in _OWN if name in vars(item)]
    instance = getattr(item, "_instance", None) or getattr(item, "_testcase", None)
    instance = instance or getattr(getattr(item, "_obj", None), "__self__", None)
    found += ["instance:" + name for name in getattr(instance, "__dict__", ()) if name.startswith("assert")]
    owner = getattr(item, "cls", None)
    if isinstance(owner, type) and owner in methods:
        now, before = helpers(owner), methods[owner]
        for key in set(now) | set(before):
            one, other = now.get(key, (None, None)), before.get(key, (None, None))
            if one[0] is not other[0] or one[1] is not other[1]:
                found.append("class:%s.%s" % key)
    return found
