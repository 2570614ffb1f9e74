"""A page costs what is in it, however long the stream or the record around it."""

from __future__ import annotations

from typing import Any

import asyncpg
import msgspec

from libs.eventstore import scan
from libs.eventstore.postgres import PostgresStore
from libs.eventstore.sql import queries
from libs.eventstore.store import Cursor
from libs.testing.samples import Aside, Noted, behind, first, fresh, head_of, plain


async def touched(dsn: str, name: str, *arguments: object) -> int:
    """Count the rows that a named query looks at, planned for any arguments as a prepared statement is."""
    connection = await asyncpg.connect(dsn)
    try:
        await connection.execute("set plan_cache_mode = force_generic_plan")
        explained = await connection.fetchval(
            f"explain (analyze, timing off, format json) {queries[name]}", *arguments
        )
    finally:
        await connection.close()

    def rows(plan: dict[str, Any]) -> int:
        own = plan["Actual Rows"] + plan.get("Rows Removed by Filter", 0)
        return int(max([own, *map(rows, plan.get("Plans", ()))]))

    return rows(msgspec.json.decode(explained)[0]["Plan"])


async def test_a_page_of_a_long_stream_does_not_cost_the_rest_of_it(store: PostgresStore, dsn: str) -> None:
    key = fresh()
    for _ in range(4):
        head = await head_of(store, f"case-{key}")
        await store.append(plain(behind(head, *(Noted(case_id=key) for _ in range(250)))))
    connection = await asyncpg.connect(dsn)
    await connection.execute("analyze")
    await connection.close()
    assert await touched(dsn, "read_stream", f"case-{key}", 100, [], 120) == 20
    assert await touched(dsn, "read_stream", f"case-{key}", 990, [], 0) == 10


async def test_a_scan_grows_its_pages_and_looks_for_what_is_rare_in_windows(
    store: PostgresStore, monkeypatch: Any
) -> None:
    monkeypatch.setattr(scan, "FIRST_PAGE", 2)
    monkeypatch.setattr(scan, "SMALLEST_PAGE", 1)
    monkeypatch.setattr(scan, "LARGEST_PAGE", 8)
    monkeypatch.setattr(scan, "WINDOW", 10)
    asked: list[tuple[str, int]] = []
    fetch = store._fetch

    async def asking(name: str, *arguments: Any) -> Any:
        rows = await fetch(name, *arguments)
        if name != "announce":
            asked.append((name, len(rows)))
        return rows

    monkeypatch.setattr(store, "_fetch", asking)
    key = fresh()
    await store.append(plain(first(*(Noted(case_id=key) for _ in range(30)))))
    await store.append(plain(first(Aside(case_id=key))))
    asked.clear()
    assert len([event async for event in store.scan(Cursor())]) == 31
    assert [rows for _, rows in asked] == [2, 4, 8, 8, 8, 1]
    asked.clear()
    assert len([event async for event in store.scan(Cursor(), categories=["side"])]) == 1
    assert asked == [
        ("place_ahead", 1),
        ("scan", 0),
        ("place_ahead", 1),
        ("scan", 0),
        ("place_ahead", 0),
        ("scan", 1),
    ]


async def test_pages_of_large_events_are_small(store: PostgresStore, monkeypatch: Any) -> None:
    monkeypatch.setattr(scan, "FIRST_PAGE", 4)
    monkeypatch.setattr(scan, "SMALLEST_PAGE", 1)
    monkeypatch.setattr(scan, "PAGE_BYTES", 5_000)
    asked: list[int] = []
    fetch = store._fetch

    async def asking(name: str, *arguments: Any) -> Any:
        rows = await fetch(name, *arguments)
        if name == "scan":
            asked.append(len(rows))
        return rows

    monkeypatch.setattr(store, "_fetch", asking)
    key = fresh()
    await store.append(plain(first(*(Noted(case_id=key, text="x" * 2_000) for _ in range(12)))))
    asked.clear()
    assert len([event async for event in store.scan(Cursor())]) == 12
    assert max(asked[1:]) <= 2
