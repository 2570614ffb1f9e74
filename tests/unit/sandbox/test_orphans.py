"""Sweeping without a mark would sweep everything."""

import pytest

from libs.sandbox.orphans import sweep


def test_an_empty_cookie_is_refused() -> None:
    with pytest.raises(ValueError, match="cookie"):
        sweep("")
