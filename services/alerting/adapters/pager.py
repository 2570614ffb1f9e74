"""The sink that wakes somebody: the Events API v2 of PagerDuty, which others speak, too.

One page for one alert: what is told again under the same `dedup_key` is the same incident there, as long as that is open.
So a page whose outcome is unknown is simply told again; there is nothing to look up first.
"""

from __future__ import annotations

import msgspec

from libs.resilience.breaker import Breaker
from services.alerting.adapters.posting import TIMEOUT_S, Posting
from services.alerting.ports import Notice

HEADERS = {"content-type": "application/json", "user-agent": "autopilot-alerting"}


class Pager:
    """Triggers an incident per alert."""

    def __init__(self, url: str, key: str, breaker: Breaker, *, timeout_s: float = TIMEOUT_S) -> None:
        self._posting, self._key = Posting(url, breaker, timeout_s=timeout_s), key

    async def tell(self, notice: Notice) -> None:
        """Page somebody. Raises DeliveryError, NotTriedError."""
        trigger = {
            "routing_key": self._key,
            "event_action": "trigger",
            "dedup_key": notice.alert_id,
            "client": "Autopilot",
            "payload": {
                "summary": notice.summary,
                "source": "autopilot",
                "severity": notice.severity,
                "timestamp": notice.raised_at,
                "component": notice.rule,
                "custom_details": {"task_id": notice.task_id, "event_id": notice.event_id},
            },
        }
        await self._posting.post(msgspec.json.encode(trigger), HEADERS)
