"""The command line: `python -m ledgerline FILE` summarises a statement."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from ledgerline.amounts import parse_amount
from ledgerline.errors import LedgerlineError
from ledgerline.ledger import Ledger
from ledgerline.period import Period
from ledgerline.statement import read_statement
from ledgerline.table import render


def main(arguments: Sequence[str] | None = None) -> int:
    """Print a summary; return 1 with one line on standard error where the input cannot be read."""
    parser = argparse.ArgumentParser(prog="ledgerline", description="Summarise an account statement.")
    parser.add_argument("file", type=Path, help="the statement, a CSV file")
    parser.add_argument("--currency", default="EUR", help="currency of the account (default: EUR)")
    parser.add_argument("--opening", default="0", help="balance before the first booking")
    parser.add_argument("--by", choices=("month", "category", "entry"), default="month")
    parser.add_argument("--period", help="only this year, quarter or month, as 2024, 2024-Q1 or 2024-02")
    parser.add_argument("--markdown", action="store_true", help="print a Markdown table")
    options = parser.parse_args(arguments)
    try:
        entries = read_statement(options.file.read_text(encoding="utf-8"), options.currency)
        ledger = Ledger(parse_amount(options.opening, options.currency), entries)
        if options.period:
            ledger = ledger.within(Period.parse(options.period))
    except (LedgerlineError, OSError, UnicodeError) as error:
        print(f"ledgerline: {error}", file=sys.stderr)
        return 1
    print(_summary(ledger, options.by, markdown=options.markdown))
    return 0


def _summary(ledger: Ledger, by: str, *, markdown: bool) -> str:
    if by == "category":
        return render(["Category", "Sum"], list(ledger.by_category().items()), markdown=markdown)
    if by == "entry":
        rows = [(entry.day, entry.description, entry.amount, balance) for entry, balance in ledger.running()]
        return render(["Date", "Description", "Amount", "Balance"], rows, markdown=markdown)
    lines = [(line.month, line.income, line.spending, line.closing) for line in ledger.by_month()]
    return render(["Month", "Income", "Spending", "Balance"], lines, markdown=markdown)


if __name__ == "__main__":
    sys.exit(main())
