"""Each kind of edit has an example: a faulty text, and the right one among its candidates."""

from __future__ import annotations

import itertools
import textwrap
from collections.abc import Iterator

import pytest

from libs.repair.candidate import Candidate
from libs.repair.edits import candidates
from libs.repair.edits.families import OPERATORS
from libs.repair.edits.kinds import WEIGHT, Kind


def every(source: str) -> Iterator[Candidate]:
    lines = source.count("\n") + 1
    return candidates({"m.py": source}, {("m.py", line): 1.0 for line in range(1, lines + 1)})


#: Kind, faulty function, and what of it is put right: old text, new text.
EXAMPLES: list[tuple[Kind, str, str, str]] = [
    (Kind.COMPARISON, "def f(a, n):\n    return a < n\n", "<", "<="),
    (Kind.COMPARISON, "def f(a, b):\n    return a is b\n", "is b", "== b"),
    (Kind.NOTHING, "def f(a):\n    if a:\n        return a\n", "if a", "if a is not None"),
    (Kind.NOTHING, "def f(a):\n    if a is None:\n        return 0\n", "a is None", "not a"),
    (Kind.BOOLEAN, "def f(a, b):\n    return a and b\n", "and", "or"),
    (Kind.NEGATION, "def f(a):\n    if a:\n        return 1\n    return 2\n", "if a", "if not a"),
    (Kind.NEGATION, "def f(a):\n    if not a:\n        return 1\n    return 2\n", "not a", "a"),
    (Kind.ARITHMETIC, "def f(a, b):\n    return a / b\n", "/", "//"),
    (Kind.ARITHMETIC, "def f(a):\n    n = 0\n    for x in a:\n        n -= x\n    return n\n", "-=", "+="),
    (Kind.SIGN, "def f(a):\n    return max(a) + 1, -len(a)\n", "-len", "len"),
    (Kind.CONSTANT, "def f(xs):\n    return xs[1]\n", "1", "0"),
    (Kind.CONSTANT, "def f(xs, strict=False):\n    return g(xs, True)\n", "True", "False"),
    (Kind.STRING, "def f(d):\n    return d['nam'], d['name']\n", "'nam'", "'name'"),
    (Kind.BOUND, "def f(xs):\n    return range(len(xs))\n", "len(xs)", "len(xs) + 1"),
    (Kind.BOUND, "def f(xs):\n    return xs[len(xs) - 1]\n", "len(xs) - 1", "len(xs) - 2"),
    (Kind.BOUND, "def f(n):\n    return f(n) if n else 0\n", "f(n) if", "f(n - 1) if"),
    (Kind.BOUND, "def f(xs):\n    if len(xs) == 0:\n        return xs\n    return f(xs[1:])\n", "== 0", "<= 1"),
    (Kind.SLICE, "def f(xs):\n    return xs[1:-1]\n", "1:-1", "1:"),
    (Kind.SLICE, "def f(xs, k):\n    return xs[k - 1], list(xs)\n", "list(xs)", "list(xs[k:])"),
    (Kind.NAME, "def f(left, right):\n    return left + left\n", "left + left", "left + right"),
    (Kind.NAME, "class A:\n    def f(self, n):\n        self.n = n\n        return n\n", "return n", "return self.n"),
    (Kind.ATTRIBUTE, "def f(node):\n    return node.left, node.left\n", "node.left,", "node.right,"),
    (Kind.CALLEE, "def f(xs):\n    return min(xs)\n", "min", "max"),
    (Kind.CALLEE, "def f(s):\n    return s.lstrip()\n", "lstrip", "rstrip"),
    (Kind.CALLEE, "def f(d, k):\n    return d[k]\n", "d[k]", "d.get(k)"),
    (Kind.SWAP_ARGUMENTS, "def f(a, b):\n    return g(a, b)\n", "g(a, b)", "g(b, a)"),
    (Kind.SWAP_OPERANDS, "def f(a, b):\n    return a - b\n", "a - b", "b - a"),
    (Kind.ARGUMENT, "def f(a, b):\n    g(a, b)\n    return g(a, a)\n", "g(a, a)", "g(a, b)"),
    (Kind.ARGUMENT_ADDED, "def g(a, deep=0):\n    return a\n\ndef f(a, deep):\n    return g(a)\n", "g(a)\n", "g(a, deep=deep)\n"),
    (Kind.ARGUMENT_ADDED, "def f(a, n):\n    g(a, sep=n)\n    return g(a)\n", "return g(a)", "return g(a, sep=n)"),
    (Kind.ARGUMENT_DROPPED, "def f(a, b):\n    return g(a, b)\n", "g(a, b)", "g(a)"),
    (Kind.WRAP, "def f(xs):\n    n = len(xs)\n    return xs\n", "return xs", "return list(xs)"),
    (Kind.WRAP, "def f(s):\n    return s.lower() + s\n", "+ s\n", "+ s.strip()\n"),
    (Kind.UNWRAP, "def f(xs):\n    return sorted(xs)\n", "sorted(xs)", "xs"),
    (Kind.CALL_STATEMENT, "def f(xs):\n    seen = set()\n    for x in xs:\n        if x in seen:\n            return x\n", "return x\n", "return x\n        seen.add(x)\n"),
    (Kind.WIDEN, "def f(a, b):\n    if not a:\n        return 0\n    if not b:\n        return 1\n", "if not a", "if not a or not b"),
    (Kind.NARROW, "def f(xs, i):\n    while xs[i] > 0:\n        i += 1\n    return i\n", "xs[i] > 0", "i < len(xs) and xs[i] > 0"),
    (Kind.CONDITION, "def f(a, b):\n    if a > b:\n        return 0\n    if b is None:\n        return 1\n", "a > b", "b is None"),
    (Kind.GUARD, "def f(xs):\n    if xs is None:\n        return []\n    return xs[0]\n", "    return xs[0]", "    if not xs:\n        return []\n    return xs[0]"),
    (Kind.WRAP_IF, "def f(a, b):\n    b = b[0]\n    if a is None:\n        return b\n", "    b = b[0]", "    if b is not None:\n        b = b[0]"),
    (Kind.UNWRAP_IF, "def f(a, b):\n    if a:\n        b = b + 1\n    return b\n", "    if a:\n        b = b + 1", "    b = b + 1"),
    (Kind.LOOP, "def f(a):\n    if a > 1:\n        a = a // 2\n    return a\n", "if", "while"),
    (Kind.LOOP, "def f(a):\n    if a > 1:\n        return 1\n    elif a:\n        return 2\n", "elif", "if"),
    (Kind.LOOP_CONDITION, "def f(queue):\n    while True:\n        x = queue.pop()\n        queue.extend(x)\n", "while True", "while queue"),
    (Kind.ELSE, "def f(a):\n    b = 0\n    if a:\n        b = 1\n    b = 2\n    return b\n", "    b = 2", "    else:\n        b = 2"),
    (Kind.DELETE, "def f(a):\n    a = a + 1\n    return a\n", "    a = a + 1\n", ""),
    (Kind.MOVE, "def f(a):\n    b = a\n    a = 1\n    return b\n", "    b = a\n    a = 1\n", "    a = 1\n    b = a\n"),
    (Kind.NEST, "def f(xs):\n    for x in xs:\n        g(x)\n        return x\n", "        return x", "    return x"),
    (Kind.NEST, "def f(xs):\n    n = 0\n    for x in xs:\n        g(x)\n    n += x\n    return n\n", "    n += x", "        n += x"),
    (Kind.COPY, "def f(a, b):\n    if a:\n        b = 0\n        a.go()\n    else:\n        a.go()\n    return b\n", "else:\n", "else:\n        b = 0\n"),
    (Kind.JUMP, "def f(xs):\n    for x in xs:\n        if x:\n            break\n        g(x)\n", "break", "continue"),
    (Kind.RETURN, "def f(n):\n    if n > 1:\n        return [n]\n    return []\n", "return []", "return [n]"),
    (Kind.RETURN_ADDED, "def f(a):\n    b = []\n    b.append(a)\n", "    b.append(a)\n", "    b.append(a)\n    return b\n"),
    (Kind.RETURN_EXTENDED, "def f(xs):\n    rest = g(xs)\n    return [x for x in xs]\n", "[x for x in xs]", "[x for x in xs] + rest"),
    (Kind.YIELD, "def f(xs):\n    for x in xs:\n        yield f(x)\n", "yield", "yield from"),
    (Kind.INITIAL, "def f(xs):\n    best = 0\n    for x in xs:\n        best = min(best, x)\n    return best\n", "best = 0", "best = float('inf')"),
    (Kind.OPERAND_DROPPED, "def f(a, b):\n    return a + b\n", "a + b", "a"),
    (Kind.OPERAND_ADDED, "def f(a, base):\n    n = base * 2\n    return a + n, n\n", ", n", ", n + base"),
    (Kind.FILTER, "def f(xs):\n    return [x for x in xs]\n", "in xs", "in xs if x is not None"),
    (Kind.FILTER, "def f(xs):\n    return [x for x in xs if x]\n", " if x", ""),
    (Kind.EXPRESSION, "def f(a, i):\n    a[i] = 1\n    a[i - 1] = 2\n    return a[i + 2]\n", "a[i + 2]", "a[i - 1]"),
    (Kind.GROUPING, "def f(a, b, c):\n    return a + b * c\n", "a + b * c", "(a + b) * c"),
    (Kind.ACCUMULATE, "def f(xs):\n    best = 0\n    for x in xs:\n        best = x\n    return best\n", "best = x", "best = max(best, x)"),
    (Kind.DEFAULT, "def f(x, seen=[]):\n    seen.append(x)\n    return seen\n", "seen=[]):\n", "seen=None):\n    if seen is None:\n        seen = []\n"),
    (Kind.EXCEPTION, "def f(d, k):\n    try:\n        return d[k]\n    except KeyError:\n        return None\n", "KeyError", "(KeyError, TypeError)"),
    (Kind.PATTERN, "import re\ndef f(s):\n    return re.match(r'a.b*', s)\n", "a.b*", r"a\.b*"),
    (Kind.PATTERN, "import re\ndef f(s):\n    return re.match(r'\\d*x', s)\n", "*", "+"),
    (Kind.FORMAT, "def f(a):\n    return '%.1f' % a\n", "%.1f", "%.2f"),
]  # fmt: skip


