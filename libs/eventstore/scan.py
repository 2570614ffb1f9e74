"""Reads the record through, however long it is: page after page by key, each a statement of its own.

A cursor of the server would be as fast (docs/rebuild.md has the figures), but lives in a transaction: a reader that
thinks for a second would lose it, and one that thinks for an hour would keep the server from cleaning up.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from typing import TypeAlias

import asyncpg

from contracts.message import Recorded, Registry
from libs.eventstore import codec
from libs.eventstore.store import Cursor

#: Runs a named query.
Fetch: TypeAlias = Callable[..., Awaitable[list[asyncpg.Record]]]

#: Events read at once: at first, and between these bounds later.
FIRST_PAGE, SMALLEST_PAGE, LARGEST_PAGE = 200, 10, 2_000
#: Bytes of JSON that a page should have. A single event may have six millions.
PAGE_BYTES = 4 * 2**20
#: Events among which a statement looks for those of some categories; it takes some 20 ms even where there are none.
WINDOW = 20_000
_END = Cursor(xid=2**63 - 1, position=2**63 - 1)


async def scan(
    fetch: Fetch, registry: Registry, after: Cursor, categories: Sequence[str], upto: Cursor | None
) -> AsyncIterator[Recorded]:
    """Do what `Store.scan` says."""
    limit = FIRST_PAGE
    last = upto or _END
    while after < last:
        until = await _window(fetch, after) if categories else None
        end = min(until or last, last)
        while True:
            page = await fetch(
                "scan",
                after.xid,
                after.position,
                limit,
                list(categories),
                end.xid,
                end.position,
            )
            for record in page:
                yield codec.recorded(record, registry)
            if page:
                after = Cursor(xid=page[-1]["xid"], position=page[-1]["position"])
            if len(page) < limit:
                break
            limit = _fitting(limit, sum(len(record["data"]) for record in page))
        if until is None:
            return
        after = end


async def _window(fetch: Fetch, after: Cursor) -> Cursor | None:
    """Find the place of the last event to look at; None where the rest of the record is not longer than that."""
    ahead = await fetch("place_ahead", after.xid, after.position, WINDOW)
    return Cursor(xid=ahead[0]["xid"], position=ahead[0]["position"]) if ahead else None


def _fitting(limit: int, size: int) -> int:
    """Choose how many events to read next, having seen the bytes of so many; not more than twice as many."""
    fitting = min(limit * PAGE_BYTES // max(size, 1), 2 * limit)
    return max(SMALLEST_PAGE, min(fitting, LARGEST_PAGE))
