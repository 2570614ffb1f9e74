"""Appends, one after the other, of 1, 20 and 200 events: the same rows, ready-made, into a table beside."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from statistics import median
from typing import Any

from contracts.catalogue import registry
from libs.eventstore.row import seal
from libs.eventstore.store import Append
from loadtest.bench.comparison import Figure, Spent, at_least, settle
from loadtest.bench.record import Bench, bare_rows

#: Appends of one repeat by batch size.
APPENDS = {1: 1_500, 20: 500, 200: 150}
#: Turns of each side in a repeat.
TURNS = 10
#: Writers side by side, as in a service under load.
WRITERS = 32
#: Seconds in which what follows an append by itself is over: the hint to followers.
AFTERWARDS_S = 0.1


async def measure(bench: Bench, repeats: int) -> list[Figure]:
    """Compare by batch size."""
    durable = [await bench.bare.fetchval(f"show {name}") for name in ("fsync", "synchronous_commit")]
    assert durable == ["on", "on"], "both sides wait for the disk"
    return [await _compare(bench, size, repeats) for size in APPENDS]


async def _compare(bench: Bench, size: int, repeats: int) -> Figure:
    await _warm(bench, size)
    sides, together = [], []
    for _ in range(repeats):
        bare, ours, many = (Spent(bench.pids) for _ in range(3))
        appends = bench.batches(size, APPENDS[size])
        rows = [bare_rows(seal(one, registry)) for one in appends]
        crowd = bench.batches(size, APPENDS[size])
        settle()
        for number in range(TURNS):
            ready, plain = rows[number::TURNS], appends[number::TURNS]
            for is_ours in (False, True) if number % 2 else (True, False):
                if is_ours:
                    with ours.turn(size * len(plain)):
                        await _append(bench, plain)
                    await asyncio.sleep(AFTERWARDS_S)
                else:
                    with bare.turn(size * len(ready)):
                        await _insert(bench, ready)
        with many.turn(size * len(crowd)):
            await _append_together(bench, crowd)
        await asyncio.sleep(AFTERWARDS_S)
        sides.append((bare, ours))
        together.append(many.rate)
    return at_least(f"append, {size} a batch", 0.6, sides, **{f"ours, {WRITERS} writers": median(together)})


async def _warm(bench: Bench, size: int) -> None:
    """Have every connection and statement of both sides at hand."""
    for one in bench.batches(size, 20):
        await bench.insert(bare_rows(seal(one, registry)))
    await _append_together(bench, bench.batches(size, 2 * WRITERS))
    await asyncio.sleep(AFTERWARDS_S)


async def _append(bench: Bench, appends: Sequence[Append]) -> None:
    for one in appends:
        await bench.store.append(one)


async def _insert(bench: Bench, ready: Sequence[list[tuple[Any, ...]]]) -> None:
    for rows in ready:
        await bench.insert(rows)


async def _append_together(bench: Bench, appends: Sequence[Append]) -> None:
    waiting = iter(appends)

    async def write() -> None:
        for one in waiting:
            await bench.store.append(one)

    await asyncio.gather(*(write() for _ in range(WRITERS)))
