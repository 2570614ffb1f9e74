"""Which constants of a change are those of its tests."""

from __future__ import annotations

import pytest

from libs.verification.tested import constants, special_cases

TESTS = b"""
def test_it():
    assert f(37) == "seventeen"
    assert f(2) == "two"
    assert f("user-id") == 1.5
    assert f(b"bytes") == ""
"""
BEFORE = b"""
def f(x):
    if x == 100:
        return None
    return x
"""
TESTED = constants([TESTS])


def found(body: str) -> list[str]:
    after = f"def f(x):\n    {body}\n    return x\n"
    return [place.rpartition(": ")[2] for place in special_cases("f.py", BEFORE, after.encode(), TESTED)]


@pytest.mark.parametrize(
    ("body", "constant"),
    [
        ("if x == 37: return 'n'", "37"),
        ("if 37 != x: return 'n'", "37"),
        ("if x in (5, 37): return 'n'", "37"),
        ("if x == -37: return 'n'", "37"),
        ("return {'user-id': 1}[x]", "'user-id'"),
        ("if x.startswith('user-id'): return 1", "'user-id'"),
        ("if x == b'bytes': return 1", "b'bytes'"),
        ("return {37: 1}.get(x, x)", "37"),
        ("if x < 37: return 'n'", "37"),
        ("return 'seventeen'", "'seventeen'"),
    ],
)
def test_a_constant_of_the_tests_that_is_new_is_named(body: str, constant: str) -> None:
    assert found(body) == [constant]


@pytest.mark.parametrize(
    "body",
    [
        "if x == 2: return 'n'",
        "if x == 100: return 'n'",
        "if x == 38: return 'n'",
        "raise ValueError('seventeen')",
        "'seventeen'",
        "if x == '': return 1",
        "if x is True: return 1",
    ],
    ids=["small", "known before", "not tested", "an error", "a docstring", "empty", "a truth value"],
)
def test_what_says_nothing_is_not_named(body: str) -> None:
    assert found(body) == []


def test_what_cannot_be_parsed_has_no_decisions() -> None:
    assert special_cases("f.py", BEFORE, b"def f(", TESTED) == []
    assert constants([b"def f(", None]) == frozenset()


def test_each_constant_is_named_once_with_its_place() -> None:
    after = b"def f(x):\n    if x == 37:\n        return 1\n    return x != 37\n"
    assert special_cases("f.py", BEFORE, after, TESTED) == ["f.py:2: 37"]
