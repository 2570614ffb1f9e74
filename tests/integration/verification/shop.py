"""A small library with a fault, its tests, and a builder of commits on it."""

from __future__ import annotations

import subprocess
from collections.abc import Mapping
from pathlib import Path

MONEY = '''"""Computes prices."""


def discount(total, percent):
    """Take a percentage off a total."""
    return total - percent


def tax(total, rate):
    """Add a tax."""
    return round(total * (1 + rate / 100), 2)
'''
RIGHT = MONEY.replace("total - percent", "total * (100 - percent) / 100")
BASKET = '''"""Holds what a customer wants."""

from pricing.money import tax


class Basket:
    """A basket of prices."""

    def __init__(self):
        self.prices = []

    def add(self, price):
        """Put something in."""
        self.prices.append(price)

    def total(self, rate=0):
        """Sum up, with tax.

        >>> Basket().total()
        0
        """
        return tax(sum(self.prices), rate) if rate else sum(self.prices)
'''
TEST_MONEY = """import pytest

from pricing.money import discount, tax


def test_discount():
    assert discount(200, 10) == 180


def test_no_discount():
    assert discount(200, 0) == 200


@pytest.mark.parametrize("rate", [0, 5, 19])
def test_tax(rate):
    assert tax(100, rate) == 100 + rate


@pytest.mark.skip(reason="needs the exchange")
def test_exchange():
    assert False


@pytest.mark.xfail
def test_negative():
    assert discount(-1, 10) == 0
"""
TEST_BASKET = """import unittest

from pricing.basket import Basket


class BasketTest(unittest.TestCase):
    def setUp(self):
        self.basket = Basket()

    def test_empty(self):
        self.assertEqual(self.basket.total(), 0)

    def test_sum(self):
        self.basket.add(3)
        self.basket.add(4)
        self.assertEqual(self.basket.total(), 7)
"""
RUNNER = '''"""Runs the tests with unittest and writes JUnit XML."""

import unittest
from xml.sax.saxutils import quoteattr

suite = unittest.defaultTestLoader.discover("tests", pattern="check_*.py")


class Noting(unittest.TestResult):
    def __init__(self):
        super().__init__()
        self.cases = []

    def addSuccess(self, test):
        self.cases.append((test.id(), ""))

    def addFailure(self, test, error):
        self.cases.append((test.id(), "<failure/>"))

    def addError(self, test, error):
        self.cases.append((test.id(), "<error/>"))


noting = Noting()
suite.run(noting)
with open("junit.xml", "w") as file:
    file.write("<testsuite>")
    for name, inner in noting.cases:
        file.write(f"<testcase classname={quoteattr(name.rpartition('.')[0])} name={quoteattr(name.rpartition('.')[2])}>{inner}</testcase>")
    file.write("</testsuite>")
raise SystemExit(any(inner for _, inner in noting.cases))
'''
CHECK_MONEY = """import unittest

from pricing.money import discount


class DiscountCheck(unittest.TestCase):
    def test_discount(self):
        self.assertEqual(discount(200, 10), 180)

    def test_nothing(self):
        self.assertEqual(discount(200, 0), 200)
"""
FILES = {
    "README.md": "# Prices\n",
    "Makefile": "test:\n\tpython -m pytest -q tests\n",
    "pyproject.toml": '[project]\nname = "pricing"\nversion = "1.0"\n\n[tool.pytest.ini_options]\naddopts = "-ra"\n',
    "pricing/__init__.py": '"""Prices."""\n',
    "pricing/money.py": MONEY,
    "pricing/basket.py": BASKET,
    "tests/test_money.py": TEST_MONEY,
    "tests/test_basket.py": TEST_BASKET,
    "tests/check_money.py": CHECK_MONEY,
    "tests/data/rates.txt": "19\n",
    ".github/workflows/test.yml": "on: push\n",
    "run_checks.py": RUNNER,
}


class Link(str):
    """Content that is a symbolic link's target."""


class Repository:
    """A git repository to which commits can be added quickly."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._git("init", "--quiet", "--initial-branch=main", str(path), cwd=path.parent)
        self.base = self.commit({}, FILES)

    def commit(self, onto: Mapping[str, str | bytes], edits: Mapping[str, str | bytes | None]) -> str:
        """Commit files (None deletes one) on top of `onto`, and return the commit's id."""
        whole = {**onto, **edits}
        lines = [
            b"commit refs/heads/main\ncommitter a <a@example.org> 1700000000 +0000\ndata 1\nx\ndeleteall\n"
        ]
        if onto:
            lines[0] = lines[0].replace(b"deleteall", f"from {self.base}\ndeleteall".encode())
        for path, content in whole.items():
            if content is None:
                continue
            mode = b"120000" if isinstance(content, Link) else b"100644"
            data = content.encode() if isinstance(content, str) else content
            lines.append(b"M %s inline %s\ndata %d\n%s\n" % (mode, path.encode(), len(data), data))
        name = f"refs/heads/c{abs(hash(tuple(sorted(str(item) for item in whole.items())))):x}"
        stream = b"".join(lines).replace(b"refs/heads/main", name.encode() if onto else b"refs/heads/main", 1)
        self._git("fast-import", "--quiet", "--force", data=stream)
        return self._git("rev-parse", name if onto else "refs/heads/main").decode().strip()

    def change(self, edits: Mapping[str, str | bytes | None]) -> str:
        """Commit an edit of the library's first state."""
        return self.commit(FILES, edits)

    def _git(self, *args: str, cwd: Path | None = None, data: bytes | None = None) -> bytes:
        done = subprocess.run(
            ["git", *args], cwd=cwd or self.path, input=data, capture_output=True, check=True
        )
        return done.stdout
