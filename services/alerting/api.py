"""`GET /v1/alerts`: what was raised, who has been told, what is resolved; and a count. Read from the record itself."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Sequence
from datetime import datetime
from typing import Annotated

import msgspec
from fastapi import APIRouter, Depends, Query, Response
from prometheus_client.core import GaugeMetricFamily, Metric

from contracts.alert import AlertDelivered, AlertDeliveryFailed, AlertRaised, AlertResolved, Severity
from contracts.message import Recorded, key_of
from libs.runtime.http import bearer, json_response
from libs.runtime.running import Running

#: Alerts in one answer at most; each is a read of its own stream.
MOST = 200
#: Streams read at once.
READERS = 8


class SinkView(msgspec.Struct, kw_only=True):
    """What became of an alert at one sink."""

    sink: str
    delivered: bool = False
    attempts: int = 0
    #: Why the last attempt failed; empty if none has, or it was taken since.
    reason: str = ""


class AlertView(msgspec.Struct, kw_only=True):
    """One alert, for people and the CLI."""

    alert_id: str
    rule: str
    severity: Severity
    summary: str
    task_id: str
    event_id: str
    raised_at: datetime
    sinks: list[SinkView]
    resolved_at: datetime | None = None
    resolved_because: str = ""


def view(events: list[Recorded]) -> AlertView | None:
    """Fold one alert's events; None where it was never raised."""
    shown: AlertView | None = None
    for recorded in events:
        event = recorded.event
        if isinstance(event, AlertRaised):
            shown = AlertView(
                alert_id=event.alert_id,
                rule=event.rule,
                severity=event.severity,
                summary=event.summary,
                task_id=event.task_id,
                event_id=event.event_id,
                raised_at=recorded.recorded_at,
                sinks=[SinkView(sink=sink) for sink in event.sinks],
            )
        elif shown is not None:
            _fold(shown, recorded)
    return shown


def _fold(shown: AlertView, recorded: Recorded) -> None:
    match recorded.event:
        case AlertResolved(reason=reason):
            shown.resolved_at, shown.resolved_because = recorded.recorded_at, reason
        case AlertDelivered(sink=name, attempts=attempts):
            for sink in shown.sinks:
                if sink.sink == name:
                    sink.delivered, sink.attempts, sink.reason = True, attempts, ""
        case AlertDeliveryFailed(sink=name, attempts=attempts, reason=reason):
            for sink in shown.sinks:
                if sink.sink == name:
                    sink.attempts, sink.reason = attempts, reason
        case _:
            pass


async def open_alerts(running: Running) -> Sequence[Metric]:
    """Count the alerts that are not resolved, by rule. Raises StoreUnavailableError."""
    counts: Counter[str] = Counter()
    after = ""
    while heads := await running.store.heads("alert", open_only=True, after=after):
        after = heads[-1].stream
        counts.update(key_of(head.stream).rpartition("-")[0] for head in heads)
    family = GaugeMetricFamily("autopilot_alerts_open", "Alerts that are not resolved.", labels=["rule"])
    for rule, count in sorted(counts.items()):
        family.add_metric([rule], count)
    return [family]


def routes(running: Running) -> APIRouter:
    """Build alerting's routes."""
    router = APIRouter(dependencies=[Depends(bearer(running.config.api_token))])

    @router.get("/v1/alerts")
    async def alerts(
        limit: Annotated[int, Query(ge=1, le=MOST)] = 50,
        after: Annotated[str, Query(max_length=120, description="alert_id of the last one seen")] = "",
    ) -> Response:
        """List alerts, the last raised first."""
        heads = await running.store.heads("alert", limit=limit, after=f"alert-{after}" if after else "")
        reading = asyncio.Semaphore(READERS)

        async def read(stream: str) -> AlertView | None:
            async with reading:
                return view(await running.store.read_stream(stream))

        shown = await asyncio.gather(*(read(head.stream) for head in heads))
        return json_response({"alerts": [alert for alert in shown if alert is not None]})

    return router
