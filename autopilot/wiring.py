"""Names the seven services, and gives the stack what it does not know itself: schema, topology, bus users."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path

from autopilot.stack.config import SERVICE_ROLE, SERVICES, module_of, role_of
from autopilot.stack.nats import NatsUser
from autopilot.stack.stack import Hooks
from contracts.catalogue import registry
from libs.busaudit.keeping import keep_audited
from libs.eventstore import migrate as migrations
from libs.eventstore import rights as database
from libs.messaging import admin
from libs.messaging.topology import ADMIN, AUDITOR, Topology, derive
from libs.runtime.service import Service


def services() -> tuple[Service, ...]:
    """Import the services' values."""
    return tuple(importlib.import_module(module_of(name)).service for name in SERVICES)


@cache
def topology() -> Topology:
    """Derive the bus's topology from the services' declarations."""
    return derive([service.declaration for service in services()])


def nats_users(passwords: Mapping[str, str]) -> list[NatsUser]:
    """Give every user of the topology its password."""
    return [
        NatsUser(
            name=user.name,
            password=passwords[user.name],
            publish=user.publish,
            subscribe=user.subscribe,
            apart=user.apart,
        )
        for user in topology().users
    ]


@cache
def rights() -> tuple[database.Rights, ...]:
    """Derive what each service's role may touch in the database from the services' declarations."""
    return database.derive([service.declaration for service in services()], role_of)


async def migrate(dsn_owner: str) -> None:
    """Prepare the schema for this release."""
    await migrations.migrate(dsn_owner, SERVICE_ROLE, rights())


async def ensure_topology(url: str, user: str, password: str) -> None:
    """Make missing streams and consumers."""
    await admin.ensure_topology(url, user, password, topology())


async def audit_bus(dsn_owner: str, url: str, passwords: Mapping[str, str]) -> None:
    """Compare the bus with the record until cancelled, and make it anew where they differ."""

    async def rebuild(first_sequence: int) -> None:
        await admin.rebuild_events(url, ADMIN, passwords[ADMIN], topology(), first_sequence)

    await keep_audited(
        dsn=dsn_owner,
        url=url,
        password=passwords[AUDITOR],
        topology=topology(),
        registry=registry,
        rebuild=rebuild,
    )


async def seal(dsn_owner: str, key: str, data_dir: Path, tell: Callable[[str | None], None]) -> None:
    """Sign checkpoints over the record until cancelled."""
    # Here, because most of what imports this has nothing to sign and need not wait for OpenSSL.
    from libs.journal.sealer import keep_sealing
    from libs.journal.signing import SigningKey

    await keep_sealing(dsn_owner, SigningKey(key), data_dir, tell)


def hooks() -> Hooks:
    """Return what the stack is given."""
    return Hooks(
        migrate=migrate,
        finish_migration=migrations.finish,
        ensure_topology=ensure_topology,
        nats_users=nats_users,
        audit_bus=audit_bus,
        seal=seal,
    )
