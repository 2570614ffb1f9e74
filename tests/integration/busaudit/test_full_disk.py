"""A disk that was full: the server stores nothing more though there is room again, and the auditor makes the stream anew."""

from __future__ import annotations

import contextlib
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from libs.busaudit import auditor
from libs.testing.nats import EmbeddedServer, TestNats
from tests.integration.busaudit.house import House

#: Seconds without a stored message, and of a publisher without an answer, that are enough here.
STUCK_S, PATIENCE_S = 2.0, 0.5


@pytest.fixture
def small_disk(module_nats: TestNats) -> Iterator[Path]:
    """Give the server a store with room for a few messages."""
    if os.geteuid() != 0:
        pytest.skip("mounting a small file system needs root")
    server = module_nats.server
    assert isinstance(server, EmbeddedServer)
    server.kill()
    server.wipe()
    server.store.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=8m", "tmpfs", str(server.store)]
    mounted = subprocess.run(mount, check=False, capture_output=True, text=True)
    if mounted.returncode:
        pytest.skip(f"no tmpfs can be mounted: {mounted.stderr.strip()}")
    try:
        yield server.store
    finally:
        server.kill()
        subprocess.run(["umount", "--lazy", str(server.store)], check=True)


def fill(disk: Path) -> Path:
    """Leave not one byte free."""
    balloon = disk / "balloon"
    with balloon.open("wb", buffering=0) as file, contextlib.suppress(OSError):
        while True:
            file.write(bytes(4096))
    return balloon


async def test_a_stream_that_a_full_disk_has_stopped_goes_on_once_there_is_room(
    small_disk: Path, house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(auditor, "STUCK_S", STUCK_S)
    monkeypatch.setattr(house.bus._publisher, "_patience_s", PATIENCE_S)
    await house.write(4, 5)
    await house.handled()
    balloon = fill(small_disk)
    await house.write(40, 5, prefix="late")
    await house.relay.flush()
    assert await house.store.pending_outbox("tester", older_than_s=0)
    balloon.unlink()
    await house.write(2, 2, prefix="after")
    assert "stored nothing" in await house.raised()
    await house.handled()
    await house.sound(2)
    house.once()
