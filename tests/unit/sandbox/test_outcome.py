"""How a supervisor's report is read."""

from __future__ import annotations

import signal

import pytest

from libs.sandbox.command import Ended
from libs.sandbox.errors import SandboxError
from libs.sandbox.launch import read_report


def report(ended: str, status: object) -> bytes:
    return "\0".join(
        ["\0\0" + "ended", ended, str(status), "1.5", "0.75", str(3 * 2**20), "7", "100", "60"]
    ).encode()


@pytest.mark.parametrize(
    ("status", "code", "number"),
    [
        (0, 0, None),
        (3 << 8, 3, None),
        (signal.SIGSEGV, 139, 11),
        (137 << 8, 137, 9),
        (255 << 8, 255, None),
        (128 << 8, 128, None),
    ],
)
def test_exit_codes_and_signals(status: int, code: int, number: int | None) -> None:
    outcome = read_report(report("exited", status))

    assert (outcome.exit_code, outcome.signal) == (code, number)
    assert (outcome.duration_s, outcome.cpu_s, outcome.peak_memory_mb) == (1.5, 0.75, 3.0)
    assert (outcome.output_bytes, outcome.truncated) == (100, True)


@pytest.mark.parametrize("ended", [Ended.WALL, Ended.MEMORY, Ended.PROCESSES])
def test_a_command_that_was_stopped_has_no_exit_code(ended: Ended) -> None:
    outcome = read_report(report(ended.value, None))

    assert (outcome.ended, outcome.exit_code, outcome.signal) == (ended, None, None)


def test_a_failed_set_up_names_its_step() -> None:
    with pytest.raises(SandboxError) as caught:
        read_report(b"\0\0error\0mount /w\0No such file or directory")

    assert (caught.value.stage, caught.value.cause) == ("mount /w", "No such file or directory")


@pytest.mark.parametrize("said", [b"", b"Traceback: MemoryError", b"\0\0ended\0exited\00", b"\0\0"])
def test_anything_else_is_no_outcome(said: bytes) -> None:
    with pytest.raises(SandboxError) as caught:
        read_report(said)

    assert caught.value.stage == "supervisor"
    assert caught.value.cause


def test_a_supervisor_cannot_report_an_exit_without_its_code() -> None:
    with pytest.raises(SandboxError):
        read_report(report("exited", None))
