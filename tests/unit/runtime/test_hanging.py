"""A process whose event loop stands still ends by itself, and says where it stood; one that works is left alone."""

from __future__ import annotations

import asyncio
import faulthandler
import subprocess
import sys

import pytest

from libs.runtime.hanging import ended_when_hung

#: Serves for a moment and then hangs in a way of its own.
PROGRAM = """
import asyncio, threading, time
from libs.runtime.hanging import ended_when_hung

def spins():
    while True:
        pass

def waits_for_itself():
    lock = threading.Lock()
    with lock:
        lock.acquire()

async def main():
    async with ended_when_hung(0.5):
        await asyncio.sleep(0)
        {how}()

asyncio.run(main())
"""


@pytest.mark.parametrize("how", ["spins", "waits_for_itself"])
def test_a_loop_that_stands_still_is_ended_and_told_where(how: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM.format(how=how)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 1
    assert "Timeout" in done.stderr
    assert f"in {how}" in done.stderr


async def test_one_that_works_puts_its_end_off_again_and_again(monkeypatch: pytest.MonkeyPatch) -> None:
    put_off: asyncio.Queue[tuple[float, bool]] = asyncio.Queue()
    called_off: list[bool] = []

    def later(seconds: float, **how: bool) -> None:
        put_off.put_nowait((seconds, how["exit"]))

    monkeypatch.setattr(faulthandler, "dump_traceback_later", later)
    monkeypatch.setattr(faulthandler, "cancel_dump_traceback_later", lambda: called_off.append(True))
    async with ended_when_hung(0.06):
        # Longest at first: much is built then in one go.
        seconds, ends = await put_off.get()
        assert 0.06 < seconds <= 0.24
        assert ends
        while seconds > 0.06:
            before, (seconds, _) = seconds, await put_off.get()
            assert seconds < before
        assert [await put_off.get() for _ in range(3)] == [(0.06, True)] * 3
        assert not called_off
    assert called_off == [True]


async def test_whoever_is_asked_from_outside_is_not_ended_from_inside(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(faulthandler, "dump_traceback_later", lambda *_, **__: pytest.fail("set"))
    async with ended_when_hung(0):
        await asyncio.sleep(0)
