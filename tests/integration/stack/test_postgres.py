"""The embedded database: its roles, its durability, and kill -9."""

from __future__ import annotations

import asyncio
import os
import signal
from pathlib import Path

import asyncpg
import pytest

from autopilot.stack import secrets
from autopilot.stack.cluster import SUPERUSER, _servers_in
from autopilot.stack.config import OWNER_ROLE, POSTGRES, READER_ROLE, SERVICES, StackConfig, role_of
from autopilot.stack.errors import PartFailedError
from autopilot.stack.stack import Stack
from tests.integration.stack.fakes import (
    PATIENCE_S,
    eventually,
    fake_service,
    hooks,
    live_status,
    running,
)

GATE = role_of("gate")


async def _connect(config: StackConfig, role: str) -> asyncpg.Connection:
    stored = secrets.load_or_create(config.secrets_dir)
    passwords = {
        SUPERUSER: stored.postgres_superuser,
        OWNER_ROLE: stored.postgres_owner,
        READER_ROLE: stored.postgres_reader,
        **{role_of(name): stored.postgres[name] for name in SERVICES},
    }
    return await asyncpg.connect(config.dsn(role, passwords[role]), ssl=False)


async def test_a_killed_server_comes_back_with_all_that_was_committed(shared: StackConfig) -> None:
    service = await _connect(shared, GATE)
    await service.execute("INSERT INTO events SELECT generate_series(1, 1000)")
    before = live_status(shared).processes[POSTGRES]
    assert before.pid is not None
    workers = [pid for pid, _ in _servers_in(shared.postgres_dir)]
    os.kill(before.pid, signal.SIGKILL)
    await eventually(
        lambda: (now := live_status(shared).processes[POSTGRES]).pid != before.pid and now.state == "ready",
        "the database's return",
    )
    service.terminate()
    assert not [pid for pid in workers if running(pid)]
    again = await _connect(shared, GATE)
    assert await again.fetchval("SELECT count(*) FROM events") == 1000
    await again.close()


async def test_a_killed_worker_is_survived_without_a_restart_of_the_server(shared: StackConfig) -> None:
    service = await _connect(shared, GATE)
    pid = live_status(shared).processes[POSTGRES].pid
    os.kill(await service.fetchval("SELECT pg_backend_pid()"), signal.SIGKILL)
    service.terminate()

    async def answers() -> bool:
        try:
            again = await _connect(shared, GATE)
        except (OSError, asyncpg.PostgresError):
            return False
        await again.close()
        return True

    async with asyncio.timeout(PATIENCE_S):
        while not await answers():
            await asyncio.sleep(0.05)
    assert live_status(shared).processes[POSTGRES].pid == pid


async def test_the_services_role_can_do_what_the_schema_grants_and_no_more(shared: StackConfig) -> None:
    service = await _connect(shared, GATE)
    await service.execute("INSERT INTO events VALUES (0)")
    for forbidden in (
        "DELETE FROM events",
        "CREATE TABLE mine ()",
        "CREATE TEMP TABLE t ()",
        "CREATE ROLE r",
    ):
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await service.execute(forbidden)
    assert await service.fetchval("SHOW idle_in_transaction_session_timeout") == "1s"
    await service.close()


async def test_the_cluster_is_set_up_for_durability(shared: StackConfig) -> None:
    owner = await _connect(shared, OWNER_ROLE)
    wanted = {
        "data_checksums": "on",
        "fsync": "on",
        "full_page_writes": "on",
        "synchronous_commit": "on",
        "listen_addresses": "127.0.0.1",
        "server_encoding": "UTF8",
        "TimeZone": "UTC",
    }
    assert {name: await owner.fetchval(f"SHOW {name}") for name in wanted} == wanted
    assert await owner.fetchval("SELECT NOT rolsuper FROM pg_roles WHERE rolname = current_user")
    await owner.close()


async def test_the_reader_sees_every_row_of_every_table_and_changes_none(shared: StackConfig) -> None:
    owner, reader = await _connect(shared, OWNER_ROLE), await _connect(shared, READER_ROLE)
    await owner.execute("CREATE TABLE hidden AS SELECT 1 AS n")
    await owner.execute("ALTER TABLE hidden ENABLE ROW LEVEL SECURITY")
    assert await reader.fetchval("SELECT n FROM hidden") == 1
    # Its sessions only read by themselves; and where somebody lifts that, the tables refuse.
    for read_only in ("on", "off"):
        await reader.execute(f"SET default_transaction_read_only = {read_only}")
        for change in ("INSERT INTO hidden VALUES (2)", "DELETE FROM hidden", "CREATE TABLE mine (n int)"):
            with pytest.raises((asyncpg.ReadOnlySQLTransactionError, asyncpg.InsufficientPrivilegeError)):
                await reader.execute(change)
    await owner.execute("DROP TABLE hidden")
    await reader.close()
    await owner.close()


async def test_a_wrong_password_is_refused(shared: StackConfig) -> None:
    for role in (SUPERUSER, OWNER_ROLE, READER_ROLE, *map(role_of, SERVICES)):
        with pytest.raises(asyncpg.InvalidPasswordError):
            await asyncpg.connect(shared.dsn(role, "guess"), ssl=False)


async def test_the_unix_socket_works_and_is_private(shared: StackConfig) -> None:
    sockets = shared.data_dir / "run"
    if not sockets.exists():
        pytest.skip("the path of this data directory is too long for a socket")
    stored = secrets.load_or_create(shared.secrets_dir)
    connection = await asyncpg.connect(
        host=str(sockets),
        port=shared.ports[POSTGRES],
        user=GATE,
        password=stored.postgres["gate"],
        database="autopilot",
    )
    assert await connection.fetchval("SELECT 1") == 1
    await connection.close()


async def test_what_the_server_prints_is_in_its_log_without_passwords(shared: StackConfig) -> None:
    text = shared.log_file(POSTGRES).read_text()
    assert "database system is ready" in text
    stored = secrets.load_or_create(shared.secrets_dir)
    assert all(password not in text for password in (stored.postgres_owner, *stored.postgres.values()))


async def test_a_lock_file_with_a_recycled_id_does_not_block_the_start(used: StackConfig) -> None:
    # As after a reboot: the id in the file belongs to a living process that is no database.
    (used.postgres_dir / "postmaster.pid").write_text(f"{os.getpid()}\n{used.postgres_dir}\n")
    stack = Stack(used, hooks(), make_service=fake_service)
    await stack.start()
    await stack.stop()


async def test_lost_credentials_are_said_clearly(used: StackConfig) -> None:
    (used.secrets_dir / "postgres-superuser").unlink()
    with pytest.raises(PartFailedError, match="is not the password that this cluster was made with"):
        await Stack(used, hooks(), make_service=fake_service).start()


async def test_after_a_start_that_was_killed_while_it_made_the_cluster_one_is_made(tmp_path: Path) -> None:
    # Deeper than the path of a Unix socket may be, too.
    config = StackConfig(data_dir=tmp_path / ("deep directory/" * 12), ephemeral=True)
    draft = config.data_dir / "postgres.new"
    draft.mkdir(parents=True)
    (draft / "PG_VERSION").write_text("18\n")
    stack = Stack(config, hooks(), make_service=fake_service)
    await stack.start()
    service = await _connect(stack.config, GATE)
    assert await service.fetchval("SELECT 1") == 1
    await service.close()
    await stack.stop()
    assert not draft.exists()
