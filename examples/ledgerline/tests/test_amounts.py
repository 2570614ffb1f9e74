import pytest

from ledgerline import AmountError, Money, parse_amount


@pytest.mark.parametrize(
    ("text", "amount"),
    [
        ("12.50", "12.50"),
        ("0.5", "0.50"),
        (".99", "0.99"),
        ("7", "7.00"),
        ("  7.00 ", "7.00"),
        ("+7.00", "7.00"),
    ],
)
def test_plain_numbers(text: str, amount: str) -> None:
    assert parse_amount(text, "EUR") == Money.of(amount, "EUR")


@pytest.mark.parametrize(
    ("text", "amount"),
    [
        ("1,234.56", "1234.56"),
        ("1,234,567.89", "1234567.89"),
        ("1 234.56", "1234.56"),
        ("1'234.56", "1234.56"),
        ("1\u2019234.56", "1234.56"),
        ("1\u202f234.56", "1234.56"),
    ],
)
def test_thousands_before_a_decimal_point(text: str, amount: str) -> None:
    assert parse_amount(text, "CHF") == Money.of(amount, "CHF")


def test_one_comma_before_three_digits_marks_thousands() -> None:
    assert parse_amount("1,250", "USD") == Money.of("1250", "USD")
    assert parse_amount("12,000", "JPY") == Money.of("12000", "JPY")


def test_decimal_comma() -> None:
    assert parse_amount("12,50", "EUR") == Money.of("12.50", "EUR")
    assert parse_amount("-0,99", "EUR") == Money.of("-0.99", "EUR")
    assert parse_amount("7,5", "EUR") == Money.of("7.50", "EUR")


def test_decimal_comma_after_points_for_thousands() -> None:
    assert parse_amount("1.234,56", "EUR") == Money.of("1234.56", "EUR")
    assert parse_amount("1.234.567,89 €", "EUR") == Money.of("1234567.89", "EUR")


@pytest.mark.parametrize(
    "text", ["-4.20", "4.20-", "\u22124.20", "(4.20)", "- 4.20", "-€4.20", "€-4.20", "(EUR 4.20)"]
)
def test_ways_to_write_a_minus(text: str) -> None:
    assert parse_amount(text, "EUR") == Money.of("-4.20", "EUR")


@pytest.mark.parametrize("text", ["€12.50", "12.50 €", "EUR 12.50", "12.50 eur", "12.50\u00a0EUR"])
def test_currency_on_either_side(text: str) -> None:
    assert parse_amount(text, "EUR") == Money.of("12.50", "EUR")


@pytest.mark.parametrize("text", ["", "-", "()", "€", "twelve", "1.2.3", "12.50 USD", "--1", "(-1)", "1e3"])
def test_other_text_is_refused(text: str) -> None:
    with pytest.raises(AmountError):
        parse_amount(text, "EUR")


def test_digits_that_the_currency_does_not_have_are_refused() -> None:
    with pytest.raises(AmountError, match="JPY has 0 decimal digits"):
        parse_amount("12.5", "JPY")
