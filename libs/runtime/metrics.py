"""What every service tells Prometheus about itself."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from prometheus_client import REGISTRY, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector, CollectorRegistry

from libs.eventstore.store import EventStoreError
from libs.runtime.consumption import Consumption
from libs.runtime.following import Following
from libs.runtime.running import Running


class _Runtime(Collector):
    def __init__(self, running: Running, consumptions: Sequence[Consumption | Following]) -> None:
        self._running, self._consumptions = running, consumptions

    def collect(self) -> Iterable[Metric]:
        handled = CounterMetricFamily(
            "autopilot_messages_handled", "Messages whose effect is committed.", labels=["durable"]
        )
        failed = CounterMetricFamily(
            "autopilot_messages_failed", "Handler calls that raised.", labels=["durable"]
        )
        for consumption in self._consumptions:
            handled.add_metric([consumption.durable], consumption.handled)
            failed.add_metric([consumption.durable], consumption.failed)
        behind = GaugeMetricFamily(
            "autopilot_follower_behind_seconds",
            "Age of the first event that a follower has not read; it waits for open transactions, too.",
            labels=["durable"],
        )
        for durable, seconds in self._running.behind.items():
            behind.add_metric([durable], seconds)
        leading = GaugeMetricFamily("autopilot_leading", "Whether this process holds its service's lease.")
        leading.add_metric([], float(self._running.lease is not None))
        return [handled, failed, behind, leading, *self._bus(), *self._rebuild(), *self._running.measured]

    def _bus(self) -> Iterable[Metric]:
        if (seen := self._running.bus_epoch) is not None:
            epoch = GaugeMetricFamily(
                "autopilot_bus_epoch", "How often the bus has been begun, as the record says."
            )
            epoch.add_metric([], seen.epoch)
            sound = GaugeMetricFamily("autopilot_bus_sound", "Whether the bus holds what it should.")
            sound.add_metric([], float(seen.sound))
            yield from (epoch, sound)

    def _rebuild(self) -> Iterable[Metric]:
        if self._running.rebuilder is not None:
            failed = GaugeMetricFamily(
                "autopilot_rebuild_failed", "Whether the read model cannot be built anew."
            )
            failed.add_metric([], float(bool(self._running.rebuilder.failure)))
            yield failed


async def exposition(running: Running) -> bytes:
    """Render everything for a scrape, in the text format, with what only the record knows."""
    store, followers = running.store, running.service.follows
    try:
        running.bus_epoch = await store.bus_epoch()
        names = [follower.durable(running.service.name) for follower in followers]
        running.behind = {name: await store.behind(name) for name in names}
        running.measured = await running.service.gauges(running) if running.service.gauges else ()
    except EventStoreError:
        running.bus_epoch, running.behind, running.measured = None, {}, ()
    return generate_latest()


def observe(
    running: Running, consumptions: Sequence[Consumption | Following], registry: CollectorRegistry = REGISTRY
) -> None:
    """Expose a running service's counters."""
    registry.register(_Runtime(running, consumptions))
