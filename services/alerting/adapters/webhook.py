"""The sink of an operator: a POST with the headers of the Standard Webhooks convention.

At least once: a receiver recognises what comes again by `webhook-id`. The address often is itself the secret
that lets one post (a chat's hook), so it appears in no reason and no log line.
"""

from __future__ import annotations

import asyncio
import ipaddress
import ssl

import httpx
import msgspec

from libs.resilience.breaker import Breaker, CircuitOpenError
from libs.runtime.clock import Clock
from services.alerting.ports import DeliveryError, Notice, NotTriedError

#: Seconds for which the receiver is left alone after repeated failures: an alert that is raised meanwhile
#: waits for it.
RESET_S = 10.0
#: Seconds for the whole call, from the look-up of the name to the status line.
TIMEOUT_S = 5.0


class Webhook:
    """Posts alerts to one address."""

    def __init__(self, url: str, breaker: Breaker, clock: Clock, *, timeout_s: float = TIMEOUT_S) -> None:
        self._url, self._breaker, self._clock, self._timeout_s = url, breaker, clock, timeout_s
        self._tls: ssl.SSLContext | None = None

    async def tell(self, notice: Notice) -> None:
        """Post it. Raises DeliveryError unless a 2xx comes in time, NotTriedError if the breaker is open."""

        async def post() -> None:
            await self._post(notice)

        try:
            await self._breaker.call(post)
        except CircuitOpenError as error:
            raise NotTriedError(error.retry_after_s) from error

    async def _post(self, notice: Notice) -> None:
        try:
            url = httpx.URL(self._url)
            async with (
                asyncio.timeout(self._timeout_s),
                self._client(url) as client,
                # The answer's body is not read: it could be endless, and nothing depends on it.
                client.stream("POST", url, content=_body(notice), headers=self._headers(notice)) as response,
            ):
                status = response.status_code
        except (TimeoutError, httpx.TimeoutException) as error:
            raise DeliveryError(f"no answer within {self._timeout_s:g} s") from error
        except (httpx.HTTPError, httpx.InvalidURL, OSError, ValueError) as error:
            raise DeliveryError(f"the call failed ({type(error).__name__})") from error
        if not 200 <= status < 300:
            raise DeliveryError(f"the receiver answered with status {status}")

    def _client(self, url: httpx.URL) -> httpx.AsyncClient:
        if self._tls is None:
            # Reading all certificates takes some 30 ms; without any, no TLS connection would be trusted.
            plain = url.scheme != "https"
            self._tls = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT) if plain else httpx.create_ssl_context()
        # A proxy of the environment is for the way out, not for an address on this machine.
        return httpx.AsyncClient(
            timeout=self._timeout_s, trust_env=not _is_loopback(url.host), verify=self._tls
        )

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


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
