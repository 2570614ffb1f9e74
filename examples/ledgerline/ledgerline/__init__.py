"""Money, periods and bank statements, exact to the smallest coin.

Amounts are whole numbers of a currency's smallest unit, so nothing is ever lost to binary fractions; where a
result must be rounded, the function that rounds says how.
"""

from ledgerline.allocation import allocate, prorate, split, spread
from ledgerline.amounts import parse_amount
from ledgerline.currency import Currency, currency
from ledgerline.errors import (
    AllocationError,
    AmountError,
    CurrencyMismatchError,
    LedgerlineError,
    PeriodError,
    StatementError,
    UnknownCurrencyError,
)
from ledgerline.ledger import Ledger, MonthLine
from ledgerline.money import Money, total
from ledgerline.period import Period, add_months
from ledgerline.statement import Entry, read_statement
from ledgerline.table import render

__all__ = [
    "AllocationError",
    "AmountError",
    "Currency",
    "CurrencyMismatchError",
    "Entry",
    "Ledger",
    "LedgerlineError",
    "Money",
    "MonthLine",
    "Period",
    "PeriodError",
    "StatementError",
    "UnknownCurrencyError",
    "add_months",
    "allocate",
    "currency",
    "parse_amount",
    "prorate",
    "read_statement",
    "render",
    "split",
    "spread",
    "total",
]
