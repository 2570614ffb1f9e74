"""Parts that hang without ending: stopped by SIGSTOP, as good as in a deadlock."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import msgspec

from autopilot.stack import environment, postgres, secrets
from autopilot.stack.config import NATS, POSTGRES, StackConfig
from autopilot.stack.stack import Stack
from tests.integration.stack.fakes import eventually, fake_service, hooks, live_status, running

PARTS = (POSTGRES, NATS, "gate")


async def test_servers_and_services_that_hang_are_ended_and_come_back(used: StackConfig) -> None:
    config = msgspec.structs.replace(used, hung_after_s=3.0)
    stack = Stack(config, hooks(), make_service=fake_service)
    await stack.start()
    try:
        before = live_status(config).processes
        pids = {name: before[name].pid or 0 for name in PARTS}
        for pid in pids.values():
            os.kill(pid, signal.SIGSTOP)

        def back() -> bool:
            now = live_status(config).processes
            return all(now[name].pid != pids[name] and now[name].state == "ready" for name in PARTS)

        await eventually(back, "their return")
        after = live_status(config).processes
        # A look that fell into a busy moment of the machine would have ended others, too.
        assert [name for name, one in after.items() if one.restarts] == sorted(PARTS, key=list(after).index)
        assert not [pid for pid in pids.values() if running(pid)]
    finally:
        await stack.stop()


async def test_a_database_that_refuses_is_alive_and_one_that_is_not_there_is_not(
    shared: StackConfig, tmp_path: Path
) -> None:
    stored = secrets.load_or_create(shared.secrets_dir)
    strange = msgspec.structs.replace(stored, postgres_superuser="another")
    elsewhere = msgspec.structs.replace(shared, ports={**shared.ports, POSTGRES: 1})
    answers = []
    for config, credentials in ((shared, stored), (shared, strange), (elsewhere, stored)):
        alive = postgres.child(config, credentials, environment.base(), tmp_path).alive
        assert alive is not None
        try:
            answers.append(await alive())
        except OSError:
            answers.append(False)
    assert answers == [True, True, False]
