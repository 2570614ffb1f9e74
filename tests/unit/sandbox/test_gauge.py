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


class Growing(Gauge):
    """Sees a process that has mapped 60 MiB alone at first, and then with three others."""

    def _read(self, path: str, most: int = 4096) -> bytes:
        return {
            "7/smaps_rollup": b"7f00-7fff ---p 00000000 00:00 0 [rollup]\nPss: 62440 kB\nPss_Shmem: 61440 kB\n",
            "7/smaps": b"5500-5600 r-xp 00000000 08:01 55 /usr/bin/python3\nRss: 2000 kB\nPss: 1000 kB\n"
            b"7f00-7fff rw-s 00000000 00:01 1234 /memfd:x (deleted)\nRss: 61440 kB\nPss: 15360 kB\n",
        }[path]


def test_what_is_counted_where_it_is_stored_is_left_out_of_one_look_at_a_process() -> None:
    share = Growing([])._proportional("7", {(os.makedev(0, 1), 1234): 60 << 20})
    assert share == 1000 * 1024, "nothing of the file, however many have mapped it since the first look"


class Crowded(Growing):
    """Sees so many mappings that their list is not read to its end."""

    def _read(self, path: str, most: int = 4096) -> bytes:
        text = super()._read(path, most)
        return text if path.endswith("rollup") else (text * (most // len(text) + 1))[:most]


def test_memory_cannot_be_hidden_behind_more_mappings_than_are_read() -> None:
    share = Crowded([])._proportional("7", {(os.makedev(0, 1), 1234): 60 << 20})
    assert share == 62440 * 1024, "what is not seen may be anything, so nothing is left out"
