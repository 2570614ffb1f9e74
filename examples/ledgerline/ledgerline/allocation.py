"""Dividing amounts so that the parts always add up to the whole."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from fractions import Fraction

from ledgerline.errors import AllocationError
from ledgerline.money import Money
from ledgerline.period import Period


def allocate(amount: Money, weights: Sequence[int | Decimal | Fraction]) -> list[Money]:
    """Divide an amount in proportion to weights, by the method of largest remainders.

    Every part is within one smallest unit of its exact share; where remainders are equal, earlier parts are
    served first. Raises AllocationError for no weights, negative weights, and weights that are all zero.
    """
    if not weights:
        raise AllocationError("no weights to divide by")
    if any(weight < 0 for weight in weights):
        raise AllocationError("a weight is negative")
    whole = sum(Fraction(weight) for weight in weights)
    if not whole:
        raise AllocationError("all weights are zero")
    exact = [amount.units * Fraction(weight) / whole for weight in weights]
    parts = [int(share) for share in exact]
    left = amount.units - sum(parts)
    by_remainder = sorted(range(len(exact)), key=lambda index: parts[index] - exact[index])
    for index in by_remainder[:left]:
        parts[index] += 1
    return [Money(units, amount.currency) for units in parts]


def split(amount: Money, count: int) -> list[Money]:
    """Divide an amount into parts that differ by at most one smallest unit, larger ones first."""
    if count < 1:
        raise AllocationError(f"cannot split into {count} parts")
    return allocate(amount, [1] * count)


def spread(amount: Money, period: Period) -> list[tuple[Period, Money]]:
    """Divide an amount over the calendar months of a period, in proportion to their days."""
    months = period.months()
    return list(zip(months, allocate(amount, [month.days for month in months]), strict=True))


def prorate(amount: Money, whole: Period, part: Period) -> Money:
    """Return the share of an amount for the days that a part has in the whole, rounded half to even."""
    common = whole.overlap(part)
    if common is None:
        return Money.zero(amount.currency)
    return amount * Fraction(common.days, whole.days)
