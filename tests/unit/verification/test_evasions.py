from __future__ import annotations

import pytest

from libs.verification.evasions import evasions

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
    "def f(x=__import__('o' + 's')):\n    return x",
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
]


@pytest.mark.parametrize("code", REACHES)
def test_a_reach_at_process_interpreter_or_runner_is_named(code: str) -> None:
    assert evasions(None, code.encode(), {"test_wide"})
    assert evasions(b"x = 1\n", code.encode(), {"test_wide"})


@pytest.mark.parametrize("code", REACHES)
def test_what_a_file_did_before_is_its_own_business(code: str) -> None:
    assert evasions(code.encode(), f"{code}\nx = 1\n".encode(), {"test_wide"}) == ()


@pytest.mark.parametrize("code", HONEST)
def test_words_and_ordinary_code_are_no_reach(code: str) -> None:
    assert evasions(None, code.encode(), {"test_wide"}) == ()


def test_what_is_no_python_is_left_to_the_run() -> None:
    assert evasions(None, b"def (", ()) == ()
    assert evasions(None, b"\xff\xfe\0", ()) == ()
