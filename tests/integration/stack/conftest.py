"""Stacks of real servers in directories of their own, on free ports."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from autopilot.stack.config import StackConfig
from autopilot.stack.detach import launch, stop_running
from autopilot.stack.stack import Stack
from tests.integration.stack.fakes import RUN_STACK, fake_service, hooks, running_config


@pytest.fixture
def config(tmp_path: Path) -> StackConfig:
    """A data directory that does not exist yet."""
    return StackConfig(data_dir=tmp_path / "data dir", ephemeral=True)


@pytest.fixture(scope="session")
def _made_once(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data directory after its first start and stop, to be copied."""
    config = StackConfig(data_dir=tmp_path_factory.mktemp("stack") / "made once", ephemeral=True)

    async def once() -> None:
        stack = Stack(config, hooks(), make_service=fake_service)
        await stack.start()
        await stack.stop()

    asyncio.run(once())
    return config.data_dir


@pytest.fixture
def used(config: StackConfig, _made_once: Path) -> StackConfig:
    """A data directory that an earlier start has filled."""
    shutil.copytree(_made_once, config.data_dir)
    return config


@pytest.fixture(scope="session")
def shared(_made_once: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[StackConfig]:
    """A running stack for tests that leave it running, supervised by another process."""
    folder = tmp_path_factory.mktemp("stack") / "shared"
    shutil.copytree(_made_once, folder)
    config = StackConfig(data_dir=folder, ephemeral=True)
    launch([*RUN_STACK, str(folder)], config)
    yield running_config(config)
    stop_running(config)
