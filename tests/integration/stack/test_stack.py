"""A whole stack: its start, its neighbours, its failures, its end."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import stat
from collections.abc import Mapping

import pytest

from autopilot.stack import secrets
from autopilot.stack.config import DEFAULT_PORTS, HOST, SERVICES, StackConfig
from autopilot.stack.errors import AlreadyRunningError, PartFailedError, PortsInUseError, StackError
from autopilot.stack.lock import holder_of
from autopilot.stack.nats import NatsUser
from autopilot.stack.ports import PortBlock
from autopilot.stack.probe import http_status
from autopilot.stack.progress import Progress
from autopilot.stack.stack import Hooks, Stack
from tests.integration.stack.fakes import (
    ensure_topology,
    eventually,
    fake_service,
    finish_migration,
    hooks,
    live_status,
    migrate,
    nats_users,
    running,
)

PARTS = {"stack", "postgres", "nats", "migrations", "topology", *SERVICES}


async def _fails(*_: str) -> None:
    raise RuntimeError("column exists already")


async def test_the_first_start_tells_of_each_part_and_ends_with_the_whole(config: StackConfig) -> None:
    told: list[Progress] = []
    stack = Stack(config, hooks(), make_service=fake_service)
    await stack.start(told.append)
    await stack.stop()
    for state in ("starting", "ready"):
        assert {event.part for event in told if event.state == state} == PARTS
    assert (told[-1].part, told[-1].state) == ("stack", "ready")
    order = [event.part for event in told if event.state == "ready"]
    assert max(order.index("postgres"), order.index("nats")) < order.index("migrations")
    assert order.index("migrations") < order.index("topology") < min(map(order.index, SERVICES))


async def test_the_status_file_tells_addresses_and_ids_and_no_secret(shared: StackConfig) -> None:
    written = live_status(shared)
    assert written.alive
    assert written.state == "ready"
    assert written.addresses.keys() == DEFAULT_PORTS.keys()
    assert written.topology is not None
    assert written.topology.ok
    for process in written.processes.values():
        assert process.state == "ready"
        assert process.pid is not None
        assert running(process.pid)
    for name in SERVICES:
        port = int(written.addresses[name].rpartition(":")[2])
        assert await http_status(HOST, port, "/healthz") == 200
    text = shared.stack_file.read_text()
    assert not [path.name for path in shared.secrets_dir.iterdir() if path.read_text().strip() in text]


async def test_a_restarted_service_is_in_the_status_file_with_its_new_id(shared: StackConfig) -> None:
    before = live_status(shared).processes["gate"]
    assert before.pid is not None
    os.kill(before.pid, signal.SIGKILL)
    await eventually(
        lambda: (now := live_status(shared).processes["gate"]).pid != before.pid and now.state == "ready",
        "the restart in the status file",
    )
    after = live_status(shared).processes["gate"]
    assert (after.pid is not None, after.restarts) == (True, before.restarts + 1)


async def test_a_stopped_stack_leaves_no_process_no_lock_no_status(used: StackConfig) -> None:
    token = secrets.api_token(used.secrets_dir)
    stack = Stack(used, hooks(), make_service=fake_service)
    await stack.start()
    written = live_status(used)
    await asyncio.gather(stack.stop(), stack.stop())
    await stack.stop()
    await stack.wait()
    pids = [process.pid for process in written.processes.values()] + [written.watchdog_pid]
    assert not [pid for pid in pids if pid and running(pid)]
    assert not used.stack_file.exists()
    assert not (used.data_dir / "run").exists()
    assert holder_of(used.lock_file) is None
    assert secrets.api_token(used.secrets_dir) == token


async def test_a_second_stack_on_the_same_directory_is_refused_and_the_first_unharmed(
    shared: StackConfig,
) -> None:
    before = live_status(shared)
    again = StackConfig(data_dir=shared.data_dir, ephemeral=True)
    with pytest.raises(AlreadyRunningError, match=f"process {before.pid}"):
        await Stack(again, hooks(), make_service=fake_service).start()
    assert live_status(shared) == before
    assert all(process.pid and running(process.pid) for process in before.processes.values())


async def test_two_stacks_live_side_by_side(shared: StackConfig, used: StackConfig) -> None:
    other = Stack(used, hooks(), make_service=fake_service)
    await other.start()
    assert not set(shared.ports.values()) & set(other.config.ports.values())
    await other.stop()
    assert all(process.state == "ready" for process in live_status(shared).processes.values())


async def test_a_taken_port_is_named_before_anything_starts(config: StackConfig) -> None:
    block = PortBlock.claim()
    fixed = StackConfig(data_dir=config.data_dir, ports=block.ports)
    taken = rf"{block.ports['gate']} \(gate\)"
    with socket.create_server((HOST, block.ports["gate"])), pytest.raises(PortsInUseError, match=taken):
        await Stack(fixed, hooks(), make_service=fake_service).start()
    block.release()
    assert not config.postgres_dir.exists()
    assert holder_of(config.lock_file) is None


@pytest.mark.parametrize("part", ["migrations", "topology"])
async def test_a_failing_hook_fails_the_start_with_its_reason_and_leaves_nothing(
    used: StackConfig, part: str
) -> None:
    broken = Hooks(
        migrate=_fails if part == "migrations" else migrate,
        finish_migration=finish_migration,
        ensure_topology=_fails if part == "topology" else ensure_topology,
        nats_users=nats_users,
    )
    told: list[Progress] = []
    with pytest.raises(PartFailedError, match=f"{part}: RuntimeError: column exists already"):
        await Stack(used, broken, make_service=fake_service).start(told.append)
    assert {event.part for event in told if event.state == "failed"} == {part, "stack"}
    assert not used.stack_file.exists()
    assert holder_of(used.lock_file) is None


async def test_a_defect_in_what_was_injected_leaves_nothing_either(used: StackConfig) -> None:
    def stranger(passwords: Mapping[str, str]) -> list[NatsUser]:
        raise KeyError("nobody")

    broken = Hooks(
        migrate=migrate,
        finish_migration=finish_migration,
        ensure_topology=ensure_topology,
        nats_users=stranger,
    )
    with pytest.raises(KeyError):
        await Stack(used, broken, make_service=fake_service).start()
    assert holder_of(used.lock_file) is None


async def test_a_stop_at_any_moment_of_the_start_leaves_nothing(used: StackConfig) -> None:
    for part, state in (
        ("postgres", "starting"),
        ("nats", "ready"),
        ("migrations", "starting"),
        ("gate", "starting"),
    ):
        stack = Stack(used, hooks(), make_service=fake_service)
        reached = asyncio.Event()

        def note(
            event: Progress, part: str = part, state: str = state, reached: asyncio.Event = reached
        ) -> None:
            if (event.part, event.state) == (part, state):
                reached.set()

        starting = asyncio.ensure_future(stack.start(note))
        await reached.wait()
        pids = [process.pid for process in stack.status().processes.values()]
        await stack.stop()
        with pytest.raises(StackError, match="stopped during its start"):
            await starting
        assert not [pid for pid in pids if pid and running(pid)]
        assert holder_of(used.lock_file) is None


async def test_a_cancelled_start_stops_what_it_began(used: StackConfig) -> None:
    stack = Stack(used, hooks(), make_service=fake_service)
    begun = asyncio.Event()
    starting = asyncio.ensure_future(stack.start(lambda event: begun.set()))
    await begun.wait()
    starting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await starting
    assert holder_of(used.lock_file) is None


async def test_files_are_for_their_owner_only(shared: StackConfig) -> None:
    folder = shared.data_dir
    modes: Mapping[str, int] = {
        name: stat.S_IMODE((folder / name).stat().st_mode)
        for name in (".", "secrets", "postgres", "nats", "logs", "nats/nats.conf", "secrets/api-token")
    }
    assert not [name for name, mode in modes.items() if mode & 0o077]
