"""Pulling from one durable, with a watchdog for the consumer that looks alive and gives nothing."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable

import msgspec
import structlog
from nats.aio.msg import Msg

from libs.messaging.bus import BusError, BusUnavailableError, RefusedError
from libs.messaging.connection import ApiError, Connection
from libs.messaging.topology import EVENTS, RECREATE

log = structlog.get_logger(__name__)

#: Seconds after which a message that came too late for its fetch is left to be delivered again: its ack wait
#: runs.
STALE_S = 2.0
#: Seconds without a delivery after which a durable with pending messages counts as stalled.
STALL_S = 5.0
#: Seconds that one request waits for a message; a longer fetch asks again. This is our heartbeat: a server
#: that has forgotten the request is noticed at its end.
REQUEST_S = 5.0
#: Seconds that a fetch waits at least where the durable is missing, so that its caller does not spin.
_MISSING_S = 0.2
#: Seconds beyond a request's own end after which the server is taken to have forgotten it.
_GRACE_S = 0.5
_CONSUMER_NOT_FOUND = 10014


class _Config(msgspec.Struct):
    max_ack_pending: int = 0


class ConsumerInfo(msgspec.Struct):
    """What the server says about a durable."""

    num_pending: int = 0
    num_ack_pending: int = 0
    config: _Config = msgspec.field(default_factory=_Config)


class Puller:
    """Fetches a durable's messages. What arrives after its fetch was cancelled is kept for the next one."""

    def __init__(self, connection: Connection, durable: str, *, stall_s: float = STALL_S) -> None:
        self.durable = durable
        #: Whether the durable has pending messages and gives none, even to a new subscription.
        self.stalled = False
        self._connection, self._stall_s = connection, stall_s
        self._inbox = connection.inbox(f"pull.{durable}.")
        self._subject = f"$JS.API.CONSUMER.MSG.NEXT.{EVENTS}.{durable}"
        self._now = asyncio.get_running_loop().time
        self._fetching = asyncio.Lock()
        self._arrived: deque[tuple[float, Msg]] = deque()
        self._moved = asyncio.Event()
        self._number = 0
        #: Under which the server answers the present request.
        self._request = ""
        self._over = True
        self._missing = False
        self._end: Callable[[], Awaitable[None]] | None = None
        self._active_at = self._now()
        self._asked_at = float("-inf")
        self._strikes = 0
        connection.on_down.append(self._finish)
        connection.on_refused.append(self._refuse)

    async def fetch(self, batch: int, timeout_s: float) -> list[Msg]:
        """Take up to `batch` messages; none where none came in time, or the bus or the durable is away."""
        async with self._fetching:
            self._drop_stale()
            if not self._arrived:
                await self._pull(batch, timeout_s)
            taken = [self._arrived.popleft()[1] for _ in range(min(batch, len(self._arrived)))]
            if taken:
                self._active_at = self._now()
                self._strikes, self.stalled = 0, False
            else:
                await self._watch()
            return taken

    async def info(self) -> ConsumerInfo | None:
        """Ask about the durable; None where it is missing. Raises BusUnavailableError, RefusedError."""
        try:
            return await self._connection.request(
                f"$JS.API.CONSUMER.INFO.{EVENTS}.{self.durable}", type_=ConsumerInfo
            )
        except ApiError as error:
            if error.code == 404:
                return None
            raise BusUnavailableError(str(error)) from error

    async def _pull(self, batch: int, timeout_s: float) -> None:
        until = self._now() + timeout_s
        self._missing = False
        try:
            if not self._connection.up.is_set():
                async with asyncio.timeout_at(until):
                    await self._connection.up.wait()
            if self._end is None:
                self._end = await self._connection.subscribe(f"{self._inbox}*", self._arrive)
            while not self._arrived and not self._missing and self._connection.connected:
                expires_s = min(until - self._now(), REQUEST_S)
                self._ask(batch, max(expires_s, 0.01))
                async with asyncio.timeout(max(expires_s, 0.0) + _GRACE_S):
                    while not self._over and len(self._arrived) < batch:
                        self._moved.clear()
                        await self._moved.wait()
                if self._now() >= until - 0.01:
                    break
            if self._missing:
                await asyncio.sleep(min(_MISSING_S, max(until - self._now(), 0.0)))
        except (TimeoutError, BusUnavailableError):
            return
        finally:
            self._over = True

    def _ask(self, batch: int, expires_s: float) -> None:
        """Ask for what is there or, if nothing is, for the first to come; the server says when it is over."""
        self._number += 1
        self._request = f"{self._inbox}{self._number}"
        self._over = self._missing = False
        body = {"batch": batch, "expires": int(expires_s * 1e9), "no_wait": True}
        self._connection.send(self._subject, msgspec.json.encode(body), reply=self._request)

    def _arrive(self, message: Msg) -> None:
        # Events come under their own subject, the server's own words under that of our request.
        if not message.subject.startswith(self._inbox):
            self._arrived.append((self._now(), message))
        elif message.subject == self._request:
            status = (message.headers or {}).get("Status", "")
            if status == "503" or (status == "409" and "deleted" in str(message.headers).lower()):
                self._missing = True
            if status != "100":
                self._over = True
        self._moved.set()

    async def _watch(self) -> None:
        """Look whether silence is right; ask the admin to make a missing or stalled durable anew."""
        now = self._now()
        if not self._connection.connected or not (self._missing or now - self._active_at > self._stall_s):
            return
        self._active_at = now
        try:
            info = await self.info()
        except BusError:
            return
        if info is None:
            await self._ask_for_recreation("missing")
        elif info.num_pending > 0 and info.num_ack_pending < info.config.max_ack_pending:
            self._strikes += 1
            if self._strikes == 1:
                log.warning("consumer_silent", durable=self.durable, pending=info.num_pending)
                await self._unsubscribe()
            else:
                self.stalled = True
                await self._ask_for_recreation("stalled")
        else:
            self._strikes, self.stalled = 0, False

    async def _ask_for_recreation(self, reason: str) -> None:
        now = self._now()
        if now - self._asked_at < self._stall_s:
            return
        self._asked_at = now
        log.warning("consumer_recreation_asked", durable=self.durable, reason=reason)
        try:
            self._connection.send(f"{RECREATE}.{self.durable}", reason.encode())
        except BusUnavailableError:
            return

    async def _unsubscribe(self) -> None:
        if self._end is not None:
            await self._end()
            self._end = None

    def _drop_stale(self) -> None:
        oldest = self._now() - STALE_S
        while self._arrived and self._arrived[0][0] < oldest:
            self._arrived.popleft()

    def _finish(self) -> None:
        self._over = True
        self._moved.set()

    def _refuse(self, subject: str) -> None:
        if subject == self._subject.lower():
            # For us there is none: asking again would be refused again.
            self._missing = True
            self._finish()


def refused(connection: Connection, durable: str) -> RefusedError | None:
    """Return the refusal of a durable that belongs to somebody else."""
    subject = f"$JS.API.CONSUMER.MSG.NEXT.{EVENTS}.{durable}"
    if subject.lower() in connection.refused:
        return RefusedError([subject], "permission denied")
    return None
