"""The real services' rights on real servers: a database where all seven roles have been at work, and a bus."""

from __future__ import annotations

import asyncio
import json
import uuid
from collections.abc import AsyncIterator, Iterator
from typing import Any

import asyncpg
import pytest

from autopilot import wiring
from autopilot.stack.config import SERVICE_ROLE, role_of
from libs.eventstore.sql import queries
from libs.testing.nats import TestNats
from libs.testing.nats import shared as shared_nats
from libs.testing.postgres import OWNER, SUPERUSER, TestPostgres
from libs.testing.postgres import shared as shared_postgres

DATABASE = "privileges"
DECLARED = {service.name: service.declaration for service in wiring.services()}


class Roles:
    """Connects as the services' roles to a database that all of them have written to."""

    def __init__(self, postgres: TestPostgres) -> None:
        self._postgres = postgres

    async def connect(self, user: str) -> asyncpg.Connection[asyncpg.Record]:
        return await asyncpg.connect(self._postgres.dsn(DATABASE, user), timeout=5, command_timeout=10)

    async def make(self) -> None:
        """Make the roles as the stack does, the database as a start does, and one row of each kind for each service."""
        root = await asyncpg.connect(self._postgres.dsn("postgres", SUPERUSER))
        await root.execute(f"create database {DATABASE} owner {OWNER}")
        await root.execute(f"revoke all on database {DATABASE} from public")
        for name in DECLARED:
            await root.execute(f"create role {role_of(name)} login in role {SERVICE_ROLE}")
            await root.execute(f"grant connect on database {DATABASE} to {role_of(name)}")
        await root.close()
        await wiring.migrate(self._postgres.dsn(DATABASE, OWNER))
        for name, declared in DECLARED.items():
            connection = await self.connect(role_of(name))
            await connection.fetch(queries["acquire"], name, f"{name}-1", 3_600.0, False)
            await append(connection, whole(name))
            for category in declared.publishes:
                await append(connection, {"service": name, **stream(f"{category}-{name}")})
            await connection.close()

    async def end(self) -> None:
        """Leave the server as it was."""
        root = await asyncpg.connect(self._postgres.dsn("postgres", SUPERUSER))
        await root.execute(f"drop database {DATABASE} with (force)")
        for name in DECLARED:
            await root.execute(f"drop role {role_of(name)}")
        await root.close()


async def append(connection: asyncpg.Connection[asyncpg.Record], request: dict[str, Any]) -> asyncpg.Record:
    datas = ["{}" for _ in request.get("documents", ())]
    return await connection.fetchrow(
        "select * from public.append_events($1::jsonb, $2::json[])", json.dumps(request), datas
    )


def stream(name: str, *, category: str = "") -> dict[str, Any]:
    """The parts of an append that begin a stream with one event."""
    head = {
        "stream": name,
        "category": category or name.split("-", 1)[0],
        "before": 0,
        "before_hash": "",
        "version": 1,
        "hash": "00",
        "ended": False,
    }
    return {"streams": [head], "events": [event(name)]}


def event(name: str) -> dict[str, Any]:
    return {
        "stream": name,
        "version": 1,
        "id": str(uuid.uuid4()),
        "type": "noted",
        "schema_version": 1,
        "data": {},
        "meta": {},
        "prev_hash": "",
        "hash": "00",
        "recorded_at": "2026-01-01T12:00:00Z",
    }


def timer(service: str) -> dict[str, Any]:
    return {"service": service, "key": "k", "due": "2026-01-01T12:00:00Z", "kind": "k", "subject": "s"}


def document(view: str) -> dict[str, Any]:
    return {"view": view, "key": "k", "before": 0, "sort": ""}


def mark(consumer: str) -> dict[str, Any]:
    return {"consumer": consumer, "stream": "task-1", "before": 0, "version": 1}


def cursor(consumer: str) -> dict[str, Any]:
    return {"consumer": consumer, "before_xid": 0, "before_position": 0, "xid": 1, "position": 1}


def whole(name: str) -> dict[str, Any]:
    """An append of a service with everything that its declaration gives it, but without events."""
    declared = DECLARED[name]
    return {
        "service": name,
        "lease": {"name": name, "epoch": 1},
        **({"inbox": [mark(declared.consumes[0].durable)]} if declared.consumes else {}),
        **({"cursors": [cursor(declared.follows[0].name)]} if declared.follows else {}),
        **({"holds": [mark(declared.follows[0].name) | {"before": None}]} if declared.follows else {}),
        "timers": [timer(name)],
        "documents": [document(view) for view in declared.views],
        "documents_from": 1,
    }


@pytest.fixture(scope="session")
def roles() -> Iterator[Roles]:
    roles = Roles(shared_postgres())
    asyncio.run(roles.make())
    yield roles
    asyncio.run(roles.end())


@pytest.fixture
async def role(roles: Roles, service: str) -> AsyncIterator[asyncpg.Connection[asyncpg.Record]]:
    """A connection as the role of the service that the test is about; what it does is undone."""
    connection = await roles.connect(role_of(service))
    yield connection
    await connection.close()


@pytest.fixture(scope="session")
def bus() -> TestNats:
    return shared_nats(wiring.topology())
