"""Periods of whole days, and arithmetic in months."""

from __future__ import annotations

import re
from calendar import monthrange
from dataclasses import dataclass
from datetime import date, timedelta

from ledgerline.errors import PeriodError

_TEXT = re.compile(r"(?P<year>\d{4})(-(?P<month>\d{2})|-?[Qq](?P<quarter>[1-4]))?")


def add_months(day: date, count: int) -> date:
    """Return the same day some months later; where that month is shorter, its last day."""
    months = day.year * 12 + day.month - 1 + count
    year, month = months // 12, months % 12 + 1
    if not date.min.year <= year <= date.max.year:
        raise PeriodError(f"{count} months from {day} is outside the calendar")
    return date(year, month, min(day.day, monthrange(year, month)[1]))


@dataclass(frozen=True, slots=True, order=True)
class Period:
    """The days from `start` up to, but not including, `end`."""

    start: date
    end: date

    def __post_init__(self) -> None:
        if self.start >= self.end:
            raise PeriodError(f"a period cannot start on {self.start} and end before {self.end}")

    @classmethod
    def month(cls, year: int, month: int) -> Period:
        """Return one calendar month."""
        try:
            start = date(year, month, 1)
        except ValueError as error:
            raise PeriodError(f"{year}-{month}: {error}") from None
        return cls(start, add_months(start, 1))

    @classmethod
    def parse(cls, text: str) -> Period:
        """Read a year, a quarter or a month: `2024`, `2024-Q1`, `2024-02`."""
        found = _TEXT.fullmatch(text.strip())
        if found is None:
            raise PeriodError(f"{text!r} is not a year, a quarter or a month")
        year = int(found["year"])
        if found["month"]:
            return cls.month(year, int(found["month"]))
        if found["quarter"]:
            first = cls.month(year, 3 * int(found["quarter"]) - 2)
            return cls(first.start, add_months(first.start, 3))
        return cls(cls.month(year, 1).start, cls.month(year, 12).end)

    @property
    def days(self) -> int:
        """Return the number of days."""
        return (self.end - self.start).days

    @property
    def last(self) -> date:
        """Return the last day that belongs to the period."""
        return self.end - timedelta(days=1)

    def __contains__(self, day: date) -> bool:
        return self.start <= day < self.end

    def overlap(self, other: Period) -> Period | None:
        """Return the days that both have, or None."""
        start, end = max(self.start, other.start), min(self.end, other.end)
        return Period(start, end) if start <= end else None

    def shift(self, months: int) -> Period:
        """Return the period some months later, or earlier where the number is negative."""
        return Period(add_months(self.start, months), add_months(self.end, months))

    def months(self) -> list[Period]:
        """Return the calendar months, the first and the last cut to the period."""
        result = []
        start = self.start
        while start < self.end:
            following = add_months(start.replace(day=1), 1)
            result.append(Period(start, min(following, self.end)))
            start = following
        return result

    def __str__(self) -> str:
        if self == Period.month(self.start.year, self.start.month):
            return f"{self.start:%Y-%m}"
        return f"{self.start} to {self.last}"
