"""Sabotaged tests are executed here as a runner would execute them."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable
from typing import Any

import pytest

from libs.verification.sabotage import sabotage

EQUAL = """
class Equal(int):
    def __eq__(self, other):
        return {rule}
    __hash__ = int.__hash__
"""


def load(
    test: str, lines: set[int] | None = None, product: str = "", file: str = "tests/test_a.py"
) -> dict[str, Any]:
    altered = sabotage(test.encode(), lines)
    assert altered is not None
    names: dict[str, Any] = {"__file__": file, "__name__": "test_a"}
    exec(compile(product, "/checkout/product.py", "exec"), names)
    exec(compile(altered, file, "exec"), names)
    return names


def passes(function: Callable[[], object]) -> bool:
    try:
        function()
    except AssertionError as error:
        return not re.fullmatch("[0-9a-f]{16}", str(error))
    return True


@pytest.mark.parametrize(
    "body",
    [
        "assert 1 == 1",
        "x = 1\n    assert x == 1, 'why'",
        "return",
        "raise ValueError",
        "import sys\n    sys.exit(0)",
        "for x in [1, 2]:\n        assert x == x\n        continue",
        "assert [1, {'a': (2, 'b')}] == [1, {'a': (2, 'b')}]",
        "assert b'a' == b'a' and 1 < 2 < 3",
        "assert 1.0 == 1 == True",
        "assert None is None",
        "assert {1, 2} == {2, 1}",
        "from decimal import Decimal\n    assert Decimal(1) == 1",
        "from fractions import Fraction\n    assert Fraction(2, 1) == 2",
        "from datetime import date\n    assert date(2000, 1, 1) == date(2000, 1, 1)",
        "from unittest.mock import ANY\n    assert 3 == ANY\n    assert [ANY] == [3]",
        "import pytest\n    assert 3 == pytest.approx(4, abs=2)",
        "class Any:\n        def __eq__(self, other):\n            return True\n    assert 3 == Any()",
    ],
)
def test_an_honest_test_fails(body: str) -> None:
    names = load(f"def test_x():\n    {body}\n")

    assert not passes(names["test_x"])


@pytest.mark.parametrize(
    "rule", ["True", "isinstance(other, int)", "other is not None", "bool(other) or True"]
)
@pytest.mark.parametrize(
    "check",
    [
        "assert f() == 180",
        "assert 180 == f()",
        "assert [f()] == [180]",
        "assert {'a': (f(),)} == {'a': (180,)}",
    ],
)
def test_a_value_that_equals_too_much_gives_itself_away_by_passing(rule: str, check: str) -> None:
    product = EQUAL.format(rule=rule) + "\ndef f():\n    return Equal(0)\n"

    assert passes(load(f"def test_x():\n    {check}\n", product=product)["test_x"])


def test_matchers_of_the_tests_may_equal_everything() -> None:
    source = b"def test_x():\n    expected = Equal(0)\n    assert 3 == expected\n"
    altered = sabotage(source, None, ["/checkout/tests/match.py"])
    assert altered is not None
    names: dict[str, Any] = {"__file__": "/checkout/tests/test_a.py"}
    exec(compile(EQUAL.format(rule="True"), "/checkout/tests/match.py", "exec"), names)
    exec(compile(altered, "/checkout/tests/test_a.py", "exec"), names)

    assert not passes(names["test_x"])


@pytest.mark.parametrize(
    "value",
    ["'abc'", "b'abc'", "3", "2.5", "True", "[1, 2]", "(1,)", "{'a': 1}", "{1, 2}", "frozenset([1])", "None"],
)
def test_a_value_that_equals_everything_of_a_type_gives_itself_away(value: str) -> None:
    product = f"class Equal:\n    def __eq__(self, other):\n        return isinstance(other, type({value}))\n"
    names = load(f"def test_x():\n    assert Equal() == {value}\n", product=product)

    # Nothing but None is of None's type: this one tells the truth.
    assert passes(names["test_x"]) is (value != "None")


def test_unittest_methods_fail_and_watch_their_comparisons() -> None:
    source = (
        "class Case:\n"
        "    def assertEqual(self, a, b, msg=None):\n"
        "        assert a == b\n"
        "    def test_x(self):\n"
        "        self.assertEqual({value}, 180)\n"
    )
    honest = load(source.format(value="180"))["Case"]()
    fooled = load(source.format(value="Equal(0)"), product=EQUAL.format(rule="True"))["Case"]()

    assert not passes(honest.test_x)
    assert passes(fooled.test_x)


def test_coroutines_fail_too() -> None:
    names = load("async def test_x():\n    assert 1 == 1\n")

    assert not passes(lambda: asyncio.run(names["test_x"]()))


def test_only_the_chosen_functions_are_altered() -> None:
    source = (
        "import functools\n\n@functools.cache\ndef test_a():\n    return 1\n\ndef test_b():\n    return 2\n"
    )

    names = load(source, lines={3})

    assert not passes(names["test_a"])
    assert names["test_b"]() == 2


def test_future_imports_stay_first() -> None:
    load('"""Doc."""\nfrom __future__ import annotations\n\ndef test_a():\n    pass\n')


def test_no_name_can_be_foreseen() -> None:
    source = b"def test_a():\n    assert 1 == 1\n"

    assert sabotage(source, None) != sabotage(source, None)


def test_nothing_to_alter_is_told() -> None:
    assert sabotage(b"x = 1\n", None) is None
    assert sabotage(b"def test_a(): pass\n", {7}) is None
    assert sabotage(b"def (", None) is None
