"""Logs of bounded size, whatever a child prints."""

from __future__ import annotations

from pathlib import Path

import pytest

from autopilot.stack.logs import RotatedLog, tail


def test_a_full_log_becomes_a_numbered_one_and_the_oldest_goes(tmp_path: Path) -> None:
    log = RotatedLog(tmp_path / "a.log", max_bytes=10, files=3)
    for number in range(5):
        log.write(f"line {number}..\n".encode())
    log.close()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.log", "a.log.1", "a.log.2"]
    assert (tmp_path / "a.log").read_text() == "line 4..\n"
    assert (tmp_path / "a.log.2").read_text() == "line 2..\n"


def test_a_log_of_an_earlier_run_is_continued(tmp_path: Path) -> None:
    for text in (b"one\n", b"two\n"):
        log = RotatedLog(tmp_path / "a.log")
        log.write(text)
        log.close()
    assert (tmp_path / "a.log").read_text() == "one\ntwo\n"


def test_a_full_disk_loses_bytes_and_says_so_afterwards(tmp_path: Path) -> None:
    if not Path("/dev/full").exists():
        pytest.skip("needs /dev/full")
    path = tmp_path / "a.log"
    path.symlink_to("/dev/full")
    log = RotatedLog(path)
    log.write(b"lost line\n")
    log.write(b"and another\n")
    path.unlink()
    log.write(b"kept line\n")
    log.close()
    assert path.read_text() == "[22 bytes lost: the log could not be written]\nkept line\n"


def test_the_end_of_a_log_is_for_error_messages(tmp_path: Path) -> None:
    (tmp_path / "a.log").write_text("x" * 5000 + "\nthe reason\n")
    assert tail(tmp_path / "a.log", 12) == "the reason"
    assert tail(tmp_path / "missing.log") == ""
