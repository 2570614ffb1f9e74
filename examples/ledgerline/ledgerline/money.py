"""Amounts of money: whole numbers of the smallest unit, never floats."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction

from ledgerline.currency import Currency, currency
from ledgerline.errors import AmountError, CurrencyMismatchError


@dataclass(frozen=True, slots=True)
class Money:
    """An amount in one currency."""

    #: Whole smallest units (cents for the euro), negative for what is owed.
    units: int
    currency: Currency

    @classmethod
    def of(cls, amount: str | int | Decimal, code: str | Currency) -> Money:
        """Return an exact amount; digits that the currency does not have raise AmountError, floats TypeError."""
        if isinstance(amount, float):
            raise TypeError("a float is not exact: pass a str, an int or a Decimal")
        kind = currency(code)
        try:
            # Fractions, because decimal arithmetic rounds to the precision of its context.
            units = Fraction(Decimal(amount)) * kind.scale
        except (ArithmeticError, ValueError):
            raise AmountError(str(amount), "not a number") from None
        if units.denominator != 1:
            raise AmountError(str(amount), f"{kind} has {kind.digits} decimal digits")
        return cls(int(units), kind)

    @classmethod
    def zero(cls, code: str | Currency) -> Money:
        """Return nothing, in this currency."""
        return cls(0, currency(code))

    @property
    def decimal(self) -> Decimal:
        """Return the amount as an exact decimal number."""
        return Decimal(f"{self.units}E-{self.currency.digits}")

    def __add__(self, other: Money) -> Money:
        return Money(self.units + self._same(other), self.currency)

    def __sub__(self, other: Money) -> Money:
        return Money(self.units - self._same(other), self.currency)

    def __neg__(self) -> Money:
        return Money(-self.units, self.currency)

    def __abs__(self) -> Money:
        return Money(abs(self.units), self.currency)

    def __mul__(self, factor: int | Decimal | Fraction) -> Money:
        """Multiply and round half to even, the rule that does not drift over many amounts."""
        if not isinstance(factor, int | Decimal | Fraction):
            return NotImplemented
        return Money(round(self.units * Fraction(factor)), self.currency)

    __rmul__ = __mul__

    def __bool__(self) -> bool:
        return self.units != 0

    def __lt__(self, other: Money) -> bool:
        return self.units < self._same(other)

    def __le__(self, other: Money) -> bool:
        return self.units <= self._same(other)

    def __gt__(self, other: Money) -> bool:
        return self.units > self._same(other)

    def __ge__(self, other: Money) -> bool:
        return self.units >= self._same(other)

    def rounded_to_cash(self) -> Money:
        """Return the nearest amount payable in coins, half to even."""
        step = self.currency.cash_step
        return Money(round(Fraction(self.units, step)) * step, self.currency)

    def format(self, *, symbol: bool = False) -> str:
        """Return the amount with thousands separated by commas, as `-1,234.50` or `-€1,234.50`."""
        sign = "-" if self.units < 0 else ""
        mark = self.currency.symbol if symbol else ""
        whole, part = divmod(abs(self.units), self.currency.scale)
        fraction = f".{part:0{self.currency.digits}}" if self.currency.digits else ""
        return f"{sign}{mark}{whole:,}{fraction}"

    def __str__(self) -> str:
        return f"{self.currency} {self.format()}"

    def _same(self, other: Money) -> int:
        if self.currency != other.currency:
            raise CurrencyMismatchError(self.currency.code, other.currency.code)
        return other.units


def total(amounts: Iterable[Money], code: str | Currency) -> Money:
    """Return the sum; the currency is named because the sum of nothing has one too."""
    result = Money.zero(code)
    for amount in amounts:
        result += amount
    return result
