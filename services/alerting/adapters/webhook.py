"""The sink of an operator: a POST with the headers of the Standard Webhooks convention.

At least once: a receiver recognises what comes again by `webhook-id`.
"""

from __future__ import annotations

import msgspec

from libs.resilience.breaker import Breaker
from libs.runtime.clock import Clock
from services.alerting.adapters.posting import TIMEOUT_S, Posting
from services.alerting.ports import Notice


class Webhook:
    """Posts alerts to one address."""

    def __init__(self, url: str, breaker: Breaker, clock: Clock, *, timeout_s: float = TIMEOUT_S) -> None:
        self._posting, self._clock = Posting(url, breaker, timeout_s=timeout_s), clock

    async def tell(self, notice: Notice) -> None:
        """Post it. Raises DeliveryError, NotTriedError."""
        await self._posting.post(_body(notice), self._headers(notice))

    def _headers(self, notice: Notice) -> dict[str, str]:
        return {
            "content-type": "application/json",
            "user-agent": "autopilot-alerting",
            "webhook-id": notice.alert_id,
            "webhook-timestamp": str(int(self._clock.now().timestamp())),
        }


def _body(notice: Notice) -> bytes:
    event = {
        "type": "alert.raised",
        "timestamp": notice.raised_at,
        # The one field that chat systems read of a posted message.
        "text": f"[{notice.severity}] {notice.summary}",
        "data": notice,
    }
    return msgspec.json.encode(event)
