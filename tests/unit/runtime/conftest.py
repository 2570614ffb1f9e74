"""Logs are not drawn here: a traceback in colours takes longer than all tests together."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from structlog.testing import capture_logs


@pytest.fixture(autouse=True)
def logs() -> Iterator[list[object]]:
    """What was logged."""
    with capture_logs() as entries:
        yield entries  # type: ignore[misc]
