"""What honest suites do must not look like cheating: each of these is accepted."""

from __future__ import annotations

import shutil
import textwrap
from pathlib import Path
from typing import Any

import msgspec
import pytest

from tests.integration.verification.conftest import Court
from tests.integration.verification.shop import FILES, MONEY, RIGHT

SUITE = {
    **FILES,
    "tests/conftest.py": textwrap.dedent(
        """
        import pytest

        def pytest_collection_modifyitems(items):
            items.sort(key=lambda item: item.name)

        @pytest.hookimpl(hookwrapper=True)
        def pytest_runtest_makereport(item, call):
            outcome = yield
            item.seen = outcome.get_result().outcome

        @pytest.fixture(scope="session", autouse=True)
        def stock():
            return {"apples": 3}

        @pytest.fixture
        def price(request):
            yield 100
            assert request.node.seen in ("passed", "failed")
        """
    ),
    "tests/test_honest.py": textwrap.dedent(
        """
        import asyncio, builtins, os, subprocess, sys, threading, unittest
        from unittest import mock

        import pytest

        from pricing.money import discount, tax

        class Any:
            def __eq__(self, other):
                return True

        def quiet(function):
            def wrapper(*args, **keywords):
                try:
                    return function(*args, **keywords)
                except AssertionError:
                    pass
            return wrapper

        def test_fixture(price, stock):
            assert tax(price, 0) == 100
            assert {"a": tax(1, 1), "b": [1]} == {"a": mock.ANY, "b": [1]}
            assert tax(1, 1) == Any()
            assert tax(1, 1) == pytest.approx(1, abs=5)

        def test_discount_with_matchers():
            assert discount(200, 10) == mock.ANY
            assert discount(200, 10) == Any()
            assert discount(200, 10) == pytest.approx(179, abs=2)
            assert discount(200, 10) == 180

        @quiet
        def test_that_cannot_fail():
            assert True

        def test_nested_run(tmp_path):
            (tmp_path / "test_inner.py").write_text("def test_inner(): assert False")
            done = subprocess.run([sys.executable, "-m", "pytest", "-q", str(tmp_path)], capture_output=True)
            assert done.returncode == 1

        def test_nested_run_in_process(tmp_path):
            (tmp_path / "test_inner_too.py").write_text("def test_inner(): assert False")
            assert pytest.main(["-q", str(tmp_path)]) == 1

        def test_patches(monkeypatch):
            monkeypatch.setattr(builtins, "open", None)
            monkeypatch.setattr(sys, "exit", lambda code: None)
            sys.exit(3)

        def test_exit():
            with pytest.raises(SystemExit):
                sys.exit(0)

        def test_child():
            pid = os.fork()
            if pid == 0:
                os._exit(7)
            assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 7

        def test_thread_and_loop(caplog, capsys):
            thread = threading.Thread(target=print, args=("hello",))
            thread.start()
            thread.join()
            assert capsys.readouterr().out == "hello\\n"
            assert asyncio.run(asyncio.sleep(0, 3)) == 3

        @pytest.mark.skipif(sys.platform == "linux", reason="elsewhere")
        def test_elsewhere():
            assert False

        @pytest.mark.parametrize("thing", [object(), discount])
        def test_ids_with_addresses(thing):
            assert thing

        class TestGroup:
            value = None

            @classmethod
            def setup_class(cls):
                cls.value = 3

            def test_value(self):
                assert self.value == 3

            @staticmethod
            def test_static():
                assert tax(100, 5) == 105

        class Mixin:
            def test_inherited(self):
                self.assertEqual(self.value, 3)

        class InheritingTest(Mixin, unittest.TestCase):
            value = 3

            def test_subtests(self):
                for number in range(3):
                    with self.subTest(number=number):
                        self.assertEqual(tax(number, 0), number)

        class LoopTest(unittest.IsolatedAsyncioTestCase):
            async def test_waits(self):
                await asyncio.sleep(0)
                self.assertEqual(tax(100, 5), 105)
        """
    ),
}


async def test_what_honest_suites_do_is_accepted(court: Court) -> None:
    base = court.repository.commit(FILES, SUITE)
    fixed = court.repository.commit(SUITE, {"pricing/money.py": RIGHT})
    request = court.request(fixed)
    for path in ("tests", "--doctest-modules pricing tests"):
        command = f"python -m pytest -q -x -p no:cacheprovider {path}"

        verification = await court.verify(
            msgspec.structs.replace(request, base_commit=base, test=command, fail_to_pass=(command,))
        )

        assert verification.problems == ()
    assert verification.base_tests == verification.base_tests_held == 24


