"""What is looked at of a sandbox, and what is not."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from libs.sandbox.gauge import Gauge


class Counting(Gauge):
    """Looks at this machine's processes and counts what it reads."""

    def __init__(self) -> None:
        super().__init__([])
        self._proc = os.open("/proc", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        self.reads = 0

    def _read(self, path: str, most: int = 4096) -> bytes:
        self.reads += 1
        return super()._read(path, most)

    def close(self) -> None:
        """Let go of /proc."""
        os.close(self._proc)


@pytest.fixture
def gauge() -> Iterator[Counting]:
    made = Counting()
    yield made
    made.close()


def test_more_processes_than_there_may_be_are_counted_and_not_measured(gauge: Counting) -> None:
    memory, tasks = gauge.sample(concern=0, processes_limit=0)
    assert (memory, gauge.reads) == (0, 0)
    assert tasks > 0


def test_memory_is_measured_of_as_many_as_there_may_be(gauge: Counting) -> None:
    memory, tasks = gauge.sample(concern=2**62, processes_limit=2**31)
    assert gauge.reads > 0
    assert memory > 0
    assert tasks > 0
