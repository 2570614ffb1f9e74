"""One stack for all tests of this folder, and what they submit to it."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.e2e import till
from tests.e2e.stack import Stack, alive


@pytest.fixture(scope="session")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """A stack on free ports; when the last test is over it stops and leaves no process."""
    stack = Stack(tmp_path_factory.mktemp("e2e") / "data dir")
    begun = stack.run("up", "--detach", "--ephemeral-ports")
    assert begun.returncode == 0, begun
    pids = stack.pids()
    yield stack
    stack.client.close()
    stopped = stack.run("down")
    assert stopped.returncode == 0, stopped
    assert alive(pids) == []
    assert not (stack.data_dir / "stack.json").exists()


@pytest.fixture(scope="session")
def demo_rows(stack: Stack) -> list[dict[str, Any]]:
    """What `demo` printed about its tasks, one row each."""
    done = stack.run("demo", "--json", timeout_s=600)
    assert done.returncode == 0, done
    rows: list[dict[str, Any]] = json.loads(done.stdout)
    return rows


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """The till, as a user's own checkout."""
    return till.make(tmp_path / "till")


@pytest.fixture
def task_file(tmp_path: Path) -> Callable[..., Path]:
    """Writes a task file about a repository."""
    written: list[Path] = []

    def write(url: Path | str, **changed: Any) -> Path:
        written.append(tmp_path / f"task-{len(written)}.yaml")
        return till.write(written[-1], till.task(url, **changed))

    return write
