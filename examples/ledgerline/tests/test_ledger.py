from datetime import date

import pytest

from ledgerline import CurrencyMismatchError, Entry, Ledger, Money, Period


def eur(amount: str) -> Money:
    return Money.of(amount, "EUR")


@pytest.fixture
def ledger() -> Ledger:
    return Ledger(
        eur("100.00"),
        [
            Entry(date(2024, 3, 1), "Rent", eur("-40.00"), "housing"),
            Entry(date(2024, 1, 5), "Market", eur("-12.50"), "food"),
            Entry(date(2024, 1, 31), "Wage", eur("80.00"), "wage"),
            Entry(date(2024, 3, 2), "Kiosk", eur("-1.50")),
        ],
    )


def test_entries_are_kept_in_the_order_of_days(ledger: Ledger) -> None:
    assert [entry.description for entry in ledger.entries] == ["Market", "Wage", "Rent", "Kiosk"]


def test_bookings_of_one_day_keep_their_order() -> None:
    day = date(2024, 1, 1)
    entries = [Entry(day, name, eur("1")) for name in ("b", "a", "c")]
    assert [entry.description for entry in Ledger(eur("0"), entries).entries] == ["b", "a", "c"]


def test_balances(ledger: Ledger) -> None:
    assert ledger.balance() == eur("126.00")
    assert ledger.balance(date(2024, 1, 4)) == eur("100.00")
    assert ledger.balance(date(2024, 1, 31)) == eur("167.50")


def test_running_balances(ledger: Ledger) -> None:
    assert [balance.format() for _, balance in ledger.running()] == ["87.50", "167.50", "127.50", "126.00"]


def test_a_part_opens_with_the_balance_before_it(ledger: Ledger) -> None:
    march = ledger.within(Period.parse("2024-03"))
    assert march.opening == eur("167.50")
    assert march.balance() == ledger.balance()


def test_categories_start_with_the_largest_spending(ledger: Ledger) -> None:
    assert list(ledger.by_category()) == ["housing", "food", "uncategorised", "wage"]
    assert ledger.by_category()["housing"] == eur("-40.00")


def test_months_without_bookings_have_a_line(ledger: Ledger) -> None:
    lines = ledger.by_month()
    assert [str(line.month) for line in lines] == ["2024-01", "2024-02", "2024-03"]
    assert [line.income.format() for line in lines] == ["80.00", "0.00", "0.00"]
    assert [line.spending.format() for line in lines] == ["-12.50", "0.00", "-41.50"]
    assert [line.closing.format() for line in lines] == ["167.50", "167.50", "126.00"]


def test_an_empty_ledger() -> None:
    empty = Ledger(eur("3.00"))
    assert empty.balance() == eur("3.00")
    assert empty.by_month() == [] and empty.by_category() == {}


def test_one_currency_only() -> None:
    with pytest.raises(CurrencyMismatchError):
        Ledger(eur("0"), [Entry(date(2024, 1, 1), "Pub", Money.of("4", "GBP"))])
