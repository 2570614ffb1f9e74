"""The bench."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from tests.integration.stage_runner.bench import Bench


@pytest.fixture(autouse=True)
def logs() -> Iterator[None]:
    """Logs are kept, not drawn."""
    with capture_logs():
        yield


@pytest.fixture
async def bench(tmp_path: Path) -> AsyncIterator[Bench]:
    made = Bench(tmp_path)
    await made.start()
    yield made
    await made.world.crash("stage-runner")
