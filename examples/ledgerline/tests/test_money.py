from decimal import Decimal
from fractions import Fraction

import pytest

from ledgerline import AmountError, CurrencyMismatchError, Money, UnknownCurrencyError, currency, total


def eur(amount: str) -> Money:
    return Money.of(amount, "EUR")


@pytest.mark.parametrize(
    ("amount", "code", "units"),
    [
        ("12.50", "EUR", 1250),
        ("-0.01", "USD", -1),
        ("500", "JPY", 500),
        ("1.234", "KWD", 1234),
        (7, "GBP", 700),
    ],
)
def test_amounts_are_whole_smallest_units(amount: str | int, code: str, units: int) -> None:
    assert Money.of(amount, code).units == units


@pytest.mark.parametrize(
    ("amount", "code"), [("0.001", "EUR"), ("0.5", "JPY"), ("NaN", "EUR"), ("ten", "EUR")]
)
def test_inexact_amounts_are_refused(amount: str, code: str) -> None:
    with pytest.raises(AmountError):
        Money.of(amount, code)


def test_codes_are_read_in_any_case() -> None:
    assert currency(" eur ") is currency("EUR")


def test_unknown_currencies_are_named() -> None:
    with pytest.raises(UnknownCurrencyError, match="XXX"):
        Money.zero("XXX")


def test_sums_and_differences() -> None:
    assert eur("0.10") + eur("0.20") == eur("0.30")
    assert eur("1.00") - eur("1.01") == -eur("0.01")
    assert abs(eur("-3.00")) == eur("3.00")


def test_currencies_do_not_mix() -> None:
    with pytest.raises(CurrencyMismatchError) as caught:
        eur("1") + Money.of("1", "USD")
    assert (caught.value.left, caught.value.right) == ("EUR", "USD")
    with pytest.raises(CurrencyMismatchError):
        assert eur("1") < Money.of("2", "USD")


def test_the_same_number_in_another_currency_is_not_equal() -> None:
    assert eur("1") != Money.of("1", "USD")


@pytest.mark.parametrize(
    ("amount", "factor", "product"),
    [
        ("0.05", Decimal("0.5"), "0.02"),
        ("0.15", Decimal("0.5"), "0.08"),
        ("-0.05", Decimal("0.5"), "-0.02"),
        ("10.00", Fraction(1, 3), "3.33"),
        ("19.99", 3, "59.97"),
    ],
)
def test_products_round_half_to_even(amount: str, factor: int | Decimal | Fraction, product: str) -> None:
    assert eur(amount) * factor == eur(product)
    assert factor * eur(amount) == eur(product)


def test_floats_are_refused() -> None:
    with pytest.raises(TypeError):
        eur("1") * 0.5  # type: ignore[operator]
    with pytest.raises(TypeError, match="not exact"):
        Money.of(0.5, "EUR")  # type: ignore[arg-type]


def test_large_amounts_are_exact() -> None:
    digits = "123456789" * 5
    amount = eur(f"{digits}.01")
    assert amount.units == int(f"{digits}01")
    assert amount.format().replace(",", "") == str(amount.decimal) == f"{digits}.01"


def test_order() -> None:
    assert eur("-1") < eur("0") <= eur("0") < eur("1")
    assert max(eur("2"), eur("10")) == eur("10")
    assert not eur("0") and eur("0.01")


@pytest.mark.parametrize(
    ("amount", "code", "cash"),
    [
        ("1.02", "CHF", "1.00"),
        ("1.03", "CHF", "1.05"),
        ("-1.03", "CHF", "-1.05"),
        ("1.03", "EUR", "1.03"),
        ("9.50", "SEK", "10"),
    ],
)
def test_rounding_to_coins(amount: str, code: str, cash: str) -> None:
    assert Money.of(amount, code).rounded_to_cash() == Money.of(cash, code)


@pytest.mark.parametrize(
    ("amount", "code", "written"),
    [
        ("1234567.5", "EUR", "1,234,567.50"),
        ("-0.05", "EUR", "-0.05"),
        ("1234", "JPY", "1,234"),
        ("1", "KWD", "1.000"),
    ],
)
def test_format(amount: str, code: str, written: str) -> None:
    assert Money.of(amount, code).format() == written


def test_format_with_symbol_keeps_the_sign_in_front() -> None:
    assert eur("-1234.5").format(symbol=True) == "-€1,234.50"


def test_text_names_the_currency() -> None:
    assert str(eur("2")) == "EUR 2.00"


def test_total_of_nothing_has_a_currency() -> None:
    assert total([], "GBP") == Money.zero("GBP")
    assert total([eur("1"), eur("2")], "EUR") == eur("3")
