"""The seven services in one process."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from libs.testing.world import World
from tests.system.walking import SERVICES


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    """All services, started."""
    made = World(SERVICES, str(tmp_path))
    await made.start_all()
    yield made
    for name in list(made.running):
        await made.crash(name)
