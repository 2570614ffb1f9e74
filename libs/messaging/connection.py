"""One connection to nats-server: never gives up, knows when it is down, and hears what the server refuses.

ApiError   JetStream answered a request with an error (below `BusError`)
"""

from __future__ import annotations

import asyncio
import contextlib
import re
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from typing import Any, TypeVar

import msgspec
import structlog
from nats import errors
from nats.aio.msg import Msg
from nats.aio.subscription import Subscription

from libs.messaging.bus import BusError, BusUnavailableError, RefusedError
from libs.messaging.client import Handler, LeanClient, publication
from libs.messaging.topology import inbox_prefix

log = structlog.get_logger(__name__)

T = TypeVar("T")

#: What may go wrong in a call of the client, as opposed to an answer of the server.
_FAILURES = (errors.Error, OSError, TimeoutError)
_VIOLATION = re.compile(r'permissions violation for (?:publish|subscription) to "([^"]*)"', re.IGNORECASE)
_AUTHORIZATION = "authorization violation"
#: Seconds between two attempts to reach a server that went away, and seconds that one attempt may take.
_RECONNECT_S, _ATTEMPT_S = 0.2, 2.0
#: A server that stopped without closing its sockets is noticed after two of these seconds without an answer.
_PING_S = 2
#: Seconds that sending the last words, and closing, may take.
_CLOSE_S = 1.0
#: Bytes kept free below the server's limit: one message above it and the server closes the connection.
_RESERVE = 1_024


class ApiError(BusError):
    """JetStream answered with an error."""

    def __init__(self, subject: str, code: int, error: int, description: str) -> None:
        super().__init__(f"{subject}: {description} ({code}, {error})")
        #: HTTP-like code, and JetStream's own number of the error.
        self.code, self.error = code, error


