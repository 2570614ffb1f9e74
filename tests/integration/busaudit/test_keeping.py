"""The auditor as the supervisor runs it: through outages of both sides, until it is cancelled."""

from __future__ import annotations

import asyncio
import time

from libs.busaudit.keeping import keep_audited
from libs.messaging.admin import rebuild_events
from libs.messaging.topology import ADMIN
from libs.testing.nats import PASSWORD
from libs.testing.samples import registry
from tests.integration.busaudit.house import TOPOLOGY, House


async def test_it_audits_through_outages_and_gives_its_lease_back(house: House) -> None:
    await house.write(4, 5)
    await house.handled()
    nats = house.nats

    async def rebuild(first_sequence: int) -> None:
        await rebuild_events(nats.url, ADMIN, PASSWORD, TOPOLOGY, first_sequence)

    (held,) = [lease for lease in await house.store.leases() if lease.name == "bus-auditor"]
    await house.store.release(held.name, held.epoch)
    auditing = asyncio.create_task(
        keep_audited(
            dsn=house.owner_dsn,
            url=nats.url,
            password=PASSWORD,
            topology=TOPOLOGY,
            registry=registry,
            rebuild=rebuild,
        )
    )
    house.server.kill()
    house.server.wipe()
    await house.write(2, 2, prefix="meanwhile")
    await nats.start()
    began = time.monotonic()
    while (found := await house.store.bus_epoch()).epoch < 2 or not found.sound:
        assert time.monotonic() - began < 60, found
        await asyncio.sleep(0.05)
    while any(len(effects) < len(house.written) for effects in house.effects.values()):
        assert time.monotonic() - began < 60, found
        await asyncio.sleep(0.05)
    house.once()
    auditing.cancel()
    await asyncio.wait({auditing})
    assert auditing.cancelled()
    # Free at once: a successor need not wait until it lapses.
    assert await house.record.lead() is not None
