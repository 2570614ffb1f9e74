"""How much memory there is, as the kernel tells it on machines and in containers of either kind."""

from __future__ import annotations

from pathlib import Path

import pytest

from libs.sandbox.machine import Memory, measure, shortfall

MIB = 2**20
#: 16 GiB, of which hardly any is free and most is cache.
MEMINFO = """MemTotal:       16777216 kB
MemFree:          204800 kB
MemAvailable:   12582912 kB
Cached:         12000000 kB
"""


@pytest.fixture
def proc(tmp_path: Path) -> Path:
    """Stands for /proc/self; the machine has 16 GiB."""
    (tmp_path / "self").mkdir()
    (tmp_path / "meminfo").write_text(MEMINFO)
    (tmp_path / "self/mountinfo").write_text("22 1 8:1 / / rw - ext4 /dev/sda1 rw\n")
    (tmp_path / "self/cgroup").write_text("")
    return tmp_path / "self"


def group(proc: Path, version: int, name: str, **files: str) -> None:
    """Write what a group says of itself, and that it is ours."""
    mounted = proc.parent / "mounted"
    kind, options = ("cgroup2", "rw") if version == 2 else ("cgroup", "rw,memory")
    (proc / "mountinfo").write_text(f"30 25 0:27 / {mounted} rw - {kind} cgroup {options}\n")
    (proc / "cgroup").write_text(f"{'0:' if version == 2 else '4:memory'}:/{name}\n")
    (mounted / name).mkdir(parents=True, exist_ok=True)
    for file, text in files.items():
        (mounted / name / f"memory.{file}").write_text(text)


def test_cached_memory_is_not_used(proc: Path) -> None:
    """F10: a machine whose memory is full of cache was taken for one that has none left."""
    assert measure("container", proc) == Memory(total_mb=16_384, available_mb=12_288)


def test_a_container_has_no_more_than_its_limit(proc: Path) -> None:
    stat = f"anon 1\ninactive_file {300 * MIB}\nactive_file 7\n"
    group(proc, 2, "unit", max=str(1024 * MIB), current=str(800 * MIB), stat=stat)
    assert measure("container", proc) == Memory(total_mb=1024, available_mb=524, of="container")
    assert measure("host", proc) == Memory(total_mb=16_384, available_mb=12_288)


def test_the_lowest_limit_around_counts_wherever_it_is(proc: Path) -> None:
    group(proc, 2, "pod", max=str(512 * MIB), current=str(100 * MIB), stat="inactive_file 0\n")
    group(proc, 2, "pod/unit", max="max", current=str(90 * MIB), stat="inactive_file 0\n")
    assert measure("container", proc) == Memory(total_mb=512, available_mb=412, of="container")


def test_version_1_says_unlimited_in_its_own_way(proc: Path) -> None:
    group(proc, 1, "job", limit_in_bytes="9223372036854771712\n", usage_in_bytes="1\n", stat="")
    assert measure("container", proc).of == "machine"
    stat = f"inactive_file 1\ntotal_inactive_file {10 * MIB}\n"
    group(proc, 1, "job", limit_in_bytes=f"{256 * MIB}\n", usage_in_bytes=f"{60 * MIB}\n", stat=stat)
    assert measure("container", proc) == Memory(total_mb=256, available_mb=206, of="container")


def test_what_could_never_start_is_named_with_its_setting() -> None:
    said = shortfall(Memory(total_mb=600, available_mb=600), reserve_mb=512, task_mb=100)
    assert "600 MB" in said
    assert "AUTOPILOT_CONFIG_MEMORY_RESERVE_MB" in said
    assert shortfall(Memory(total_mb=612, available_mb=0), reserve_mb=512, task_mb=100) == ""


def test_this_machine_can_be_measured() -> None:
    memory = measure()
    assert 0 < memory.available_mb <= memory.total_mb