class Connection:
    """A client that comes back by itself; its owner is told of each loss by `on_down`."""

    def __init__(self, url: str, user: str, password: str, name: str) -> None:
        self._url, self._user, self._password, self._name = url, user, password, name
        self._client = LeanClient()
        #: Handlers by subject, and the subscriptions that serve them on the present client.
        self._handlers: dict[str, Handler] = {}
        self._subscriptions: dict[str, Subscription] = {}
        self._requests: dict[str, asyncio.Future[Msg]] = {}
        self._number = 0
        self._closing = False
        self._reopening: asyncio.Task[None] | None = None
        self._authorized = True
        #: Subjects refused since the connection came up, lower-case as the client reports them.
        self.refused: set[str] = set()
        #: Set while the connection is up.
        self.up = asyncio.Event()
        self.on_down: list[Callable[[], None]] = []
        #: Called with a refused subject, lower-case.
        self.on_refused: list[Callable[[str], None]] = []
        # The client's own inboxes start with the same prefix; this token keeps ours apart from other
        # processes'.
        self._inbox = f"{inbox_prefix(user)}.{self._client._nuid.next().decode()}"

    @classmethod
    async def open(cls, url: str, *, user: str, password: str, name: str, timeout_s: float) -> Connection:
        """Connect. Raises BusUnavailableError, and RefusedError where user or password are wrong."""
        connection = cls(url, user, password, name)
        opening = asyncio.create_task(connection._open(), name="bus-open")
        try:
            await asyncio.wait({opening}, timeout=timeout_s)
            if not opening.done():
                raise TimeoutError
            opening.result()
            await connection.subscribe(connection.inbox("request.*"), connection._answered)
        except BaseException as error:
            await _end(opening)
            await connection.close()
            if not isinstance(error, (*_FAILURES, BusUnavailableError)):
                raise
            if not connection._authorized:
                raise RefusedError([url], f"user {user} is not authorized") from error
            raise BusUnavailableError(f"{url} not reached within {timeout_s:g} s") from error
        return connection

    @property
    def connected(self) -> bool:
        """Tell whether messages can be sent now."""
        return self._client.is_connected and self.up.is_set()

    @property
    def server_id(self) -> str:
        """Name the running server: another one after each of its starts; empty before the first connection."""
        return str(self._client._server_info.get("server_id", ""))

    def inbox(self, token: str) -> str:
        """Name a subject on which only this connection listens."""
        return f"{self._inbox}.{token}"

    def fits(self, command: bytes) -> bool:
        """Tell whether the server takes a message of this size, headers included."""
        limit: int = self._client.max_payload
        return len(command) + _RESERVE <= limit

    async def subscribe(self, subject: str, handler: Handler) -> Callable[[], Awaitable[None]]:
        """Hand messages of a subject to a handler, across reconnects; returns what ends that."""
        self._handlers[subject] = handler
        await self._subscribe(subject)

        async def end() -> None:
            self._handlers.pop(subject, None)
            subscription = self._subscriptions.pop(subject, None)
            if subscription is not None:
                self._client.forget(subscription)
                with contextlib.suppress(*_FAILURES):
                    await subscription.unsubscribe()

        return end

    def send(
        self, subject: str, payload: bytes = b"", *, reply: str = "", headers: Mapping[str, str] | None = None
    ) -> None:
        """Send one message without waiting for anything. Raises BusUnavailableError."""
        try:
            command = publication(subject, payload, reply, headers)
        except errors.Error as error:
            raise BusUnavailableError(f"{subject!r}: {type(error).__name__}: {error}") from error
        if not self.fits(command):
            # The server would end the connection.
            raise BusUnavailableError(f"{subject}: {len(payload)} bytes are too large")
        self.write(command)

    def write(self, command: bytes) -> None:
        """Send what `publication` has written. Raises BusUnavailableError."""
        # What is written while it reconnects would be stale when the server hears it.
        if not self.connected:
            raise BusUnavailableError("not connected")
        self._client.write(command)

    async def request(self, subject: str, body: Any = None, *, type_: type[T], timeout_s: float = 2.0) -> T:
        """Ask JetStream's API. Raises BusUnavailableError, RefusedError and ApiError."""
        self._number += 1
        reply = self.inbox(f"request.{self._number}")
        answer = self._requests[reply] = asyncio.get_running_loop().create_future()
        refusal = self._refusals(subject, answer)
        self.on_refused.append(refusal)
        try:
            self.send(subject, b"" if body is None else msgspec.json.encode(body), reply=reply)
            async with asyncio.timeout(timeout_s):
                message = await answer
        except TimeoutError as error:
            raise BusUnavailableError(f"{subject}: no answer within {timeout_s:g} s") from error
        finally:
            self.on_refused.remove(refusal)
            self._requests.pop(reply, None)
        if (message.headers or {}).get("Status") == "503":
            raise BusUnavailableError(f"{subject}: nobody answers")
        return _read(subject, message.data, type_)

    async def close(self) -> None:
        """Send what was said and disconnect. Twice is once."""
        # The client's own drain fails in odd ways when the server goes away meanwhile, and there is nothing to drain:
        # what was delivered and not acknowledged comes again.
        if self._closing:
            return
        self._closing = True
        self._down()
        if self._reopening is not None:
            await _end(self._reopening)
        if self._client.is_connected:
            await _bounded(self._client.flush(), _CLOSE_S)
        await _bounded(self._client.close(), _CLOSE_S)
        if self._client._reconnection_task is not None:
            await _end(self._client._reconnection_task)
        # Its own close may have run out of time, or a last attempt to reconnect may have got through after it.
        if self._client._transport is not None:
            self._client._transport.close()  # type: ignore[no-untyped-call]

    async def _open(self) -> None:
        client = self._client
        await client.connect(
            self._url,
            user=self._user,
            password=self._password,
            name=self._name,
            inbox_prefix=inbox_prefix(self._user),
            max_reconnect_attempts=-1,
            reconnect_time_wait=_RECONNECT_S,  # type: ignore[arg-type]
            connect_timeout=_ATTEMPT_S,  # type: ignore[arg-type]
            ping_interval=_PING_S,
            max_outstanding_pings=1,
            # A full queue makes the client wait inside a call that swallows cancellation; this one never
            # fills.
            flusher_queue_size=1_000_000,
            # Large enough that a burst of events is never refused for want of room.
            pending_size=64 * 1024 * 1024,
            error_cb=self._failed,
            disconnected_cb=self._disconnected,
            reconnected_cb=self._came_up,
            closed_cb=self._closed,
        )
        for subject in list(self._handlers):
            await self._subscribe(subject)
        await self._came_up()

    async def _subscribe(self, subject: str) -> None:
        try:
            self._subscriptions[subject] = await self._client.listen(subject, self._handlers[subject])
        except _FAILURES as error:
            raise BusUnavailableError(str(error)) from error

    async def _came_up(self) -> None:
        self.refused.clear()
        self._authorized = True
        self.up.set()

    async def _disconnected(self) -> None:
        if self.up.is_set() and not self._closing:
            log.warning("bus_lost", url=self._url, user=self._user)
        self._down()

    async def _closed(self) -> None:
        # The client gives up where the server sends an error that it does not know. We do not.
        if not self._closing and self._reopening is None:
            self._reopening = asyncio.create_task(self._reopen(), name="bus-reopen")

    async def _reopen(self) -> None:
        while not self._closing:
            await asyncio.sleep(_RECONNECT_S)
            self._client = LeanClient()
            try:
                await self._open()
                break
            except (*_FAILURES, BusError) as error:
                log.warning("bus_not_reopened", url=self._url, error=str(error))
        self._reopening = None

    async def _failed(self, error: Exception) -> None:
        violation = _VIOLATION.search(str(error))
        if violation:
            subject = violation.group(1)
            self.refused.add(subject.lower())
            log.error("bus_refused", user=self._user, subject=subject)
            for tell in list(self.on_refused):
                tell(subject.lower())
        elif _AUTHORIZATION in str(error).lower():
            self._authorized = False
            log.error("bus_refused", user=self._user, error=str(error))
        else:
            log.debug("bus_error", user=self._user, error=repr(error))
        # A server that accepts and hangs up leaves the client with a socket that it forgets to close.
        if not self._client.is_connected and self._client._transport is not None:
            self._client._transport.close()  # type: ignore[no-untyped-call]

    def _down(self) -> None:
        self.up.clear()
        for answer in self._requests.values():
            if not answer.done():
                answer.set_exception(BusUnavailableError("the connection was lost"))
        for tell in list(self.on_down):
            tell()

    def _answered(self, message: Msg) -> None:
        answer = self._requests.get(message.subject)
        if answer is not None and not answer.done():
            answer.set_result(message)

    @staticmethod
    def _refusals(subject: str, answer: asyncio.Future[Msg]) -> Callable[[str], None]:
        def refuse(refused: str) -> None:
            if refused == subject.lower() and not answer.done():
                answer.set_exception(RefusedError([subject], "permission denied"))

        return refuse


async def _bounded(work: Coroutine[Any, Any, Any], timeout_s: float) -> None:
    """Await something of the client's, whatever comes of it: it cancels futures of its own when a server goes."""
    task = asyncio.create_task(work)
    await asyncio.wait({task}, timeout=timeout_s)
    await _end(task)


async def _end(task: asyncio.Task[Any]) -> None:
    """Cancel a task until it ends: `wait_for` before Python 3.12 loses a cancellation that meets a refused connect."""
    while not task.done():
        task.cancel()
        await asyncio.wait({task}, timeout=0.1)
    if not task.cancelled():
        task.exception()


class _Error(msgspec.Struct):
    code: int = 0
    err_code: int = 0
    description: str = ""


class _Answer(msgspec.Struct):
    error: _Error | None = None


def _read(subject: str, data: bytes, type_: type[T]) -> T:
    try:
        error = msgspec.json.decode(data, type=_Answer).error
        if error is not None:
            raise ApiError(subject, error.code, error.err_code, error.description)
        return msgspec.json.decode(data, type=type_)
    except msgspec.MsgspecError as error:
        raise BusUnavailableError(f"{subject}: unreadable answer: {error}") from error
