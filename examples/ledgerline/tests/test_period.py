from datetime import date

import pytest

from ledgerline import Period, PeriodError, add_months


@pytest.mark.parametrize(
    ("day", "count", "result"),
    [
        (date(2024, 1, 15), 1, date(2024, 2, 15)),
        (date(2024, 1, 31), 1, date(2024, 2, 29)),
        (date(2023, 1, 31), 1, date(2023, 2, 28)),
        (date(2024, 3, 31), -1, date(2024, 2, 29)),
        (date(2024, 11, 30), 3, date(2025, 2, 28)),
        (date(2024, 5, 5), 0, date(2024, 5, 5)),
        (date(2024, 1, 1), -1, date(2023, 12, 1)),
    ],
)
def test_months_are_added_within_the_calendar(day: date, count: int, result: date) -> None:
    assert add_months(day, count) == result


def test_the_calendar_has_an_end() -> None:
    with pytest.raises(PeriodError):
        add_months(date(9999, 12, 1), 1)


@pytest.mark.parametrize(
    ("text", "start", "last"),
    [
        ("2024", date(2024, 1, 1), date(2024, 12, 31)),
        ("2024-02", date(2024, 2, 1), date(2024, 2, 29)),
        ("2024-Q4", date(2024, 10, 1), date(2024, 12, 31)),
        ("2024q1", date(2024, 1, 1), date(2024, 3, 31)),
    ],
)
def test_text(text: str, start: date, last: date) -> None:
    period = Period.parse(text)
    assert (period.start, period.last) == (start, last)


@pytest.mark.parametrize("text", ["", "24", "2024-13", "2024-Q5", "2024-1", "next year"])
def test_text_that_is_no_period(text: str) -> None:
    with pytest.raises(PeriodError):
        Period.parse(text)


def test_a_period_has_at_least_a_day() -> None:
    with pytest.raises(PeriodError):
        Period(date(2024, 1, 1), date(2024, 1, 1))


def test_days_and_members() -> None:
    february = Period.parse("2024-02")
    assert february.days == 29
    assert date(2024, 2, 29) in february
    assert date(2024, 3, 1) not in february


def test_overlap() -> None:
    assert Period.parse("2024-Q1").overlap(Period.parse("2024-02")) == Period.parse("2024-02")
    assert Period.parse("2024-01").overlap(Period.parse("2024-03")) is None


def test_neighbours_do_not_overlap() -> None:
    assert Period.parse("2024-01").overlap(Period.parse("2024-02")) is None
    assert Period.parse("2024-02").overlap(Period.parse("2024-01")) is None


def test_shift() -> None:
    assert Period.parse("2024-01").shift(1) == Period.parse("2024-02")
    assert Period.parse("2024-Q1").shift(-3) == Period.parse("2023-Q4")


def test_months_are_cut_to_the_period() -> None:
    months = Period(date(2024, 1, 20), date(2024, 3, 5)).months()
    assert [str(month) for month in months] == [
        "2024-01-20 to 2024-01-31",
        "2024-02",
        "2024-03-01 to 2024-03-04",
    ]


def test_periods_sort_by_their_start() -> None:
    january, february = Period.parse("2024-01"), Period.parse("2024-02")
    assert sorted([february, Period.parse("2024"), january]) == [january, Period.parse("2024"), february]
