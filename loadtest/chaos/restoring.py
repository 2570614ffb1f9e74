"""The machine is lost with everything on it but a backup, and the world outside has gone on."""

from __future__ import annotations

import shutil
import subprocess
import sys

from loadtest.chaos.arena import Arena, ChaosError
from loadtest.chaos.case import Fault
from loadtest.chaos.load import Load

#: Seconds for one command.
COMMAND_S = 300.0


def restore_backup(arena: Arena, load: Load) -> list[Fault]:
    """Back up under load, go on to the end, lose the directory, restore the backup and go on from there.

    The forge is kept: it stands for one elsewhere, which already has what was pushed after the backup.
    """
    data, folder = arena.config.data_dir, arena.config.data_dir.parent
    backup, forge = folder / "backup", folder / "forge"
    _autopilot("backup", str(backup), "--data-dir", str(data))
    # All of it is done again, and finds what it has done outside already.
    load.wait_until_open(0)
    at = arena.kill_everything()
    arena.wait_until_dead()
    if (data / "forge").exists():
        (data / "forge").rename(forge)
    shutil.rmtree(data)
    _autopilot("restore", str(backup), "--data-dir", str(data))
    if forge.exists():
        shutil.rmtree(data / "forge", ignore_errors=True)
        forge.rename(data / "forge")
    arena.start()
    return [Fault(part="restored", at=at)]


def _autopilot(*arguments: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "autopilot", *arguments],
        capture_output=True,
        text=True,
        check=False,
        timeout=COMMAND_S,
    )
    if done.returncode:
        raise ChaosError(f"autopilot {arguments[0]}: {done.stderr.strip() or done.stdout.strip()}")