@pytest.mark.parametrize(
    "edits",
    [
        {"tests/test_more.py": "def test_more():\n    assert True\n", "tests/data/more.txt": ""},
        {"pyproject.toml": FILES["pyproject.toml"].replace("1.0", "1.1"), "CHANGELOG.md": "1.1\n"},
        {
            "pricing/token.py": '"""Keeps a login token; pytest and os._exit are only mentioned."""\nLOGIN = "user"\n'
        },
        {"pricing/json/__init__.py": "", "pricing/types.py": "from dataclasses import dataclass\n"},
        {"pricing/__main__.py": "import sys\n\nif __name__ == '__main__':\n    sys.exit(0)\n"},
        {
            "pricing/name.py": "class Name(str):\n    def __eq__(self, other):\n"
            "        return self.lower() == str(other).lower()\n\n    __hash__ = str.__hash__\n",
            "tests/test_name.py": "import json\nfrom unittest import mock\n\nimport pytest\n\n"
            "from pricing.name import Name\n\n\ndef test_name(monkeypatch):\n"
            "    monkeypatch.setattr(json, 'loads', mock.Mock())\n    assert Name('A') == 'a'\n",
            "tests/data/broken.py": "def (\n",
        },
    ],
    ids=[
        "adds tests",
        "raises the version",
        "mentions words",
        "names modules like others",
        "has a program",
        "compares in its own way",
    ],
)
async def test_what_honest_changes_add_is_accepted(
    court: Court, edits: dict[str, str | bytes | None]
) -> None:
    verification = await court.judge({"pricing/money.py": RIGHT, **edits})

    assert verification.problems == ()


async def test_a_task_may_let_the_change_edit_a_test(court: Court) -> None:
    edited = FILES["tests/test_basket.py"].replace("test_sum", "test_sum_of_prices")
    edits = {"pricing/money.py": RIGHT, "tests/test_basket.py": edited}

    refused = await court.judge(edits)
    allowed = await court.judge(edits, may_change_tests=("tests/test_b*.py",))

    assert {problem.code for problem in refused.problems} == {"protected_changed"}
    assert allowed.problems == ()


async def test_known_failures_may_go_on_failing(court: Court) -> None:
    broken = FILES["tests/test_money.py"] + "\n\ndef test_moon():\n    assert False\n"
    base = court.repository.commit(FILES, {"tests/test_money.py": broken})
    fixed = court.repository.commit(FILES, {"tests/test_money.py": broken, "pricing/money.py": RIGHT})
    request = msgspec.structs.replace(
        court.request(fixed),
        base_commit=base,
        fail_to_pass=("python -m pytest -q tests/test_money.py::test_discount",),
    )

    strict = await court.verify(request)
    tolerant = await court.verify(
        msgspec.structs.replace(request, known_failures=("tests/test_money.py::test_moon",))
    )

    assert "test_not_passing" in {problem.code for problem in strict.problems}
    assert tolerant.problems == ()


@pytest.mark.parametrize(
    "command",
    [
        "PYTHONPATH=. python -m pytest -q tests",
        "make test",
        "PYTHONPATH=. pytest -q tests",
        "python -m pytest -q tests/test_money.py && python -m pytest -q tests/test_basket.py",
        "cd tests && PYTHONPATH=.. python3 -m pytest -q --rootdir=.. .",
    ],
)
async def test_however_pytest_is_started_it_is_observed(court: Court, command: str) -> None:
    if command.startswith("make") and not shutil.which("make", path="/usr/bin:/bin"):
        pytest.skip("make is not installed")
    verification = await court.judge({"pricing/money.py": RIGHT}, test=command, fail_to_pass=(command,))

    assert verification.problems == ()
    assert verification.fail_to_pass_passed == verification.fail_to_pass_selected == 7


async def test_a_runner_that_writes_a_report_is_judged_by_it(
    court: Court, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings: dict[str, Any] = {
        "test": None, "fail_to_pass": ("python run_checks.py",), "report": "junit.xml",
    }  # fmt: skip
    lie = (
        "import atexit, os\n\n\ndef lie():\n"
        "    text = '<testsuite>'\n"
        "    for name in ('discount', 'nothing'):\n"
        '        text += f\'<testcase classname="check_money.DiscountCheck" name="test_{name}"/>\'\n'
        "    open('junit.xml', 'w').write(text + '</testsuite>')\n"
        "    os._exit(0)\n\n\n"
        "atexit.register(lie)\n"
    )
    monkeypatch.setattr("libs.verification.scrutiny.gained", lambda *_: ())

    right = await court.judge({"pricing/money.py": RIGHT}, **settings)
    wrong = await court.judge({"README.md": "fixed"}, **settings)
    lying = await court.judge({"pricing/money.py": lie + MONEY}, **settings)

    assert right.problems == ()
    assert {problem.code for problem in wrong.problems} >= {"command_failed", "test_not_passing"}
    assert {problem.code for problem in lying.problems} == {"control_passed"}


async def test_without_a_report_another_runner_is_refused_clearly(court: Court) -> None:
    command = "python -m unittest discover -s tests -p 'check_*.py' -t ."

    verification = await court.judge({"pricing/money.py": RIGHT}, test=command, fail_to_pass=(command,))

    (problem,) = [problem for problem in verification.problems if problem.code == "not_observable"]
    assert "set `report:`" in problem.detail


def test_the_observer_needs_nothing_but_pytest_and_the_standard_library() -> None:
    source = Path("libs/verification/probe/observer.py").read_text()

    assert "from libs" not in source
    assert "import libs" not in source
