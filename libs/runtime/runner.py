"""Runs one `Service` value over Postgres and JetStream until it is told to stop."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import time
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from typing import Protocol

import structlog
import uvicorn
from prometheus_client import REGISTRY
from prometheus_client.registry import CollectorRegistry

from libs.eventstore.outbox import Relay
from libs.eventstore.postgres import PostgresStore
from libs.eventstore.store import EventStoreError, StaleLeaseError, StoreUnavailableError
from libs.messaging.bus import Bus
from libs.messaging.jetstream import JetStreamBus
from libs.runtime import http, redrive
from libs.runtime.clock import RandomIds, SystemClock
from libs.runtime.config import Config
from libs.runtime.consumption import Consumption
from libs.runtime.following import Following
from libs.runtime.hanging import ended_when_hung
from libs.runtime.hearing import Hearing
from libs.runtime.leadership import Leadership, LeaseLostError
from libs.runtime.metrics import observe
from libs.runtime.running import NotLeaderError, Running
from libs.runtime.service import Service
from libs.runtime.timekeeping import Timekeeping

log = structlog.get_logger(__name__)

#: Seconds that open HTTP requests get at the end.
DRAIN_S = 2
#: Seconds that an idle connection is kept. Behind a proxy its end comes late, and meets a request that is on its way: so
#: whoever uses it shall be the first to give it up.
IDLE_S = 75


#: Returns what is not ready and why; empty means ready.
Ready = Callable[[], Awaitable[dict[str, str]]]


class Server(Protocol):
    """What answers over HTTP beside the work."""

    should_exit: bool

    async def serve(self) -> None:
        """Serve until `should_exit`."""
        ...


class Runner:
    """Owns what a process needs and gives it back in reverse order."""

    def __init__(
        self,
        service: Service,
        config: Config,
        *,
        monotonic: Callable[[], float] = time.monotonic,
        registry: CollectorRegistry = REGISTRY,
    ) -> None:
        self._service, self._config = service, config
        self._monotonic, self._registry = monotonic, registry
        self._stopping = asyncio.Event()
        self._leading = False
        self._subscriptions: list[Consumption | Following] = []

    async def run(self) -> int:
        """Serve until SIGTERM or SIGINT; returns the exit status. 3 means that the lease was lost."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._stopping.set)
        async with AsyncExitStack() as stack:
            await stack.enter_async_context(ended_when_hung(self._config.hung_after_s))
            store = await PostgresStore.connect(
                self._config.postgres_dsn, self._service.registry, pool_size=self._service.connections
            )
            stack.push_async_callback(store.close)
            bus = await JetStreamBus.connect(
                self._config.nats_url,
                user=self._config.nats_user,
                password=self._config.nats_password,
                registry=self._service.registry,
                service=self._service.name,
            )
            stack.push_async_callback(bus.close)
            relay = Relay(self._service.name, store, bus, holder=self._config.holder)
            running = Running(
                self._service,
                config=self._config,
                store=store,
                bus=bus,
                clock=SystemClock(),
                ids=RandomIds(),
                publish=relay.publish,
            )
            return await self.serve(running, relay, lambda ready: _Server(running, ready, self._config))

    async def serve(self, running: Running, relay: Relay, server_for: Callable[[Ready], Server]) -> int:
        """Assemble, work and serve over what is connected until told to stop; returns the exit status."""
        if self._service.assemble is not None:
            running.parts = await self._service.assemble(running)
        store, bus = running.store, running.bus
        name = self._config.holder if self._service.lease_per_replica else self._service.name
        leadership = Leadership(
            store,
            name,
            self._config.holder,
            self._monotonic,
            service=self._service.name,
            pulse=running.pulse,
        )
        running.pulse.listen(relay.heed)
        # Of a standby, too: that nobody leads is told by those that do not.
        observe(running, self._subscriptions, self._registry)
        server = server_for(lambda: self._not_ready(running, bus, leadership))
        jobs = [
            asyncio.create_task(server.serve(), name="http"),
            asyncio.create_task(relay.run(), name="relay"),
            asyncio.create_task(self._lead(running, leadership), name="lead"),
        ]
        stop = asyncio.create_task(self._stopping.wait(), name="stop")
        done, _ = await asyncio.wait([*jobs, stop], return_when=asyncio.FIRST_COMPLETED)
        status = 0
        for job in done - {stop}:
            error = job.exception()
            if isinstance(error, (LeaseLostError, StaleLeaseError, NotLeaderError)):
                log.warning("lease_lost", reason=str(error))
                status = 3
            else:
                log.error("job_ended", job=job.get_name(), error=repr(error))
                status = 1
        running.stand_down()
        if abandon := getattr(running.parts, "abandon", None):
            # First of all: work that goes on in the background must not reach the outside without the lease.
            await abandon()
        server.should_exit = True
        for job in (*jobs[1:], stop):
            job.cancel()
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(asyncio.gather(*jobs, stop, return_exceptions=True), DRAIN_S + 1)
        return status

    async def _lead(self, running: Running, leadership: Leadership) -> None:
        claim = await leadership.acquire()
        # Folded state is read after the takeover has committed, never before.
        running.lead(claim)
        rebuilder = running.rebuilder
        followings = [Following(running, follower) for follower in self._service.follows]
        if rebuilder is not None:
            await rebuilder.open(followings)
        hearing = Hearing(running)
        # Before anything is taken on: from then on nothing that concerns it is missed.
        await hearing.open()
        self._leading = True
        timekeeping = Timekeeping(running)
        consumptions = [Consumption(running, consumer) for consumer in self._service.consumes]
        self._subscriptions += [*consumptions, *followings]
        running.redrives = {following.durable: following.redrive for following in followings}
        running.letter_settled = self._letter_settled
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(leadership.hold(claim))
                group.create_task(timekeeping.run())
                group.create_task(hearing.run())
                for one in self._subscriptions:
                    group.create_task(_persistent(one))
                if rebuilder is not None:
                    group.create_task(rebuilder.run())
                for worker in self._service.workers:
                    group.create_task(worker(running))
        except BaseExceptionGroup as errors:
            raise errors.exceptions[0] from errors
        finally:
            self._leading = False

    def _letter_settled(self, durable: str) -> None:
        for one in self._subscriptions:
            # A follower's stream counts for as long as it is held back.
            if isinstance(one, Consumption) and one.durable == durable and one.buried:
                one.buried -= 1

    async def _not_ready(self, running: Running, bus: Bus, leadership: Leadership) -> dict[str, str]:
        wrong: dict[str, str] = {}
        if running.rebuilder is not None and (reason := running.rebuilder.failure):
            wrong["projection"] = f"cannot be built anew, the old one is shown: {reason}"
        try:
            await running.store.ping()
            epoch = await running.store.bus_epoch()
            if not epoch.sound:
                wrong["bus_audit"] = f"made anew from the record, epoch {epoch.epoch}: {epoch.reason}"
        except EventStoreError as error:
            wrong["record"] = str(error)
        if not bus.healthy:
            wrong["bus"] = "not connected, or a permission was refused; see the log"
        if stalled := getattr(bus, "stalled", ()):
            wrong["consumers"] = f"nothing is delivered though something waits: {stalled}"
        if buried := [one.durable for one in self._subscriptions if one.buried]:
            wrong["dead_letters"] = f"gave messages up, see `autopilot dlq list`: {', '.join(buried)}"
        if self._leading and not leadership.live:
            wrong["lease"] = "could not be renewed"
        if leadership.standby:
            # The name counts: a health check takes a standby for healthy, and a proxy sends nothing there.
            wrong["standby"] = "another process holds the lease"
        elif not self._leading:
            wrong["lease"] = "not held yet"
        return wrong


async def _persistent(one: Consumption | Following) -> None:
    while True:
        try:
            await one.run()
        except StoreUnavailableError as error:
            log.warning("record_unavailable", durable=one.durable, error=str(error))
            await asyncio.sleep(0.5)


class _Server(uvicorn.Server):
    """Uvicorn without signal handlers of its own: the runner has them."""

    def __init__(self, running: Running, ready: Ready, config: Config) -> None:
        app = http.build(running, ready)
        if running.service.consumes or running.service.follows:
            app.include_router(redrive.routes(running))
        super().__init__(
            uvicorn.Config(
                app,
                host=config.http_host,
                port=config.http_port,
                log_level="warning",
                access_log=False,
                timeout_graceful_shutdown=DRAIN_S,
                timeout_keep_alive=IDLE_S,
                lifespan="off",
            )
        )

    @contextlib.contextmanager
    def capture_signals(self):  # type: ignore[no-untyped-def]
        """Leave signals to the runner."""
        yield
