from datetime import date

import pytest

from ledgerline import AmountError, Entry, Money, StatementError, read_statement


def test_a_statement_is_read_in_order() -> None:
    text = 'Date,Description,Amount,Category\n2024-01-31,Salary,"2,450.00",salary\n2024-02-01,Rent,-890.00,housing\n'
    assert read_statement(text, "EUR") == [
        Entry(date(2024, 1, 31), "Salary", Money.of("2450", "EUR"), "salary"),
        Entry(date(2024, 2, 1), "Rent", Money.of("-890", "EUR"), "housing"),
    ]


def test_columns_may_come_in_any_order_and_case() -> None:
    (entry,) = read_statement("AMOUNT,Payee,Reference,Booking Date\n-1.50,Kiosk,77,2024-05-06\n", "EUR")
    assert (entry.day, entry.description, entry.amount.units) == (date(2024, 5, 6), "Kiosk", -150)


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
def test_delimiters(delimiter: str) -> None:
    text = "Date,Description,Amount\n2024-05-06,Kiosk,-1.50\n".replace(",", delimiter)
    assert [entry.amount.units for entry in read_statement(text, "EUR")] == [-150]


@pytest.mark.parametrize("day", ["2024-05-06", "06.05.2024", "06/05/2024"])
def test_dates(day: str) -> None:
    (entry,) = read_statement(f"Date,Description,Amount\n{day},Kiosk,1\n", "EUR")
    assert entry.day == date(2024, 5, 6)


def test_debit_and_credit_columns() -> None:
    text = "Date,Details,Debit,Credit\n2024-05-06,Kiosk,1.50,\n2024-05-07,Refund,,0.50\n"
    assert [entry.amount.units for entry in read_statement(text, "GBP")] == [-150, 50]


def test_a_debit_is_outgoing_with_and_without_a_minus() -> None:
    text = "Date,Details,Debit,Credit\n2024-05-06,Kiosk,1.50,\n2024-05-08,Bar,-9.00,\n"
    assert [entry.amount.units for entry in read_statement(text, "GBP")] == [-150, -900]


def test_a_continental_statement() -> None:
    text = "Buchungstag;Buchungstext;Betrag\n31.01.2024;Gehalt;2.450,00\n01.02.2024;Miete;-890,00\n"
    assert [entry.amount for entry in read_statement(text, "EUR")] == [
        Money.of("2450", "EUR"),
        Money.of("-890", "EUR"),
    ]


def test_line_ends_byte_order_mark_and_blank_lines() -> None:
    text = "\ufeffDate,Description,Amount\r\n\r\n2024-05-06,  Corner \t shop ,1.00\r\n,,\r\n"
    assert [entry.description for entry in read_statement(text, "EUR")] == ["Corner shop"]


def test_quoted_text_may_hold_the_delimiter() -> None:
    (entry,) = read_statement('Date,Description,Amount\n2024-05-06,"Smith, Jones & Co",1\n', "EUR")
    assert entry.description == "Smith, Jones & Co"


def test_an_empty_statement_has_no_entries() -> None:
    assert read_statement("Date,Description,Amount\n", "EUR") == []
    assert read_statement("", "EUR") == []


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("Date,Amount\n", "line 1: no column for description"),
        ("Date,Description,Debit\n", "line 1: no column for amount"),
        ("Date,Description,Amount\n2024-05-06,Kiosk,1\n2024-05-07,Kiosk,much\n", "line 3: 'much'"),
        ("Date,Description,Amount\n6 May,Kiosk,1\n", "line 2: '6 May' is not a date"),
        ("Date,Description,Amount\n2024-05-06,Kiosk\n", "line 2: 2 fields where 3"),
        (
            "Date,Description,Debit,Credit\n2024-05-06,Kiosk,1,1\n",
            "line 2: .* exactly one of debit and credit",
        ),
        ('Date,Description,Amount\n2024-05-06,"Kiosk,1\n', "line 2: unexpected end"),
    ],
)
def test_errors_name_the_line(text: str, reason: str) -> None:
    with pytest.raises(StatementError, match=reason):
        read_statement(text, "EUR")


def test_errors_keep_their_cause() -> None:
    with pytest.raises(StatementError) as caught:
        read_statement("Date,Description,Amount\n2024-05-06,Kiosk,0.001\n", "EUR")
    assert caught.value.line == 2
    assert isinstance(caught.value.__cause__, AmountError)
