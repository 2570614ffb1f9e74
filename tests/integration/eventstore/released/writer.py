"""Appends without a pause until told to stop, then prints how many appends became true. Run with the released code."""

from __future__ import annotations

import asyncio
import sys

from libs.eventstore.postgres import PostgresStore
from libs.eventstore.store import Append, InboxMark, LeaseClaim, Timer
from libs.testing.appendcase import NOON
from libs.testing.samples import Noted, first, fresh, registry


async def write(dsn: str) -> None:
    store = await PostgresStore.connect(dsn, registry)
    stop = asyncio.get_running_loop().run_in_executor(None, sys.stdin.readline)
    lease = await store.acquire("tester", "writer", 600.0)
    assert lease is not None
    written = 0
    while not stop.done():
        key = fresh()
        mark = InboxMark(consumer="writer", stream=key, before=0, version=1)
        timer = Timer(service="tester", key=key, due=NOON, kind="k", subject="s")
        recorded = await store.append(
            Append(
                service="tester",
                streams=(first(Noted(case_id=key)),),
                inbox=mark,
                timers=(timer,),
                lease=LeaseClaim(name="tester", epoch=lease.epoch),
            )
        )
        written += len(recorded)
        assert await store.handled("writer", key) == 1
        assert await store.renew("tester", lease.epoch, 600.0)
        await store.published(
            [event.position for event in await store.pending_outbox("tester", older_than_s=0)]
        )
        if written == 1:
            print("writing", flush=True)
    print(written, flush=True)
    await store.close()


asyncio.run(write(sys.argv[1]))
