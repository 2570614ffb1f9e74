"""Tells whether stored JSON says a number as it was written.

RFC 8785 hashes the value of a number, not its digits: 0.30000000000000004 and 0.30000000000000005 are one double and
hash alike. Only the first is its shortest form, the one in which writers store it, so the other was put there by hand.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import msgspec

from libs.eventstore.hashing import SAFE_INTEGER


class InexactError(ValueError):
    """A number has digits that its value does not have."""


def parse(json: bytes) -> Any:
    """Parse JSON. Raises InexactError, `msgspec.DecodeError`."""
    value = _decoder.decode(json)
    _check_integers(value)
    return value


def _float(text: str) -> float:
    value = float(text)
    if Decimal(text) != Decimal(repr(value)):
        raise InexactError(f"{text} is not how {value!r} is written")
    return value


_decoder = msgspec.json.Decoder(float_hook=_float)


def _check_integers(value: Any) -> None:
    """Postgres writes a large float without an exponent, so it comes back as an integer."""
    if isinstance(value, dict):
        for item in value.values():
            _check_integers(item)
    elif isinstance(value, list):
        for item in value:
            _check_integers(item)
    elif (
        isinstance(value, int) and abs(value) > SAFE_INTEGER and Decimal(value) != Decimal(repr(float(value)))
    ):
        raise InexactError(f"{value} is not how {float(value)!r} is written")
