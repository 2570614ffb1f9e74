"""A chaos suite that ends early leaves no directory, and one that was killed leaves it to the next."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from loadtest.chaos import leftovers

ENDS_LATE = """
import sys, time
from loadtest.chaos import leftovers
leftovers.end_once()
try:
    print("ready", flush=True)
    while True:
        # Not one long wait: a signal that comes just before it would be heard after it only.
        time.sleep(0.05)
except KeyboardInterrupt:
    print("stopping", flush=True)
    sys.stdin.readline()
    print("stopped", flush=True)
"""


@pytest.fixture(autouse=True)
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The temporary directory of the suites."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return tmp_path


def left(temporary: Path, owner: str) -> Path:
    """Make the directory of a suite."""
    folder = temporary / f"{leftovers.PREFIX}{owner.partition(' ')[0]}"
    (folder / leftovers.DATA / "logs").mkdir(parents=True)
    (folder / "suite").write_text(owner, encoding="utf-8")
    return folder


def test_what_a_killed_suite_has_left_is_removed(temporary: Path) -> None:
    ended = subprocess.Popen(["true"])
    ended.wait()
    folder = left(temporary, f"{ended.pid} of another time")
    assert leftovers.sweep() == [folder.name]
    assert not folder.exists()


def test_a_suite_at_work_keeps_its_directory(temporary: Path) -> None:
    folder = left(temporary, "0 -")
    leftovers.claim(folder)
    assert leftovers.sweep() == []
    assert folder.exists()


def test_a_directory_of_nobody_known_stays(temporary: Path) -> None:
    folder = left(temporary, "nonsense")
    assert leftovers.sweep() == []
    assert folder.exists()


@pytest.mark.skipif(os.geteuid() != 0, reason="mounting needs root")
def test_what_a_killed_suite_has_mounted_is_unmounted(temporary: Path) -> None:
    folder = left(temporary, "0 of another time")
    data = folder / leftovers.DATA
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(data)], check=False, capture_output=True
    )
    if mounted.returncode:
        pytest.skip(f"no tmpfs can be mounted: {mounted.stderr.decode().strip()}")
    leftovers.sweep()
    assert not folder.exists()


@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_the_first_signal_ends_and_the_second_does_not_disturb_the_end(signum: int) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", ENDS_LATE],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=Path(__file__).parents[3],
    ) as suite:
        assert suite.stdin is not None
        assert suite.stdout is not None
        assert suite.stdout.readline() == "ready\n"
        suite.send_signal(signum)
        assert suite.stdout.readline() == "stopping\n"
        suite.send_signal(signal.SIGTERM)
        suite.send_signal(signal.SIGINT)
        suite.stdin.write("\n")
        suite.stdin.close()
        assert suite.stdout.readline() == "stopped\n"
        assert suite.wait(30) == 0
