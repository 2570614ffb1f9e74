"""What the scheduler tells Prometheus besides what every service does: tokens of the real ledger."""

from __future__ import annotations

from collections.abc import Sequence

from prometheus_client.core import GaugeMetricFamily, Metric

from libs.runtime.running import NotLeaderError, Running
from services.scheduler.api.budget import shown


async def token_gauges(running: Running) -> Sequence[Metric]:
    """Measure reserved, spent and allowed tokens of the hour, in all and by provider; nothing where another leads."""
    try:
        view = await running.perform(lambda work: shown(work, "main"))
    except NotLeaderError:
        return ()
    reserved = GaugeMetricFamily(
        "autopilot_tokens_reserved", "Granted to attempts that are under way.", labels=["account"]
    )
    spent = GaugeMetricFamily(
        "autopilot_tokens_spent", "Spent within the hour by attempts that have ended.", labels=["account"]
    )
    ceiling = GaugeMetricFamily(
        "autopilot_tokens_ceiling", "Reserved and spent tokens that an hour may hold.", labels=["account"]
    )
    for one in view.accounts:
        reserved.add_metric([one.scope], one.reserved)
        spent.add_metric([one.scope], one.spent)
        if one.ceiling is not None:
            ceiling.add_metric([one.scope], one.ceiling)
    return reserved, spent, ceiling
