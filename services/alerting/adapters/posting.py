"""One POST to somebody outside, and what is known of it afterwards.

The address, and what is posted, may hold the secret that lets one post: neither appears in a reason or a log line.
"""

from __future__ import annotations

import asyncio
import ipaddress
import ssl
from collections.abc import Mapping

import httpx

from libs.resilience.breaker import Breaker, CircuitOpenError
from services.alerting.ports import DeliveryError, NotTriedError

#: Seconds for which the receiver is left alone after repeated failures: an alert that is raised meanwhile
#: waits for it.
RESET_S = 10.0
#: Seconds for the whole call, from the look-up of the name to the status line.
TIMEOUT_S = 5.0
#: Failures before anything was sent. After any other, the receiver may have taken it.
_UNSENT = (
    httpx.ConnectError,
    httpx.ConnectTimeout,
    httpx.UnsupportedProtocol,
    httpx.ProxyError,
    httpx.InvalidURL,
    ValueError,
)


class Posting:
    """Posts to one address."""

    def __init__(self, url: str, breaker: Breaker, *, timeout_s: float = TIMEOUT_S) -> None:
        self._url, self._breaker, self._timeout_s = url, breaker, timeout_s
        self._tls: ssl.SSLContext | None = None

    async def post(self, body: bytes, headers: Mapping[str, str]) -> None:
        """Post it. Raises DeliveryError unless a 2xx comes in time, NotTriedError if the breaker is open."""

        async def once() -> None:
            await self._post(body, headers)

        try:
            await self._breaker.call(once)
        except CircuitOpenError as error:
            raise NotTriedError(error.retry_after_s) from error

    async def _post(self, body: bytes, headers: Mapping[str, str]) -> None:
        try:
            url = httpx.URL(self._url)
            async with (
                asyncio.timeout(self._timeout_s),
                self._client(url) as client,
                # The answer's body is not read: it could be endless, and nothing depends on it.
                client.stream("POST", url, content=body, headers=dict(headers)) as response,
            ):
                status = response.status_code
        except _UNSENT as error:
            raise DeliveryError(f"the call failed ({type(error).__name__})") from error
        except (TimeoutError, httpx.TimeoutException) as error:
            raise DeliveryError(f"no answer within {self._timeout_s:g} s", unknown=True) from error
        except (httpx.HTTPError, OSError) as error:
            raise DeliveryError(f"the call failed ({type(error).__name__})", unknown=True) from error
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


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
