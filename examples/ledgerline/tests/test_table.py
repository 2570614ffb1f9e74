import pytest

from ledgerline import Money, render
from ledgerline.table import width


def test_amounts_are_aligned_to_the_right() -> None:
    rows = [("rent", Money.of("-890", "EUR")), ("wage", Money.of("2450", "EUR"))]
    assert render(["What", "Sum"], rows).splitlines() == [
        "What       Sum",
        "----  --------",
        "rent   -890.00",
        "wage  2,450.00",
    ]


def test_markdown() -> None:
    assert render(["What", "Count"], [("a|b", 3)], markdown=True).splitlines() == [
        "| What | Count |",
        "| ---- | ----: |",
        "| a\\|b |     3 |",
    ]


def test_a_table_without_rows_has_a_header() -> None:
    assert render(["Month", "Sum"], []) == "Month  Sum\n-----  ---"


def test_rows_must_fit_the_headers() -> None:
    with pytest.raises(ValueError, match="1 cells under 2 headers"):
        render(["a", "b"], [("only",)])


@pytest.mark.parametrize(("text", "columns"), [("", 0), ("Kč", 2), ("家賃", 4), ("e\u0301", 1)])
def test_width_in_a_terminal(text: str, columns: int) -> None:
    assert width(text) == columns


def test_wide_characters_keep_columns_straight() -> None:
    lines = render(["What", "Note"], [("家賃", "x"), ("rent", "y")]).splitlines()
    assert lines[2:] == ["家賃  x", "rent  y"]
