"""A command is held only where its verdict is that of one pytest."""

from __future__ import annotations

import pytest

from libs.repair.commands import is_single_pytest


@pytest.mark.parametrize(
    "command",
    [
        "pytest",
        "python -m pytest -q tests",
        "PYTHONPATH=. python3.12 -X dev -m pytest -q -k 'a or b' tests/test_x.py::test_y[1-2]",
        "cd src && python -m pytest",
        "export A=b; exec py.test tests",
        "env LANG=C .venv/bin/python -m pytest",
    ],
)
def test_one_pytest_is_held(command: str) -> None:
    assert is_single_pytest(command)


@pytest.mark.parametrize(
    "command",
    [
        "",
        "python -m unittest",
        "python tests/run.py -m pytest",
        "pytest a && pytest b",
        "pytest a || true",
        "pytest | tee log",
        "pytest; echo done",
        "make test",
        "tox -e py311",
        "python -c 'import pytest; pytest.main()'",
        "(pytest)",
        "pytest 'unclosed",
    ],
)
def test_anything_else_is_run_as_it_is_written(command: str) -> None:
    assert not is_single_pytest(command)
