"""The sink that is always there: one line in the service's log."""

from __future__ import annotations

import structlog

from services.alerting.ports import Notice

log = structlog.get_logger(__name__)


class LogSink:
    """Writes an alert as a line of level error, a warning as one of level warning."""

    async def tell(self, notice: Notice) -> None:
        """Write the line; this cannot fail."""
        write = log.error if notice.severity == "critical" else log.warning
        write(
            "alert",
            alert_id=notice.alert_id,
            rule=notice.rule,
            severity=notice.severity,
            summary=notice.summary,
            task_id=notice.task_id,
            event_id=notice.event_id,
            raised_at=notice.raised_at.isoformat(),
        )
