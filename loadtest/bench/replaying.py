"""Reading the whole record: ours decoded and folded into its aggregates, beside a bare cursor of the server."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import psutil

from libs.eventstore.store import Cursor
from loadtest.bench.comparison import Figure, Spent, at_least, at_most, settle
from loadtest.bench.record import COLUMNS, Bench
from services.stage_runner.domain import run

EVENTS = 1_000_000
#: Turns of each side in a repeat: each reads this part of the record.
TURNS = 10
#: Rows that the bare cursor takes at once.
PREFETCH = 5_000
#: Aggregates that are kept; the oldest are forgotten, or memory would have to grow with the record.
KEPT = 5_000

#: Fills the record with streams of 25 events; only reading is measured, so the hashes need not be true.
_FILL = f"""
insert into events ({COLUMNS})
select
    pg_current_xact_id()::text::bigint, 'run-f' || n / 25, 'run', n % 25 + 1, gen_random_uuid(), 'stage_resumed', 1,
    jsonb_build_object(
        'type', 'stage_resumed', 'run_id', 'f' || n / 25, 'task_id', 't' || n / 25, 'stage', 'verify', 'attempt', 1,
        'replica', 'stage-runner-1', 'epoch', 7, 'reason', 'the lease lapsed ' || repeat('x', 140)
    ),
    jsonb_build_object('service', 'stage-runner', 'correlation_id', 't' || n / 25, 'lease', 'stage-runner-1:1'),
    decode(repeat('ab', 32), 'hex'), decode(repeat('cd', 32), 'hex'), clock_timestamp()
from generate_series($1::bigint, $2::bigint - 1) as n
"""  # noqa: S608
_BARE = f"""
select position, {COLUMNS} from events where (xid, position) > ($1, $2) and (xid, position) <= ($3, $4)
order by xid, position
"""  # noqa: S608


async def measure(bench: Bench, repeats: int) -> list[Figure]:
    """Compare rates, and our memory at the end of each part with that after the first."""
    found = await bench.bare.fetchval("select count(*) from events")
    if found < EVENTS:
        await bench.bare.execute(_FILL, found, EVENTS, timeout=600)
    await bench.bare.execute("vacuum (analyze) events")
    parts = await _parts(bench)
    sides, memory = [], []
    for _ in range(repeats):
        bare, ours = Spent(bench.pids), Spent(bench.pids)
        states: dict[str, Any] = {}
        resident: list[float] = []
        settle()
        for number, (after, upto) in enumerate(parts):
            for is_ours in (False, True) if number % 2 else (True, False):
                if is_ours:
                    with ours.turn(EVENTS // TURNS):
                        await _fold(bench, after, upto, states)
                    resident.append(_resident_mib())
                else:
                    with bare.turn(EVENTS // TURNS):
                        await _scan(bench, after, upto)
        sides.append((bare, ours))
        memory.append((resident[0], max(resident)))
    return [
        at_least(f"replay of {EVENTS:,} events", 0.5, sides),
        at_most("replay, memory after a tenth and at most", "MiB", 1.1, memory),
    ]


async def _parts(bench: Bench) -> Sequence[tuple[Cursor, Cursor]]:
    """Divide the record into parts of equal length."""
    query = "select xid, position from events order by xid, position offset $1 limit 1"
    ends = [
        Cursor(**dict(await bench.bare.fetchrow(query, (EVENTS // TURNS) * number - 1) or {}))
        for number in range(1, TURNS + 1)
    ]
    return list(zip([Cursor(), *ends], ends, strict=False))


async def _scan(bench: Bench, after: Cursor, upto: Cursor) -> None:
    seen = 0
    async with bench.bare.transaction():
        places = (after.xid, after.position, upto.xid, upto.position)
        async for _ in bench.bare.cursor(_BARE, *places, prefetch=PREFETCH):
            seen += 1
    assert seen == EVENTS // TURNS


async def _fold(bench: Bench, after: Cursor, upto: Cursor, states: dict[str, Any]) -> None:
    seen = 0
    async for one in bench.store.scan(after, upto=upto):
        states[one.stream] = run.evolve(states.get(one.stream, run.initial), one.event)
        if len(states) > KEPT:
            del states[next(iter(states))]
        seen += 1
    assert seen == EVENTS // TURNS


def _resident_mib() -> float:
    return float(psutil.Process().memory_info().rss) / 2**20
