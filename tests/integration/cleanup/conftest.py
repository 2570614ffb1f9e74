"""One scene for each test."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.integration.cleanup.scene import Scene


@pytest.fixture
async def scene(tmp_path: Path) -> Scene:
    """Cleanup, running."""
    made = Scene(tmp_path)
    await made.world.start_all()
    return made
