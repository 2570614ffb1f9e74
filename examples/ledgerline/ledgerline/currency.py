"""Currencies: how many digits they have, and which coins are still in use."""

from __future__ import annotations

from dataclasses import dataclass

from ledgerline.errors import UnknownCurrencyError


@dataclass(frozen=True, slots=True)
class Currency:
    """Describe one ISO 4217 currency."""

    code: str
    symbol: str
    #: Digits after the decimal point: 2 for cents, 0 for yen, 3 for fils.
    digits: int = 2
    #: Smallest amount payable in coins, in the smallest units: 5 where 0.05 is the smallest coin.
    cash_step: int = 1

    @property
    def scale(self) -> int:
        """Return how many of the smallest units make one of the currency."""
        return int(10**self.digits)

    def __str__(self) -> str:
        return self.code


_REGISTERED = {
    each.code: each
    for each in (
        Currency("AUD", "A$", cash_step=5),
        Currency("CHF", "Fr.", cash_step=5),
        Currency("CZK", "Kč", cash_step=100),
        Currency("EUR", "€"),
        Currency("GBP", "£"),
        Currency("JPY", "¥", digits=0),
        Currency("KWD", "KD", digits=3, cash_step=5),
        Currency("SEK", "kr", cash_step=100),
        Currency("USD", "$"),
    )
}


def currency(code: str | Currency) -> Currency:
    """Return the currency with this code, in any case; a currency is returned as it is.

    Raises UnknownCurrencyError.
    """
    if isinstance(code, Currency):
        return code
    found = _REGISTERED.get(code.strip().upper())
    if found is None:
        raise UnknownCurrencyError(code)
    return found
