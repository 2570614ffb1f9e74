"""The release before works while its successor's schema is being made, and until nothing of it is connected.

`released/record.zip` holds that release's own code, cases and schema; docs/migrations.md tells how it is made anew.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path

import asyncpg
import msgspec
import pytest

from libs.eventstore.migrate import finish, migrate
from libs.eventstore.postgres import PostgresStore
from libs.eventstore.rights import everything
from libs.eventstore.store import Cursor
from libs.testing.postgres import OWNER, SERVICE, SUPERUSER, TestPostgres
from libs.testing.samples import Noted, first, fresh, plain, registry

HERE = Path(__file__).parent / "released"
#: A role as this release makes one for each service.
PRESENT = "autopilot_present"
POST = ("0006_post_shared_role", "0007_post_append_rows")


class Between(msgspec.Struct):
    """An installation of the release before, migrated to this one while it was at work."""

    #: Where it was at work, and a copy that was not written to.
    database: str
    quiet: str
    #: What `finish` left for later while the older code was connected.
    waited: tuple[str, ...]
    #: Events that the older code wrote meanwhile, and what it complained about.
    written: int
    complaints: str


@pytest.fixture(scope="module")
def released(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The released code, ready to be run."""
    folder = tmp_path_factory.mktemp("released")
    with zipfile.ZipFile(HERE / "record.zip") as archive:
        archive.extractall(folder)
    for script in ("writer.py", "conformance.py"):
        shutil.copy(HERE / script, folder)
    return folder


def environment(released: Path) -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(released)}


@pytest.fixture(scope="module")
def between(postgres: TestPostgres, released: Path) -> Iterator[Between]:
    database, quiet = "between_releases", "between_releases_quiet"

    async def as_root(*statements: str) -> None:
        root = await asyncpg.connect(postgres.dsn("postgres", SUPERUSER))
        for statement in statements:
            await root.execute(statement)
        await root.close()

    async def upgrade(database: str) -> tuple[str, ...]:
        owner = postgres.dsn(database, OWNER)
        await migrate(owner, SERVICE, [everything(PRESENT)])
        return await finish(owner)

    asyncio.run(
        as_root(f"create role {PRESENT} login in role {SERVICE}", f"create database {database} owner {OWNER}")
    )
    script = "import asyncio, sys; from libs.eventstore.migrate import migrate; asyncio.run(migrate(*sys.argv[1:]))"
    install = [sys.executable, "-c", script, postgres.dsn(database, OWNER), SERVICE]
    subprocess.run(
        install, env=environment(released), cwd=released, check=True, capture_output=True, timeout=60
    )
    asyncio.run(
        as_root(
            f"create database {quiet} template {database} owner {OWNER}",
            f"revoke all on database {database} from public",
            f"grant connect on database {database} to {SERVICE}, {PRESENT}",
        )
    )
    asyncio.run(migrate(postgres.dsn(quiet, OWNER), SERVICE, [everything(PRESENT)]))
    writer = subprocess.Popen(
        [sys.executable, "writer.py", postgres.dsn(database)],
        env=environment(released),
        cwd=released,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert writer.stdout is not None
    try:
        assert writer.stdout.readline() == "writing\n"
        waited = asyncio.run(upgrade(database))
        output, complaints = writer.communicate("stop\n", timeout=60)
    finally:
        writer.kill()
        writer.communicate()
    yield Between(
        database=database, quiet=quiet, waited=waited, written=int(output or 0), complaints=complaints
    )
    drop = [f"drop database {name} with (force)" for name in (database, quiet)]
    asyncio.run(as_root(*drop, f"drop role {PRESENT}"))


def test_what_is_at_work_goes_on_while_the_schema_changes_below_it(between: Between) -> None:
    assert between.complaints == ""
    assert between.written > 0


def test_what_would_stop_older_code_waits_until_it_is_gone(between: Between) -> None:
    assert between.waited == POST


def test_the_release_before_passes_its_own_cases_between_the_phases(
    between: Between, postgres: TestPostgres, released: Path
) -> None:
    server = {
        "RELEASED_SERVER": f"127.0.0.1:{postgres.server.port}",
        "RELEASED_TEMPLATE": between.quiet,
    }
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-q",
        "-p",
        "no:cacheprovider",
        "--rootdir",
        ".",
        "conformance.py",
    ]
    done = subprocess.run(
        [*command, "-o", "asyncio_mode=auto", "-o", "python_files=conformance.py"],
        env={**environment(released), **server},
        cwd=released,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-4_000:]
    assert "passed" in done.stdout


async def test_this_release_works_between_the_phases_and_after_them(
    between: Between, postgres: TestPostgres
) -> None:
    store = await PostgresStore.connect(postgres.dsn(between.database, PRESENT), registry)
    try:
        before = [event.stream for event in await store.read_all(Cursor(), limit=5)]
        assert [(await store.verify(stream)).version for stream in before] == [1] * 5
        await store.append(plain(first(Noted(case_id=fresh()))))
        # The older code is gone; this release's connections do not keep anything waiting.
        assert await finish(postgres.dsn(between.database, OWNER)) == ()
        assert await finish(postgres.dsn(between.database, OWNER)) == ()
        (recorded,) = await store.append(plain(first(Noted(case_id=fresh()))))
        assert recorded.version == 1
        with pytest.raises(asyncpg.InsufficientPrivilegeError, match="permission denied for database"):
            await asyncpg.connect(postgres.dsn(between.database))
    finally:
        await store.close()
