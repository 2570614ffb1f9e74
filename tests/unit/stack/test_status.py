"""The status file that others read."""

from __future__ import annotations

import os
from pathlib import Path

import msgspec

from autopilot.stack import processes, status
from autopilot.stack.config import StackConfig
from autopilot.stack.stack import Stack
from autopilot.stack.status import ProcessStatus, StackStatus
from autopilot.wiring import hooks


def _status(identity: str) -> StackStatus:
    gate = ProcessStatus(pid=7, identity="boot:7", state="ready", restarts=1, since=status.now())
    return StackStatus(
        pid=os.getpid(),
        identity=identity,
        run_id="r",
        state="ready",
        started_at=status.now(),
        data_dir="/data",
        addresses={"gate": "http://127.0.0.1:8803"},
        ports={"gate": 8803},
        processes={"gate": gate},
    )


def test_what_is_written_is_read(tmp_path: Path) -> None:
    written = _status("me")
    status.write(tmp_path / "stack.json", written)
    assert status.read(tmp_path / "stack.json") == written
    plain = msgspec.json.decode((tmp_path / "stack.json").read_bytes())
    assert plain["version"] == 1
    assert plain["processes"]["gate"]["pid"] == 7


def test_a_file_of_an_ended_supervisor_is_not_alive() -> None:
    assert not _status("an earlier process").alive
    assert _status(processes.identity(os.getpid()) or "").alive


def test_a_missing_or_broken_file_reads_as_none(tmp_path: Path) -> None:
    assert status.read(tmp_path / "stack.json") is None
    (tmp_path / "stack.json").write_text('{"version": 1, "pid"')
    assert status.read(tmp_path / "stack.json") is None


def test_a_stack_on_the_published_ports_can_be_written(tmp_path: Path) -> None:
    described = Stack(StackConfig(data_dir=tmp_path), hooks()).status()
    status.write(tmp_path / "stack.json", described)
    assert status.read(tmp_path / "stack.json") == described
    assert described.ports["dashboard"] == 8800
