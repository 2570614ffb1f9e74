import doctest
from pathlib import Path

import pytest

from ledgerline.__main__ import main

ROOT = Path(__file__).parent.parent
SAMPLE = str(ROOT / "samples" / "2024-q1.csv")


def test_months(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([SAMPLE]) == 0
    assert capsys.readouterr().out.splitlines() == [
        "Month      Income   Spending   Balance",
        "-------  --------  ---------  --------",
        "2024-01  2,465.00    -954.35  1,510.65",
        "2024-02  2,450.00    -897.80  3,062.85",
        "2024-03  2,450.00  -2,010.40  3,502.45",
    ]


def test_categories_of_a_period(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([SAMPLE, "--by", "category", "--period", "2024-01", "--markdown"]) == 0
    assert "| housing  |  -890.00 |" in capsys.readouterr().out


def test_entries_with_an_opening_balance(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([SAMPLE, "--by", "entry", "--opening", "1,000.00", "--period", "2024-02"]) == 0
    assert capsys.readouterr().out.splitlines()[-1].split() == [
        "2024-02-29",
        "Salary",
        "2,450.00",
        "4,062.85",
    ]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["no such file.csv"], "no such file.csv"),
        ([SAMPLE, "--currency", "XXX"], "unknown currency 'XXX'"),
        ([SAMPLE, "--period", "soon"], "'soon' is not a year"),
    ],
)
def test_bad_input_is_one_line(
    arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(arguments) == 1
    captured = capsys.readouterr()
    assert captured.out == ""
    assert message in captured.err and captured.err.count("\n") == 1


def test_the_readme_tells_the_truth() -> None:
    assert doctest.testfile(str(ROOT / "README.md"), module_relative=False).failed == 0
