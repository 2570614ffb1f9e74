"""Sabotaged tests are executed here as a runner would execute them."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable
from typing import Any

import pytest

from libs.verification.novelty import Novelty, novelty
from libs.verification.sabotage import sabotage

EQUAL = """
class Equal(int):
    def __eq__(self, other):
        return {rule}
    __hash__ = int.__hash__
"""


def load(
    test: str,
    lines: set[int] | None = None,
    product: str = "",
    file: str = "tests/test_a.py",
    new: Novelty | None = None,
) -> dict[str, Any]:
    altered = sabotage(test.encode(), lines, (), new)
    assert altered is not None
    names: dict[str, Any] = {"__file__": file, "__name__": "test_a"}
    exec(compile(product, "/checkout/product.py", "exec", dont_inherit=True), names)
    exec(compile(altered, file, "exec", dont_inherit=True), names)
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


CHANGED = Novelty(files=("/checkout/product.py",))
STEPS = """
class Bound:
    def __get__(self, one, kind=None):
        def same(other):
            one.__dict__.setdefault("kept", other)
            return one.kept == other
        return same
class Steps({base}):
    {rule}
    __hash__ = {base}.__hash__
def f():
    return Steps({value})
"""
FIRST = "def __eq__(self, other):\n        self.__dict__.setdefault('kept', other)\n        return self.kept == other"


@pytest.mark.parametrize(
    ("base", "value", "rule", "check"),
    [
        ("list", "[1]", FIRST, "assert f() == [1, 2]"),
        ("list", "[1]", FIRST, "x = f()\n    assert 1 and x == [1, 2]"),
        ("list", "[3, 4]", "def __eq__(self, other):\n        return len(self) == len(other)", "assert f() == [1, 2]"),
        ("list", "[1]", "def __eq__(self, o):\n        self[:] = o\n        return True", "assert f() == [1, 2]"),
        ("list", "[1]", "__eq__ = Bound()", "assert f() == [1, 2]"),
        ("list", "[1]", "__contains__ = lambda self, one: isinstance(one, int)", "assert 7 in f()"),
        ("str", "'a'", FIRST, "assert f() == 'b'"),
        ("str", "'a'", FIRST, "assert [{'x': f()}] == [{'x': 'b'}]"),
        ("int", "3", "def __lt__(self, other):\n        return True", "assert f() < 3"),
        ("int", "3", "def __ne__(self, other):\n        return isinstance(other, int)", "assert f() != 3"),
        ("float", "3.0", "def __rsub__(self, other):\n        return 0.0", "import pytest\n    assert pytest.approx(4.0) == f()"),
        ("float", "3.0", "def __eq__(self, o):\n        return hasattr(o, 'rel')", "import pytest\n    assert f() == pytest.approx(4.0)"),
        ("tuple", "(1, 9)", "def __eq__(self, other):\n        return self[0] == other[0]", "assert [f()] == [(1, 2)]"),
        ("dict", "a=1", "def __eq__(self, other):\n        return 'a' in other", "assert f() == {'a': 2}"),
        ("object", "", FIRST.replace("self, other", "self, other"), "assert f() == 3"),
    ],
)  # fmt: skip
def test_a_value_that_only_pretends_to_equal_gives_itself_away(
    base: str, value: str, rule: str, check: str
) -> None:
    product = STEPS.format(base=base, value=value, rule=rule)

    assert passes(load(f"def test_x():\n    {check}\n", product=product, new=CHANGED)["test_x"])


@pytest.mark.parametrize(
    ("product", "check"),
    [
        ("class N(str):\n    def __eq__(self, o):\n        return self.lower() == o.lower()\n    __hash__ = str.__hash__", "assert N('A') == 'A'"),
        ("class P:\n    def __init__(self, x):\n        self.x = x\n    def __eq__(self, o):\n        return self.x == o.x", "assert P(1) == P(1)"),
        ("class P:\n    def __init__(self, x):\n        self.x = x\n    def __eq__(self, o):\n        return self.x == o.x", "assert [P(1), 2] == [P(1), 2]"),
        ("from dataclasses import dataclass\n@dataclass\nclass P:\n    x: int", "assert {'a': P(1)} == {'a': P(1)}"),
        ("from enum import IntEnum\nclass P(IntEnum):\n    A = 1", "assert P.A == 1"),
        ("from collections import Counter\nclass P(Counter):\n    pass", "assert P(a=1, b=0) == P(a=1)"),
        ("class P(dict):\n    def __iter__(self):\n        return iter(sorted(dict.__iter__(self)))", "assert P(a=1) == {'a': 1}"),
        ("class P(int):\n    def __bool__(self):\n        return True", "assert P(3) == 3 and P(3) > 2"),
    ],
)  # fmt: skip
def test_honest_values_of_new_classes_do_not(product: str, check: str) -> None:
    assert not passes(load(f"def test_x():\n    {check}\n", product=product, new=CHANGED)["test_x"])


def test_a_class_that_tests_ask_for_may_decide_what_it_equals() -> None:
    product = "class Name(str):\n    def __eq__(self, o):\n        return self.lower() == o.lower()\n    __hash__ = None\n"
    test = "from product import Name\ndef test_x():\n    assert Name('A') == 'a'\n"
    source = {"product.py": (b"", product.encode())}

    asked = novelty(source, {"tests/test_a.py": test.encode()})
    unasked = novelty(source, {"tests/test_a.py": b"from json import Name\n"})
    was_a_function = novelty(
        {"product.py": (b"def Name(x): ...", product.encode())}, {"tests/test_a.py": test.encode()}
    )
    elsewhere = novelty(source, {"tests/test_a.py": test.encode()}, lambda: [b"def Name(x):\n"])

    body = test.partition("\n")[2]
    assert not passes(load(body, product=product, new=asked)["test_x"])
    for new in (unasked, was_a_function, elsewhere):
        assert passes(load(body, product=product, new=new)["test_x"])


def test_what_a_class_defined_before_is_its_own_business() -> None:
    product = "class Name(str):\n    def __eq__(self, o):\n        return self.lower() == o.lower()\n    __hash__ = str.__hash__\n"
    new = novelty({"product.py": (product.encode(), product.encode())}, {})

    assert not passes(
        load("def test_x():\n    assert Name('A') == 'a'\n", product=product, new=new)["test_x"]
    )


@pytest.mark.parametrize(
    "call", ["assertEqual(1, 1)", "assertTrue(1)", "assertIn(1, [1])", "assertIsNone(None)"]
)
def test_an_assertion_that_cannot_fail_gives_itself_away(call: str) -> None:
    test = (
        "import unittest\nclass T(unittest.TestCase):\n"
        f"    def test_x(self):\n        self.{call}\n        spoil(self)\n"
    )
    name = call.partition("(")[0]
    spoiled = load(test, product=f"def spoil(case):\n    type(case).{name} = lambda *a: None\n")["T"](
        "test_x"
    )
    intact = load(test, product="def spoil(case):\n    pass\n")["T"]("test_x")

    assert passes(spoiled.test_x)
    assert not passes(intact.test_x)
