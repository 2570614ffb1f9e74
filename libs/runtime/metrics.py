"""What every service tells Prometheus about itself."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from prometheus_client import REGISTRY
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector, CollectorRegistry

from libs.runtime.consumption import Consumption
from libs.runtime.running import Running


class _Runtime(Collector):
    def __init__(self, running: Running, consumptions: Sequence[Consumption]) -> None:
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
        leading = GaugeMetricFamily("autopilot_leading", "Whether this process holds its service's lease.")
        leading.add_metric([], float(self._running.lease is not None))
        return [handled, failed, leading]


def observe(
    running: Running, consumptions: Sequence[Consumption], registry: CollectorRegistry = REGISTRY
) -> None:
    """Expose a running service's counters."""
    registry.register(_Runtime(running, consumptions))
