"""An emergency stop leaves no process that executes what a repository says, whoever started it."""

from __future__ import annotations

import asyncio
import hashlib
from pathlib import Path
from typing import Any

import pytest

from libs.testing.world import World
from services.resolution.adapters.reporter import Reporter
from tests.system.shop import PYTEST, WRONG, Shop, marked
from tests.system.test_patch import until, unwaiting
from tests.system.walking import end, facts_of, sound, submit, switch, wait_out


async def test_an_incident_is_not_tried_during_an_emergency_stop_and_is_after_it(
    world: World, shop: Shop, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data, flags = tmp_path / "data", tmp_path / "flags"
    flags.mkdir()
    tried = Reporter._try

    async def hanging(self: Reporter, *args: Any) -> Any:
        (flags / "hang").touch()
        return await tried(self, *args)

    hangs = f"if test -e {flags}/hang; then setsid sleep 600 & sleep 600; fi; {PYTEST}"
    wanted = shop.task(shop.patch({"wide.py": WRONG}), verify={"test": hangs})
    wanted.repos[0].env["FLAGS"] = str(flags)
    cookie = f"incident-t1-1-{hashlib.sha256(bytes(data)).hexdigest()[:12]}"
    unwaiting(world)
    filing = world.running["resolution"].parts
    idle, filing.idle = filing.idle, filing.look
    with monkeypatch.context() as patch:
        patch.setattr(Reporter, "_try", hanging)
        await submit(world, "t1", wanted)
        await until(world, lambda: marked(cookie))
        await switch(world, "emergency-stop")
        await until(world, lambda: not marked(cookie))
        for _ in range(20):
            await world.step()
            await asyncio.sleep(0.02)
        assert marked(cookie) == []
        assert facts_of(await world.events(), "t1", "incident_written") == []
    (flags / "hang").unlink()
    filing.idle = idle
    await switch(world, "normal")
    await world.settle()
    await wait_out(world)
    events = await sound(world)
    assert end(events) == "task_given_up"
    (incident,) = facts_of(events, "t1", "incident_filed")
    assert incident.report.reproduction.gave == "as_recorded"
