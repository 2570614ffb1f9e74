"""A bus that says nothing for a while, and moments in which something is committed and not published."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from functools import partial

import asyncpg

from loadtest.chaos.arena import LOOK_S, Arena, ChaosError, until

#: How often and for how many seconds the bus is held until something waits for it, and seconds in between.
HOLDS, HOLD_S, APART_S = 10, 2.0, 3.0


@contextlib.contextmanager
def held(arena: Arena) -> Iterator[None]:
    """Hold the bus for as long as the context lasts: nothing that is said over it arrives before."""
    arena.nats.turn("held")
    try:
        yield
    finally:
        arena.nats.turn("fair")


def hold_the_bus_until_something_waits(arena: Arena, part: str) -> list[asyncpg.Record]:
    """Hold the bus while runs are under way, until one has news unheard; return its events: position, stream, task."""
    running = "select from streams where category = 'run' and not ended"
    waiting = (
        "select position, e.stream, e.meta ->> 'correlation_id' as task from outbox o join events e using (position)"
        " where o.service = $1 and e.recorded_at > to_timestamp($2) order by position"
    )
    for _ in range(HOLDS):
        until(lambda: len(arena.ask(running)) >= 3 or None, "three runs are under way")
        arena.nats.turn("held")
        held_at = time.time() + LOOK_S
        with contextlib.suppress(ChaosError):
            return until(partial(found, arena, waiting, part, held_at), "something waits", HOLD_S)
        # All of them had ended by then, and a held bus brings no new ones.
        arena.nats.turn("fair")
        time.sleep(APART_S)
    raise ChaosError(f"{part} had nothing to publish while the bus was held, {HOLDS} times")


def found(arena: Arena, query: str, *args: object) -> list[asyncpg.Record] | None:
    return arena.ask(query, *args) or None
