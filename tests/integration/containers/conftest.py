"""The record of another stack, as the journal's own tests make it."""

from __future__ import annotations

import pytest

from tests.integration.journal import conftest as journals
from tests.integration.journal.scene import Journal

journal, postgres, sealed = journals.journal, journals.postgres, journals.sealed


@pytest.fixture
def old(sealed: Journal) -> Journal:
    """Nine events under two checkpoints."""
    return sealed
