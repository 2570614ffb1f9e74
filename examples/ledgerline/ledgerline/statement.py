"""Reading account statements: CSV as banks export it."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime

from ledgerline.amounts import parse_amount
from ledgerline.currency import Currency, currency
from ledgerline.errors import AmountError, StatementError
from ledgerline.money import Money

_COLUMNS = {
    "date": ("date", "booking date", "transaction date", "datum", "buchungstag"),
    "description": ("description", "details", "payee", "buchungstext", "verwendungszweck"),
    "amount": ("amount", "value", "betrag", "umsatz"),
    "debit": ("debit", "paid out", "soll"),
    "credit": ("credit", "paid in", "haben"),
    "category": ("category", "kategorie"),
}
_DATE_FORMATS = ("%Y-%m-%d", "%d.%m.%Y", "%d/%m/%Y")
_DELIMITERS = (";", "\t", ",")


@dataclass(frozen=True, slots=True)
class Entry:
    """One booking: positive amounts come in, negative ones go out."""

    day: date
    description: str
    amount: Money
    category: str = ""


def read_statement(text: str, code: str | Currency) -> list[Entry]:
    """Return the bookings of a statement in the order of the file.

    The first line names the columns, in any order: a date, a description, and either an amount or a debit and a
    credit; a category may follow. Blank lines are left out. Raises StatementError with the number of the line.
    """
    kind = currency(code)
    text = text.removeprefix("\ufeff")
    header = text.split("\n", 1)[0]
    delimiter = next((each for each in _DELIMITERS if each in header), ",")
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    entries: list[Entry] = []
    columns: dict[str, int] = {}
    try:
        for row in reader:
            cells = [cell.strip() for cell in row]
            if not columns:
                columns = _columns(cells)
            elif any(cells):
                entries.append(_entry(cells, columns, kind, reader.line_num))
    except csv.Error as error:
        raise StatementError(reader.line_num, str(error)) from None
    return entries


def _columns(header: list[str]) -> dict[str, int]:
    """Return the place of each column that is known, and make sure that there are enough of them."""
    names = [name.casefold() for name in header]
    found: dict[str, int] = {}
    for column, aliases in _COLUMNS.items():
        places = [names.index(alias) for alias in aliases if alias in names]
        if places:
            found[column] = places[0]
    missing = {"date", "description"} - found.keys()
    if "amount" not in found and not {"debit", "credit"} <= found.keys():
        missing.add("amount")
    if missing:
        raise StatementError(1, f"no column for {', '.join(sorted(missing))}")
    return found


def _entry(cells: list[str], columns: Mapping[str, int], kind: Currency, line: int) -> Entry:
    if len(cells) <= max(columns.values()):
        raise StatementError(line, f"{len(cells)} fields where {max(columns.values()) + 1} are needed")
    try:
        amount = _amount(cells, columns, kind)
    except AmountError as error:
        raise StatementError(line, str(error)) from error
    return Entry(
        day=_day(cells[columns["date"]], line),
        description=" ".join(cells[columns["description"]].split()),
        amount=amount,
        category=cells[columns["category"]] if "category" in columns else "",
    )


def _amount(cells: list[str], columns: Mapping[str, int], kind: Currency) -> Money:
    """Return the amount of a row; a debit counts as outgoing whether or not the bank wrote a minus."""
    if "amount" in columns:
        return parse_amount(cells[columns["amount"]], kind)
    debit, credit = cells[columns["debit"]], cells[columns["credit"]]
    if bool(debit) == bool(credit):
        raise AmountError(debit + credit, "exactly one of debit and credit is needed")
    return -parse_amount(debit, kind) if debit else parse_amount(credit, kind)


def _day(text: str, line: int) -> date:
    for form in _DATE_FORMATS:
        try:
            return datetime.strptime(text, form).date()
        except ValueError:
            continue
    raise StatementError(line, f"{text!r} is not a date")
