from __future__ import annotations

import pytest

from libs.verification.evasions import MAX_BYTES, evasions
from libs.verification.reading import Surrounding
from libs.verification.types import UnreadableError

AROUND = Surrounding(
    tests=frozenset(["test_wide"]),
    test_modules=frozenset(["tests", "tests.support"]),
    test_folders=frozenset(["tests", "json_cases"]),
)

REACHES = [
    "import os\nos._exit(0)",
    "from os import _exit as leave\nleave(0)",
    "import sys\nsys.exit(0)",
    "raise SystemExit",
    "exit(0)",
    "import os\ndef f():\n    os.fork()",
    "import os\ndef f():\n    os.execv('/bin/true', [])",
    "import ctypes",
    "import gc\ngc.get_objects()",
    "import pytest",
    "from _pytest import runner",
    "import unittest.mock as m",
    "import pluggy",
    "import __main__",
    "import sys\nfor m in sys.modules.values():\n    m",
    "from sys import modules\nmodules",
    "import sys\nsys._getframe(1)",
    "def f(frame):\n    return frame.f_back",
    "import inspect\ninspect.stack()",
    "import sys\nsys.settrace(print)",
    "import sys\nsys.meta_path.insert(0, 1)",
    "def f(x):\n    x.__code__ = 1",
    "object.__subclasses__()",
    "def f(name):\n    return __import__(name)",
    "def f(text):\n    exec(text)",
    "import builtins\nbuiltins.len = 1",
    "import sys\nsys.exit = print",
    "import sys\nsetattr(sys, 'exit', print)",
    "import os\nos.write(3, b'')",
    "open(3, 'w')",
    "import os\ndef f():\n    return 'PYTEST_CURRENT_TEST' in os.environ",
    "def f(name):\n    return name == 'pytest'",
    "def f(name):\n    return name == 'test_wide'",
    "class A:\n    def __eq__(self, other):\n        return True",
    "class A:\n    def __ne__(self, other):\n        return False",
    "def f(x=__import__('o' + 's')):\n    return getattr(x, 'fo' + 'rk')",
    "import builtins\nbuiltins.exec(open('a').read())",
    "from builtins import exec as run\nrun(text)",
    "run = exec\nrun(text)",
    "import functools\nfunctools.partial(eval)(text)",
    "exec('import sys; sys._getframe(1)')",
    "import runpy\nrunpy.run_path('values.txt')",
    "import importlib.util\nimportlib.util.spec_from_file_location('a', 'b')",
    "from importlib.machinery import SourceFileLoader",
    "import pkgutil\npkgutil.resolve_name('ct' + 'ypes')",
    "import importlib\nimportlib.import_module('ct' + 'ypes')",
    "import code\ncode.InteractiveInterpreter()",
    "import types\ntypes.FunctionType(c, {})",
    "import marshal",
    "import pickle\npickle.loads(b'cos\\n_exit\\n(I0\\ntR. and more than that')",
    "import traceback\n[f for f, _ in traceback.walk_stack(None)]",
    "def f(problem):\n    return problem.__traceback__.tb_frame",
    "def f(frame):\n    return getattr(frame, 'f_' + 'locals')",
    "def f(frame):\n    return getattr(frame, ''.join(['f_', 'back']))",
    "def f(frame, rest):\n    return getattr(frame, 'f_' + rest)",
    "def f(frame, rest):\n    return getattr(frame, f'f_{rest}')",
    "def f(frame):\n    return getattr(frame, 'kcab_f'[::-1])",
    "import operator\nback = operator.attrgetter('f_' + 'back')",
    "import operator\nback = operator.attrgetter('a.f_locals')",
    "import json\njson.loads = print",
    "import json as j\nj.decoder.JSONDecoder.decode = print",
    "import json\nread = json\nread.loads = print",
    "import json\nvars(json)['loads'] = print",
    "import json\njson.__dict__.update(loads=print)",
    "import json\nsetattr(json, 'loads', print)",
    "import json\ndel json.loads",
    "import importlib\nimportlib.import_module('json').loads = print",
    "import sys\nsys.modules['json'].loads = print",
    "import sys\nsys.modules['json'] = 1",
    "import sys\ndef f(name):\n    return getattr(sys, name)",
    "class A:\n    pass\nsetattr(A, '__eq' + '__', print)",
    "from tests.support import run",
    "from tests import support",
    "import importlib\nimportlib.import_module('tests.support')",
    "from pathlib import Path\nfolder = Path(__file__).parent / ('json_' + 'cases') / 'a.json'",
    "open('tests/a.txt')",
]

