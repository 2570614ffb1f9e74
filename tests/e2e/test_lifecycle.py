"""Stacks side by side, one for each directory, and Ctrl-C twice."""

from __future__ import annotations

import signal
from pathlib import Path

from tests.e2e.stack import DEADLINE_S, Stack, alive, until


def test_a_second_stack_lives_beside_the_first_and_goes_with_ctrl_c(stack: Stack, tmp_path: Path) -> None:
    other = Stack(tmp_path / "second")
    foreground = other.begin("up", "--ephemeral-ports")
    try:
        until(lambda: _ready(other) or foreground.poll() is not None, "the second stack")
        pids = other.pids()
        assert set(other.state["ports"].values()).isdisjoint(stack.state["ports"].values())
        assert other.json("tasks") == []
        assert stack.json("status")["state"] == other.json("status")["state"] == "ready"

        again = other.run("up", "--detach", "--ephemeral-ports")
        assert again.returncode == 1
        assert str(other.data_dir) in again.stderr
        assert "already" in again.stderr
        assert other.json("status")["pid"] == foreground.pid

        foreground.send_signal(signal.SIGINT)
        foreground.send_signal(signal.SIGINT)
        output, complaints = foreground.communicate(timeout=DEADLINE_S)
    finally:
        if foreground.poll() is None:
            foreground.terminate()
            foreground.communicate(timeout=DEADLINE_S)
    assert foreground.returncode == 0, complaints
    assert "Dashboard: http://127.0.0.1:" in output
    assert "Traceback" not in complaints
    assert alive(pids) == []
    assert not (other.data_dir / "stack.json").exists()
    assert other.run("status").returncode == 3
    assert stack.json("status")["state"] == "ready"


def _ready(stack: Stack) -> bool:
    return (stack.data_dir / "stack.json").exists() and stack.state["state"] == "ready"
