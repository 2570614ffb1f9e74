"""A sandbox counts as available only when a command has really run in it, alone."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from libs.sandbox import capability
from libs.sandbox.errors import SandboxError
from libs.sandbox.launch import Backend


def test_what_works_here_is_found(backend: Backend) -> None:
    found = capability.probe()

    assert found.kind is not None
    assert found.missing == ""


def test_bubblewrap_is_tried_too() -> None:
    if os.geteuid() == 0:
        pytest.skip("bubblewrap is not offered to root: it leaves device nodes to their owner")
    if shutil.which("bwrap") is None:
        pytest.skip("bwrap is not installed: all tests here ran on our own set-up only")

    assert [candidate.kind for candidate in capability.candidates()] == ["bubblewrap", "namespaces"]


@pytest.mark.parametrize(
    "program",
    [
        "exit 0",  # does nothing at all and calls it a success
        'shift 3; exec "$@"',  # runs the command with no sandbox around it
    ],
)
def test_a_set_up_that_fails_silently_is_noticed(tmp_path: Path, program: str) -> None:
    pretender = tmp_path / "bwrap"
    pretender.write_text(f"#!/bin/sh\n{program}\n", encoding="utf-8")
    pretender.chmod(0o755)

    with pytest.raises(SandboxError):
        capability.try_out(Backend(kind="bubblewrap", bwrap=str(pretender)))


def test_landlock_forbids_changes_outside_the_named_directories(tmp_path: Path) -> None:
    """The layer behind the read-only mounts, tried without them."""
    for name in ("open/a", "open/b", "closed"):
        (tmp_path / name).mkdir(parents=True)
    (tmp_path / "closed" / "file").write_text("kept", encoding="utf-8")
    program = (
        "import os, sys\n"
        "from libs.sandbox import kernel, landlock\n"
        "kernel.forbid_new_privileges()\n"
        "if not landlock.allow_writing_only(['open', '/dev/null']):\n"
        "    sys.exit(9)\n"
        "open('open/a/x', 'w').close(); os.rename('open/a/x', 'open/b/x'); open('/dev/null', 'w').close()\n"
        "assert open('closed/file').read() == 'kept'\n"
        "def refused(change):\n"
        "    try:\n"
        "        change()\n"
        "    except OSError:\n"
        "        return True\n"
        "assert refused(lambda: open('closed/file', 'a'))\n"
        "assert refused(lambda: open('closed/new', 'w'))\n"
        "assert refused(lambda: os.unlink('closed/file'))\n"
        "assert refused(lambda: os.mkdir('closed/d'))\n"
        "assert refused(lambda: os.rename('closed/file', 'open/file'))\n"
        "assert refused(lambda: os.truncate('closed/file', 0))\n"
    )
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[3])}

    done = subprocess.run(
        [sys.executable, "-c", program],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    if done.returncode == 9:
        pytest.skip("this kernel has no Landlock, or an early one")
    assert (done.returncode, done.stderr) == (0, "")
    assert (tmp_path / "closed" / "file").read_text(encoding="utf-8") == "kept"