HONEST = [
    "",
    '"""Speaks of pytest, os._exit, test_wide, tokens and logins."""',
    "# os._exit(0)",
    "def f():\n    'Explains sys.exit and conftest.py.'\n    return 1",
    "import sys\n\ndef main():\n    sys.exit(run())",
    "import sys\nif __name__ == '__main__':\n    sys.exit(0)",
    "import os\nROOT = os.environ.get('SHOP_ROOT')",
    "def f():\n    raise NotImplementedError",
    "class A:\n    def __eq__(self, other):\n        return self.x == other.x",
    "class A:\n    def __bool__(self):\n        return False",
    "import importlib\nx = importlib.import_module('json')",
    "import re\nx = re.compile('a')",
    "def f(path):\n    with open(path) as file:\n        return file.read()",
    "token = 'login'",
    "def f():\n    raise SystemExit(2)",
    "import atexit, gc\natexit.register(gc.collect)",
    "import sys\nme = sys.modules[__name__]\nhas = 'numpy' in sys.modules",
    "import importlib\ndef f(n):\n    return importlib.import_module(n)",
    "self = object()\nself.exit = 1",
    "def f(test):\n    return test.example",
    "def f(node, name):\n    return getattr(node, 'visit_' + name)",
    "def f(node, name):\n    return getattr(node, f'_{name}')",
    "import json\nclass A:\n    pass\nA.loads = json.loads",
    "import types\ndef f(x):\n    return isinstance(x, types.FunctionType)",
    "import pickle\ndef f(data):\n    return pickle.loads(data)",
    "import decimal\ndecimal.getcontext().prec = 10",
    "import sys\nsys.modules['shop.money'] = sys.modules[__name__]",
    "x = eval('1 + 1')",
    "from setuptools import find_packages\nfind_packages(exclude=['tests'])",
    "def f(text, value):\n    return 'f_' + text",
    "def f(error):\n    raise ValueError from error",
    "def f(compile):\n    return compile",
]


@pytest.mark.parametrize("code", REACHES)
def test_a_reach_at_process_interpreter_or_runner_is_named(code: str) -> None:
    assert evasions(None, code.encode(), AROUND)
    assert evasions(b"x = 1\n", code.encode(), AROUND)


@pytest.mark.parametrize("code", REACHES)
def test_what_a_file_did_before_is_its_own_business(code: str) -> None:
    assert evasions(code.encode(), f"{code}\nx = 1\n".encode(), AROUND) == ()


@pytest.mark.parametrize("code", HONEST)
def test_words_and_ordinary_code_are_no_reach(code: str) -> None:
    assert evasions(None, code.encode(), AROUND) == ()


@pytest.mark.parametrize(
    "code",
    [
        b"def (",
        b"\xff\xfe\0",
        b"x = 1\0",
        b"_ = " + b"+".join([b"1"] * 3000),
        b"(" * 3000,
        b"# " + b"x" * MAX_BYTES,
    ],
    ids=["syntax", "encoding", "null", "deep", "nested", "large"],
)
def test_what_cannot_be_read_whole_is_no_answer(code: bytes) -> None:
    with pytest.raises(UnreadableError):
        evasions(None, code, AROUND)


def test_tests_may_speak_of_their_runner_and_not_reach_into_it() -> None:
    own = Surrounding(is_test=True)

    assert evasions(None, b"import pytest\nfrom unittest import mock\n", own) == ()
    assert evasions(None, b"import json\ndef test_a():\n    json.loads = print\n", own) == ()
    assert evasions(None, b"import json\njson.loads = print\n", own)
    assert evasions(None, b"import sys\ndef test_a():\n    sys._getframe(1).f_locals\n", own)
