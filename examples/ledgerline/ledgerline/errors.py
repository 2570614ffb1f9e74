"""What can go wrong.

LedgerlineError (a ValueError)
├── AllocationError         weights that cannot divide anything
├── AmountError             text that is not an amount
├── CurrencyMismatchError   two currencies where one is needed
├── PeriodError             dates or text that do not make a period
├── StatementError          a line of a statement that cannot be read
└── UnknownCurrencyError    a code that is not registered
"""

from __future__ import annotations


class LedgerlineError(ValueError):
    """The base of every error that this library raises on purpose."""


class AllocationError(LedgerlineError):
    """An amount cannot be divided as asked."""


class AmountError(LedgerlineError):
    """A text cannot be read as an amount."""

    def __init__(self, text: str, reason: str) -> None:
        super().__init__(f"{text!r} is not an amount: {reason}")
        self.text = text
        self.reason = reason


class CurrencyMismatchError(LedgerlineError):
    """Two amounts of different currencies were combined."""

    def __init__(self, left: str, right: str) -> None:
        super().__init__(f"cannot combine {left} with {right}")
        self.left = left
        self.right = right


class PeriodError(LedgerlineError):
    """A period would be empty, run backwards, or cannot be read."""


class StatementError(LedgerlineError):
    """A line of a statement cannot be read."""

    def __init__(self, line: int, reason: str) -> None:
        super().__init__(f"line {line}: {reason}")
        self.line = line
        self.reason = reason


class UnknownCurrencyError(LedgerlineError):
    """A currency code is not registered."""

    def __init__(self, code: str) -> None:
        super().__init__(f"unknown currency {code!r}")
        self.code = code
