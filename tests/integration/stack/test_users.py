"""The stack as root and as a normal user."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from autopilot.stack.config import POSTGRES, StackConfig
from autopilot.stack.detach import launch, stop_running
from tests.integration.stack.fakes import RUN_STACK, live_status


def _users_of(pid: int) -> tuple[str, str]:
    """Tell a process's user as seen from here and whether it has a user namespace of its own."""
    status = Path(f"/proc/{pid}/status").read_text()
    (uid,) = (line.split()[1] for line in status.splitlines() if line.startswith("Uid:"))
    same = os.readlink(f"/proc/{pid}/ns/user") == os.readlink("/proc/self/ns/user")
    return uid, "same" if same else "own"


@pytest.mark.skipif(sys.platform != "linux", reason="user namespaces are Linux's")
async def test_only_a_root_supervisor_puts_the_database_into_a_namespace(shared: StackConfig) -> None:
    pid = live_status(shared).processes[POSTGRES].pid
    assert pid is not None
    assert _users_of(pid) == (str(os.geteuid()), "own" if os.geteuid() == 0 else "same")


@pytest.mark.skipif(os.geteuid() != 0, reason="every other test here runs as a normal user then")
def test_it_runs_as_a_normal_user(config: StackConfig) -> None:
    unshare = shutil.which("unshare")
    if unshare is None:
        pytest.skip("unshare (util-linux) is not there to become a normal user")
    # A user with the number 1000 and no capabilities, who may read this checkout.
    as_user = (unshare, "--user", "--map-user=1000", "--map-group=1000")
    seen = subprocess.run([*as_user, "id", "-u"], capture_output=True, text=True, check=True)
    assert seen.stdout.strip() == "1000"
    launch([*as_user, *RUN_STACK, str(config.data_dir)], config)
    written = live_status(config)
    postgres = written.processes[POSTGRES]
    assert postgres.state == "ready"
    assert postgres.pid is not None
    assert os.readlink(f"/proc/{postgres.pid}/ns/user") == os.readlink(f"/proc/{written.pid}/ns/user")
    assert stop_running(config)
