"""Reading amounts the way banks and people write them."""

from __future__ import annotations

import re

from ledgerline.currency import Currency, currency
from ledgerline.errors import AmountError
from ledgerline.money import Money

#: Signs that are drawn as a minus, and spaces that only keep digits together.
_TYPOGRAPHY = str.maketrans({"\u2212": "-", "\u2013": "-", "\u00a0": " ", "\u202f": " ", "\u2019": "'"})
_PLAIN = re.compile(r"\d+(\.\d+)?|\.\d+")


def parse_amount(text: str, code: str | Currency) -> Money:
    """Return the amount that a text stands for.

    A minus may stand before or after the number, parentheses are the accountant's minus, and the currency's
    code or symbol may stand on either side. Raises AmountError.
    """
    kind = currency(code)
    body = text.translate(_TYPOGRAPHY).strip()
    body, in_parentheses = _without_parentheses(body)
    body, minus_outside = _without_sign(body)
    body, minus_inside = _without_sign(_without_currency(body, kind))
    if in_parentheses + minus_outside + minus_inside > 1:
        raise AmountError(text, "more than one sign")
    number = _plain_number(body)
    if not _PLAIN.fullmatch(number):
        raise AmountError(text, "not a number")
    amount = Money.of(number, kind)
    return -amount if in_parentheses or minus_outside or minus_inside else amount


def _plain_number(text: str) -> str:
    """Return a written number with a point as its only separator."""
    return text.replace(" ", "").replace("'", "").replace(",", "")


def _without_parentheses(text: str) -> tuple[str, bool]:
    if text.startswith("(") and text.endswith(")"):
        return text[1:-1].strip(), True
    return text, False


def _without_sign(text: str) -> tuple[str, bool]:
    if text.startswith(("-", "+")):
        return text[1:].strip(), text[0] == "-"
    if text.endswith("-"):
        return text[:-1].strip(), True
    return text, False


def _without_currency(text: str, kind: Currency) -> str:
    for mark in (kind.code, kind.symbol):
        if text.upper().startswith(mark.upper()):
            return text[len(mark) :].strip()
        if text.upper().endswith(mark.upper()):
            return text[: -len(mark)].strip()
    return text