@pytest.mark.parametrize(("kind", "faulty", "old", "new"), EXAMPLES)
def test_an_edit_of_each_kind_puts_its_example_right(kind: Kind, faulty: str, old: str, new: str) -> None:
    at = faulty.rindex(old)
    right = faulty[:at] + new + faulty[at + len(old) :]
    tried = itertools.islice(every(faulty), 700)
    assert any(each.source == right for each in tried), f"{right!r} is none of the first"


def test_each_kind_has_an_operator_a_weight_and_an_example() -> None:
    assert set(OPERATORS) == set(WEIGHT) == set(Kind) == {kind for kind, *_ in EXAMPLES}


def test_an_edit_leaves_comments_and_layout_alone() -> None:
    source = textwrap.dedent(
        """\
        def f( a,b ):   # odd layout
            x = {"a":1,   # why one
                 'b' : 2}
            return (a  <  # here
                    b), x
        """
    )
    assert source.replace("a  <  # here", "a  <=  # here") in {
        each.source for each in itertools.islice(every(source), 50)
    }


def test_a_comparison_with_an_unknown_constant_is_a_special_case_and_comes_last() -> None:
    found = [*every("def f(xs):\n    n = len(xs)\n    return n + 5\n")]
    special = [each for each in found if each.special_case]
    assert special
    assert found[-len(special) :] == special
    assert all(
        "==" in each.source or "in " in each.source or "constant" in each.special_case for each in special
    )
    assert any(each.source.count("if n == 1:") for each in special)


def test_a_question_for_nothing_is_no_special_case() -> None:
    found = every("def f(xs):\n    if xs is None:\n        return []\n    return xs[0]\n")
    guard = next(each for each in found if "    if not xs:\n        return []" in each.source)
    assert not guard.special_case


def test_lines_that_no_failing_test_executes_stay_as_they_are() -> None:
    source = "def f(a):\n    return a < 1\n\n\ndef g(a):\n    return a < 1\n"
    for each in candidates({"m.py": source}, {("m.py", 2): 1.0}):
        assert each.source.endswith("def g(a):\n    return a < 1\n")


def test_a_suspicious_line_comes_before_others_without_starving_them() -> None:
    source = "def f(a, b):\n    if a < b:\n        a = a + 1\n    return a > b\n"
    found = [*candidates({"m.py": source}, {("m.py", 2): 1.0, ("m.py", 3): 0.3, ("m.py", 4): 0.3})]
    assert found[0].line == 2
    assert {each.line for each in found[:40]} >= {2, 3, 4}


def test_a_text_that_is_no_python_has_no_edits() -> None:
    assert not [*candidates({"m.py": "def f(:\n"}, {("m.py", 1): 1.0})]
