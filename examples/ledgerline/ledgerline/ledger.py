"""What a list of bookings adds up to."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date

from ledgerline.errors import CurrencyMismatchError
from ledgerline.money import Money, total
from ledgerline.period import Period
from ledgerline.statement import Entry

UNCATEGORISED = "uncategorised"


@dataclass(frozen=True, slots=True)
class MonthLine:
    """One month of an account."""

    month: Period
    income: Money
    #: Zero or negative.
    spending: Money
    #: Balance at the end of the month.
    closing: Money


class Ledger:
    """Bookings of one account in the order of their days, on top of an opening balance."""

    def __init__(self, opening: Money, entries: Iterable[Entry] = ()) -> None:
        self.opening = opening
        self.entries = sorted(entries, key=lambda entry: entry.day)
        for entry in self.entries:
            if entry.amount.currency != opening.currency:
                raise CurrencyMismatchError(opening.currency.code, entry.amount.currency.code)

    def balance(self, on: date | None = None) -> Money:
        """Return the balance at the end of a day; without one, after the last booking."""
        counted = (entry.amount for entry in self.entries if on is None or entry.day <= on)
        return self.opening + total(counted, self.opening.currency)

    def running(self) -> list[tuple[Entry, Money]]:
        """Return every booking with the balance after it."""
        balance = self.opening
        result = []
        for entry in self.entries:
            balance += entry.amount
            result.append((entry, balance))
        return result

    def within(self, period: Period) -> Ledger:
        """Return the part of the ledger that lies in a period, opened with the balance before it."""
        before = (entry.amount for entry in self.entries if entry.day < period.start)
        opening = self.opening + total(before, self.opening.currency)
        return Ledger(opening, (entry for entry in self.entries if entry.day in period))

    def by_category(self) -> dict[str, Money]:
        """Return the sum of each category, the largest spending first."""
        sums: dict[str, Money] = {}
        for entry in self.entries:
            category = entry.category or UNCATEGORISED
            sums[category] = sums.get(category, Money.zero(self.opening.currency)) + entry.amount
        return dict(sorted(sums.items(), key=lambda item: (item[1].units, item[0])))

    def by_month(self) -> list[MonthLine]:
        """Return a line for every month from the first booking to the last, quiet ones included."""
        if not self.entries:
            return []
        first = self.entries[0].day.replace(day=1)
        last = self.entries[-1].day
        lines = []
        for month in Period(first, Period.month(last.year, last.month).end).months():
            amounts = [entry.amount for entry in self.entries if entry.day in month]
            lines.append(
                MonthLine(
                    month=month,
                    income=total((each for each in amounts if each.units > 0), self.opening.currency),
                    spending=total((each for each in amounts if each.units < 0), self.opening.currency),
                    closing=self.balance(month.last),
                )
            )
        return lines
