"""What the database refuses to each service: everything that its declaration does not give it."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import asyncpg
import pytest

from autopilot.stack.config import SERVICE_ROLE, role_of
from contracts.catalogue import UNIONS
from libs.eventstore.sql import queries
from libs.testing.postgres import OWNER
from tests.integration.privileges.conftest import (
    DECLARED,
    Roles,
    append,
    cursor,
    document,
    event,
    mark,
    stream,
    timer,
    whole,
)

Role = asyncpg.Connection
refused = pytest.raises(asyncpg.InsufficientPrivilegeError)

pytestmark = pytest.mark.parametrize("service", DECLARED)

#: What a role may do with each table, by any statement of its own; on rows that are its own, where there are policies.
GRANTED = {
    "events": {"SELECT"},
    "streams": {"SELECT"},
    "inbox": {"SELECT"},
    "follower": {"SELECT"},
    "held_back": {"SELECT"},
    "outbox": {"SELECT", "DELETE"},
    "timer": {"SELECT"},
    "lease": {"SELECT", "INSERT", "UPDATE"},
    "view_document": {"SELECT"},
    "projection": {"SELECT"},
    "snapshot": {"SELECT", "INSERT", "UPDATE", "DELETE"},
    "bus_epoch": {"SELECT"},
    "rebuild_failure": {"SELECT", "INSERT", "UPDATE"},
    "rights": {"SELECT"},
    "bus_audit": set(),
    "checkpoint": set(),
    "schema_file": set(),
}

#: Functions that act for more than whoever calls them.
DEFINERS = ("append_events", "discard_documents", "register_projection", "switch_projection")


BEYOND = [
    "insert into events (xid, stream, category, version, id, type, schema_version, data, meta, prev_hash, hash,"
    " recorded_at) values (1, 'task-9', 'task', 1, gen_random_uuid(), 'a', 1, '{}', '{}', '', '', now())",
    "update events set version = version",
    "delete from events",
    "truncate events",
    "select * from events for update",
    "lock table events in share mode",
    "update streams set version = version",
    "insert into inbox values ('gate-judge-subject', 's', 1)",
    "insert into outbox values (1, 'gate', 's', 1, now())",
    "delete from timer",
    "update view_document set version = version",
    "delete from lease",
    "update rights set owned = owned",
    "select compile_rights()",
    "select * from schema_file",
    "create table mine ()",
    "create temp table streams ()",
    "create schema mine",
    "create function own_rights() returns jsonb language sql return null",
    "alter table events disable trigger all",
    "alter table inbox disable row level security",
    "alter function own_rights() owner to current_user",
    "drop policy own on inbox",
    "drop trigger events_unchangeable on events",
    "drop table inbox",
    "grant select on schema_file to public",
    "set session_replication_role = replica",
    f"set role {OWNER}",
    f"set session authorization {OWNER}",
    "create role mine",
    f"grant {OWNER} to current_user",
    "copy events to program 'true'",
    "select pg_read_file('PG_VERSION')",
]


@asynccontextmanager
async def undone(connection: Role) -> AsyncIterator[None]:
    transaction = connection.transaction()
    await transaction.start()
    try:
        yield
    finally:
        await transaction.rollback()


def others(service: str) -> list[str]:
    return [name for name in DECLARED if name != service]


async def test_it_appends_what_it_declares(role: Role, service: str) -> None:
    async with undone(role):
        for category in DECLARED[service].publishes:
            assert (await append(role, {"service": service, **stream(f"{category}-new")}))["refusal"] is None
        for consumer in DECLARED[service].consumes:
            moved = {"inbox": [mark(consumer.durable) | {"stream": "task-new"}]}
            assert (await append(role, {"service": service, **moved}))["refusal"] is None
        for follower in DECLARED[service].follows:
            hold = mark(follower.name) | {"stream": "task-new", "before": None}
            moved = {
                "cursors": [cursor(follower.name) | {"before_xid": 1, "before_position": 1}],
                "holds": [hold],
            }
            assert (await append(role, {"service": service, **moved}))["refusal"] is None


async def test_it_appends_to_no_stream_of_another(role: Role, service: str) -> None:
    foreign = sorted({*UNIONS, "unheard"} - set(DECLARED[service].publishes))
    for category in foreign:
        with refused:
            await append(role, {"service": service, **stream(f"{category}-new")})
        for own in DECLARED[service].publishes:
            with pytest.raises(asyncpg.CheckViolationError):
                await append(role, {"service": service, **stream(f"{category}-new", category=own)})
            both = stream(f"{own}-new")
            with refused:
                await append(
                    role, {"service": service, **both, "events": [*both["events"], event(f"{category}-new")]}
                )
            with refused:
                await append(
                    role,
                    {"service": service, "streams": both["streams"] + stream(f"{category}-new")["streams"]},
                )
        with refused:
            await append(role, {"service": service, "events": [event(f"{category}-new")]})
    assert await role.fetchval("select count(*) from events where stream like '%-new'") == 0


async def test_it_changes_the_head_of_no_stream_of_another(role: Role, service: str) -> None:
    for other in others(service):
        for category in DECLARED[other].publishes:
            head = stream(f"{category}-{other}")["streams"][0]
            moved = {**head, "before": 1, "before_hash": "00", "version": 2, "ended": True}
            with refused:
                await append(role, {"service": service, "streams": [moved]})
            # Said to be one of its own.
            for own in DECLARED[service].publishes:
                lie = {"service": service, "streams": [{**moved, "category": own}]}
                assert (await append(role, lie))["refusal"] == "conflict"


async def test_no_part_of_its_appends_touches_what_another_owns(role: Role, service: str) -> None:
    mine = whole(service)
    for other in others(service):
        foreign: dict[str, Any] = {
            "service": other,
            "lease": whole(other)["lease"],
            **{part: whole(other)[part] for part in ("inbox", "cursors", "holds") if part in whole(other)},
            "timers": [timer(other)],
            "clear_timers": [{"service": other, "key": "k"}],
            "documents": [document(view) for view in DECLARED[other].views or ("unheard",)],
        }
        for part, value in foreign.items():
            with refused:
                await append(role, {**mine, part: value})
            if isinstance(value, list):
                with refused:
                    await append(role, {**mine, part: [*mine.get(part, ()), *value]})


async def test_what_is_left_out_of_an_append_is_not_taken_for_its_own(role: Role, service: str) -> None:
    incomplete: list[dict[str, Any]] = [
        {},
        {"service": None},
        {"service": service, "inbox": {}},
        {"service": service, "cursors": [{}]},
        {"service": service, "holds": [{}]},
        {"service": service, "inbox": [{}]},
        {"service": service, "lease": {}},
        {"service": service, "streams": [{}], "events": [{}]},
        {"service": service, "timers": [{}]},
        {"service": service, "documents": [{}]},
        {"service": service, "streams": [[stream("task-1")["streams"][0]]]},
    ]
    for request in incomplete:
        try:
            refusal = (await append(role, request))["refusal"]
        except asyncpg.PostgresError:
            continue
        assert refusal in ("conflict", "duplicate", "stale_lease"), request


async def test_the_tables_are_granted_as_written_here(role: Role, service: str) -> None:
    rows = await role.fetch(
        """
        select relname, privilege, has_any_column_privilege(c.oid, privilege) as columns
        from pg_class c, unnest(array['SELECT', 'INSERT', 'UPDATE', 'REFERENCES']) as privilege
        where relnamespace = 'public'::regnamespace and relkind in ('r', 'v', 'm', 'p', 'f')
        union all
        select relname, privilege, has_table_privilege(c.oid, privilege)
        from pg_class c, unnest(array['DELETE', 'TRUNCATE', 'TRIGGER']) as privilege
        where relnamespace = 'public'::regnamespace and relkind in ('r', 'v', 'm', 'p', 'f')
        """
    )
    found: dict[str, set[str]] = {row["relname"]: set() for row in rows}
    for row in rows:
        if row["columns"]:
            found[row["relname"]].add(row["privilege"])
    assert found == GRANTED


async def test_few_functions_act_for_more_than_their_caller(role: Role, service: str) -> None:
    rows = await role.fetch(
        "select proname, has_function_privilege(oid, 'execute') as mine, proconfig from pg_proc"
        " where prosecdef and pronamespace = 'public'::regnamespace order by proname"
    )
    assert [(row["proname"], row["mine"], row["proconfig"][0]) for row in rows] == [
        (name, True, "search_path=public, pg_temp") for name in DEFINERS
    ]


async def test_views_of_others_are_neither_registered_nor_switched_nor_removed(
    role: Role, service: str
) -> None:
    foreign = [view for other in others(service) for view in DECLARED[other].views] or ["unheard"]
    for view in foreign:
        request = json.dumps({"name": service, "views": [*DECLARED[service].views, view]})
        for statement in ("register_projection", "switch_projection"):
            with refused:
                await role.execute(f"select {statement}($1::jsonb)", request)
        with refused:
            await role.execute("select discard_documents($1, 7, 10)", [view])


async def test_a_snapshot_of_another_s_stream_does_not_exist_for_it(
    roles: Roles, role: Role, service: str
) -> None:
    foreign = next(category for other in others(service) for category in DECLARED[other].publishes)
    row = "insert into snapshot values ($1, 'f', 1, 'h', '{}', 'd')"
    with refused:
        await role.execute(row, f"{foreign}-1")
    async with undone(role):
        for category in DECLARED[service].publishes:
            await role.execute(row, f"{category}-1")


async def test_statements_beyond_its_rights_are_refused(role: Role, service: str) -> None:
    carried_out = []
    for statement in BEYOND:
        async with undone(role):
            try:
                await role.execute(statement)
            except asyncpg.InsufficientPrivilegeError:
                continue
            carried_out.append(statement)
    assert carried_out == []


async def test_rows_of_others_do_not_exist_for_it(roles: Roles, role: Role, service: str) -> None:
    declared = DECLARED[service]
    own = {
        ("outbox", "service"): {service},
        ("timer", "service"): {service},
        ("inbox", "consumer"): {consumer.durable for consumer in declared.consumes},
        ("follower", "consumer"): {follower.name for follower in declared.follows},
        ("held_back", "consumer"): {follower.name for follower in declared.follows},
        ("view_document", "view"): set(declared.views),
        ("lease", "name"): {service},
    }
    owner = await roles.connect(OWNER)
    for (table, column), names in own.items():
        query = f"select distinct {column} as name from {table}"
        everybodys = {row["name"] for row in await owner.fetch(query)}
        assert {row["name"] for row in await role.fetch(query)} == everybodys & names
        assert everybodys - names or table == "view_document"
    await owner.close()


async def test_it_forgets_no_outbox_row_of_another(roles: Roles, role: Role, service: str) -> None:
    owner = await roles.connect(OWNER)
    count = "select count(*) from outbox where service <> $1"
    before = await owner.fetchval(count, service)
    async with owner.transaction():
        positions = [row["position"] for row in await owner.fetch("select position from outbox")]
    async with undone(role):
        await role.execute("select forget_published($1)", positions)
        await role.execute("delete from outbox")
        assert await role.fetchval("select count(*) from outbox") == 0
    assert before == await owner.fetchval(count, service) > 0
    await owner.close()


async def test_it_takes_renews_and_releases_no_lease_of_another(role: Role, service: str) -> None:
    for name in (name for other in others(service) for name in (other, f"relay-{other}")):
        with refused:
            await role.fetch(queries["acquire"], name, "thief", 60.0, True)
        assert await role.fetch(queries["renew"], name, 1, 60.0) == []
        assert await role.execute(queries["release"], name, 1) == "UPDATE 0"
    async with undone(role):
        await role.fetch(queries["acquire"], f"relay-{service}", "me", 60.0, True)


async def test_only_a_service_with_replicas_holds_leases_named_after_a_machine(
    role: Role, service: str
) -> None:
    async with undone(role):
        if DECLARED[service].lease_per_replica:
            (row,) = await role.fetch(queries["acquire"], "3f2a9c", "3f2a9c", 60.0, False)
            claim = {"name": "3f2a9c", "epoch": row["epoch"]}
            assert (await append(role, {"service": service, "lease": claim}))["refusal"] is None
        else:
            with refused:
                await role.fetch(queries["acquire"], "3f2a9c", "3f2a9c", 60.0, False)


async def test_a_search_path_of_its_own_leads_the_append_nowhere(role: Role, service: str) -> None:
    await role.execute("set search_path = pg_temp, information_schema")
    request = {"service": service, "timers": [timer(service)]}
    async with undone(role):
        assert (await append(role, request))["refusal"] is None


async def test_it_says_nothing_about_the_read_model_of_another(
    roles: Roles, role: Role, service: str
) -> None:
    insert = "insert into rebuild_failure (projection, reason) values ($1, 'of no use')"
    for other in others(service):
        with refused:
            await role.execute(insert, other)
    owner = await roles.connect(OWNER)
    await owner.execute(insert, others(service)[0])
    assert await role.execute("update rebuild_failure set ended = now()") == "UPDATE 0"
    # Read by all: alerting tells of it.
    assert await role.fetchval("select count(*) from rebuild_failure") == 1
    await owner.execute("delete from rebuild_failure")
    await owner.close()
    async with undone(role):
        await role.execute(insert, service)


async def test_it_may_not_end_the_work_of_another(roles: Roles, role: Role, service: str) -> None:
    other = await roles.connect(role_of(others(service)[0]))
    with refused:
        await role.fetchval("select pg_terminate_backend($1)", other.get_server_pid())
    await other.close()


async def test_nobody_logs_in_as_the_group(roles: Roles, role: Role, service: str) -> None:
    with refused:
        await roles.connect(SERVICE_ROLE)
