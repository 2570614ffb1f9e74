"""Harm to files: those of the bus, and a disk that is full."""

from __future__ import annotations

import contextlib
import os
import random
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from autopilot.stack.config import NATS
from libs.messaging.accounts import ACCOUNT
from loadtest.chaos.arena import Arena, ChaosError, until
from loadtest.chaos.case import Fault, Harm
from loadtest.chaos.load import Load

#: Seconds of a full disk.
FULL_S = 10.0
#: Megabytes of the data directory of a case that fills its disk.
DISK_MB = 600
JETSTREAM = Path("jetstream")
EVENTS_STREAM = JETSTREAM / ACCOUNT / "streams" / "EVENTS" / "msgs"


def damage_bus(spoil: Callable[[Path, random.Random], None], *, running: bool) -> Harm:
    """Damage the files of JetStream: of a running server, which is then killed, or of a stopped stack."""

    def harm(arena: Arena, load: Load) -> list[Fault]:
        del load
        at = time.time()
        if running:
            spoil(arena.config.nats_dir, arena.chance)
            at = arena.kill(NATS)
            until(lambda: arena.status.processes[NATS].state != "ready" or None, "the end of nats is noticed")
            arena.pid(NATS)
        else:
            # Killed, not stopped: what a service was told and had not handled is in those files alone.
            at = arena.kill_everything()
            arena.wait_until_dead()
            spoil(arena.config.nats_dir, arena.chance)
            arena.start()
        return [Fault(part="bus", at=at)]

    return harm


def wipe(nats_dir: Path, chance: random.Random) -> None:
    """Remove everything that JetStream has stored."""
    del chance
    for _ in range(5):
        shutil.rmtree(nats_dir / JETSTREAM, ignore_errors=True)


def truncate(nats_dir: Path, chance: random.Random) -> None:
    """Cut the newest block of the events in half."""
    del chance
    block = _newest_block(nats_dir)
    os.truncate(block, block.stat().st_size // 2)


def flip(nats_dir: Path, chance: random.Random) -> None:
    """Flip one bit in the second half of the newest block."""
    block = _newest_block(nats_dir)
    with block.open("r+b") as file:
        place = chance.randrange(block.stat().st_size // 2, block.stat().st_size)
        file.seek(place)
        byte = file.read(1)[0]
        file.seek(place)
        file.write(bytes([byte ^ 1 << chance.randrange(8)]))


def _newest_block(nats_dir: Path) -> Path:
    blocks = sorted((nats_dir / EVENTS_STREAM).glob("*.blk"), key=lambda block: int(block.stem))
    if not blocks or not blocks[-1].stat().st_size:
        raise ChaosError(f"{nats_dir / EVENTS_STREAM} has no block to damage")
    return blocks[-1]


def mount_failure() -> str:
    """Tell why no file system can be mounted here; empty where it can."""
    if os.geteuid() != 0 or shutil.which("mount") is None:
        return "mounting a small tmpfs needs root and `mount`"
    done = subprocess.run(
        ["unshare", "--mount", "mount", "-t", "tmpfs", "tmpfs", "/mnt"],
        capture_output=True,
        text=True,
        check=False,
        timeout=20,
    )
    return "" if done.returncode == 0 else f"no tmpfs can be mounted: {done.stderr.strip()}"


@contextlib.contextmanager
def small_disk(data_dir: Path) -> Iterator[None]:
    """Give the data directory a file system of its own that is soon full."""
    data_dir.mkdir(mode=0o700)
    options = f"size={DISK_MB}m,mode=0700"
    subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(data_dir)], check=True, timeout=20)
    try:
        yield
    finally:
        subprocess.run(["umount", "--lazy", str(data_dir)], check=True, timeout=20)


def fill_disk(arena: Arena, load: Load) -> list[Fault]:
    """Leave not one byte free for a while."""
    balloon = arena.config.data_dir / "balloon"
    at = time.time()
    with balloon.open("wb", buffering=0) as file:
        end = time.monotonic() + FULL_S
        while time.monotonic() < end:
            try:
                file.write(bytes(2**20))
            except OSError:
                try:
                    file.write(bytes(4096))
                except OSError:
                    time.sleep(0.05)
    balloon.unlink()
    return [Fault(part="disk", at=at)]
