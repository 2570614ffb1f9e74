"""Alerts, and who has been told."""

from __future__ import annotations

from typing import assert_never

import msgspec

from contracts.alert import AlertDelivered, AlertDeliveryFailed, AlertEvent, AlertRaised, AlertResolved
from contracts.message import Recorded
from services.dashboard.projections.documents import REASON_LIMIT, AlertDocument, SinkState
from services.dashboard.projections.narrative import clip


def fold_alert(document: AlertDocument | None, recorded: Recorded, event: AlertEvent) -> AlertDocument:
    """Fold an event of an alert's stream."""
    replace, at = msgspec.structs.replace, recorded.recorded_at
    before = replace(
        document or AlertDocument(id=event.alert_id),
        position=recorded.position,
        synthetic=recorded.meta.synthetic or bool(document and document.synthetic),
    )
    match event:
        case AlertRaised():
            return replace(
                before,
                rule=event.rule,
                severity=event.severity,
                summary=clip(event.summary, REASON_LIMIT),
                task_id=event.task_id,
                event_id=event.event_id,
                raised_at=at,
                resolved_at=None,
                resolution="",
                sinks={sink: SinkState() for sink in event.sinks},
            )
        case AlertDelivered(sink=sink, attempts=attempts):
            return _told(before, sink, SinkState(delivered_at=at, attempts=attempts))
        case AlertDeliveryFailed(sink=sink, attempts=attempts, reason=reason):
            return _told(before, sink, SinkState(attempts=attempts, reason=clip(reason)))
        case AlertResolved(reason=reason):
            return replace(before, resolved_at=at, resolution=clip(reason, REASON_LIMIT))
        case _:
            assert_never(event)


def _told(document: AlertDocument, sink: str, state: SinkState) -> AlertDocument:
    return msgspec.structs.replace(document, sinks={**document.sinks, sink: state})


def alert_sort(document: AlertDocument) -> str:
    """Order alerts by the time they were raised."""
    return (
        f"{document.raised_at.isoformat(timespec='microseconds') if document.raised_at else ''}|{document.id}"
    )
