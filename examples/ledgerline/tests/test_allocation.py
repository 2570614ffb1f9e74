from datetime import date
from decimal import Decimal

import pytest

from ledgerline import AllocationError, Money, Period, allocate, prorate, split, spread, total


def eur(*amounts: str) -> list[Money]:
    return [Money.of(amount, "EUR") for amount in amounts]


def chf(*amounts: str) -> list[Money]:
    return [Money.of(amount, "CHF") for amount in amounts]


def test_an_even_split_leaves_no_remainder() -> None:
    assert split(Money.of("9.00", "EUR"), 3) == eur("3.00", "3.00", "3.00")


def test_earlier_parts_get_the_spare_cents() -> None:
    assert split(Money.of("10.00", "EUR"), 3) == eur("3.34", "3.33", "3.33")
    assert split(Money.of("0.02", "EUR"), 3) == eur("0.01", "0.01", "0.00")


def test_the_largest_remainder_is_served_first() -> None:
    assert allocate(Money.of("0.10", "EUR"), [1, 1, 4]) == eur("0.02", "0.02", "0.06")
    assert allocate(Money.of("1.00", "EUR"), [50, 33, 17]) == eur("0.50", "0.33", "0.17")


def test_weights_may_be_decimal() -> None:
    assert allocate(Money.of("100", "EUR"), [Decimal("0.7"), Decimal("0.3")]) == eur("70", "30")


def test_a_weight_of_zero_gets_nothing() -> None:
    assert allocate(Money.of("0.05", "EUR"), [0, 1, 1]) == eur("0.00", "0.03", "0.02")


@pytest.mark.parametrize("weights", [[1], [1, 1, 1], [3, 2, 1], [1, 0, 6], [7, 11, 13, 17]])
def test_parts_add_up(weights: list[int]) -> None:
    for units in range(250):
        amount = Money(units, Money.zero("EUR").currency)
        assert total(allocate(amount, weights), "EUR") == amount


def test_nothing_is_divided_into_nothings() -> None:
    assert split(Money.zero("EUR"), 2) == eur("0", "0")


@pytest.mark.parametrize("weights", [[], [0, 0], [2, -1]])
def test_weights_that_cannot_divide_are_refused(weights: list[int]) -> None:
    with pytest.raises(AllocationError):
        allocate(Money.of("1", "EUR"), weights)


@pytest.mark.parametrize("count", [0, -1])
def test_a_split_needs_parts(count: int) -> None:
    with pytest.raises(AllocationError):
        split(Money.of("1", "EUR"), count)


def test_parts_of_a_refund_add_up() -> None:
    for units in range(-250, 0):
        amount = Money(units, Money.zero("EUR").currency)
        assert total(allocate(amount, [3, 2, 2]), "EUR") == amount


def test_a_refund_mirrors_its_charge() -> None:
    assert split(Money.of("-10.00", "EUR"), 3) == eur("-3.34", "-3.33", "-3.33")
    assert allocate(Money.of("-0.10", "EUR"), [1, 1, 4]) == eur("-0.02", "-0.02", "-0.06")


def test_a_refund_spread_over_months_adds_up() -> None:
    parts = spread(Money.of("-100.00", "EUR"), Period.parse("2024-Q1"))
    assert [part for _, part in parts] == eur("-34.07", "-31.87", "-34.06")


def test_parts_in_cash_steps() -> None:
    assert allocate(Money.of("10.00", "CHF"), [1, 1, 1], step=5) == chf("3.35", "3.35", "3.30")
    assert allocate(Money.of("0.10", "CHF"), [5, 3, 2], step=5) == chf("0.05", "0.05", "0.00")


def test_a_refund_in_cash_steps_mirrors_its_charge() -> None:
    assert allocate(Money.of("-10.00", "CHF"), [1, 1, 1], step=5) == chf("-3.35", "-3.35", "-3.30")


def test_an_amount_that_is_not_in_steps_is_refused() -> None:
    with pytest.raises(AllocationError, match="multiple of 5"):
        allocate(Money.of("10.03", "CHF"), [1, 1], step=5)
    with pytest.raises(AllocationError, match="step"):
        allocate(Money.of("10.00", "CHF"), [1, 1], step=0)


def test_an_amount_is_spread_by_the_days_of_each_month() -> None:
    parts = spread(Money.of("91.00", "EUR"), Period.parse("2024-Q1"))
    assert [(str(month), part.format()) for month, part in parts] == [
        ("2024-01", "31.00"),
        ("2024-02", "29.00"),
        ("2024-03", "31.00"),
    ]


def test_prorating_counts_days() -> None:
    april = Period.parse("2024-04")
    half = Period(date(2024, 4, 16), date(2024, 5, 1))
    assert prorate(Money.of("30.00", "EUR"), april, half) == Money.of("15.00", "EUR")


def test_prorating_ignores_days_outside() -> None:
    april = Period.parse("2024-04")
    assert prorate(Money.of("30.00", "EUR"), april, Period.parse("2024")) == Money.of("30.00", "EUR")
    assert prorate(Money.of("30.00", "EUR"), april, Period.parse("2023")) == Money.zero("EUR")
