"""The bus on NATS JetStream."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Sequence
from datetime import UTC, datetime

import structlog
from nats.aio.msg import Msg

from contracts.message import Recorded, Registry
from libs.messaging import cloudevents, deadletter
from libs.messaging.bus import (
    MAX_ATTEMPTS,
    BusError,
    BusUnavailableError,
    DeadLetter,
    Delivery,
    RefusedError,
    Settlement,
    UndecodableError,
)
from libs.messaging.connection import Connection
from libs.messaging.letterbox import open_letters
from libs.messaging.publishing import Fate, Publisher
from libs.messaging.pulling import STALL_S, Puller, refused

log = structlog.get_logger(__name__)

#: Messages whose failed decisions are remembered; the oldest are forgotten, and then fail a few times more.
_REMEMBERED = 10_000


def _utc_now() -> datetime:
    return datetime.now(UTC)


class JetStreamBus:
    """One service's connection to the bus; its user may do what the topology allows and nothing else."""

    def __init__(
        self,
        connection: Connection,
        registry: Registry,
        service: str,
        now: Callable[[], datetime],
        *,
        stall_s: float,
    ) -> None:
        self._connection, self._registry, self._service, self._now = connection, registry, service, now
        self._stall_s = stall_s
        self._publisher = Publisher(connection)
        self._pullers: dict[str, Puller] = {}
        #: Failed decisions by (durable, sequence).
        self._failures: OrderedDict[tuple[str, int], int] = OrderedDict()

    @classmethod
    async def connect(
        cls,
        url: str,
        *,
        user: str,
        password: str,
        registry: Registry,
        service: str,
        now: Callable[[], datetime] = _utc_now,
        timeout_s: float = 10.0,
        stall_s: float = STALL_S,
    ) -> JetStreamBus:
        """Connect, and reconnect for ever from then on. Raises BusUnavailableError, RefusedError."""
        connection = await Connection.open(
            url, user=user, password=password, name=service, timeout_s=timeout_s
        )
        bus = cls(connection, registry, service, now, stall_s=stall_s)
        await bus._publisher.start()
        return bus

    async def publish(self, events: Sequence[Recorded]) -> list[Recorded]:
        """Publish events in order, pipelined, and return those that were confirmed, a prefix per stream."""
        if not events or not self._connection.connected:
            return []
        messages = [cloudevents.encode(event) for event in events]
        fates = await self._publisher.publish(messages)
        confirmed: list[Recorded] = []
        # What follows a failed event in its stream stays in the outbox with it, so that it is sent again in
        # order.
        failed: set[str] = set()
        for event, fate in zip(events, fates, strict=True):
            if fate is not Fate.CONFIRMED:
                failed.add(event.stream)
            if event.stream not in failed:
                confirmed.append(event)
        subjects = [
            message.subject for message, fate in zip(messages, fates, strict=True) if fate is Fate.REFUSED
        ]
        if subjects:
            raise RefusedError(
                subjects, f"{self._service} may not publish this, or it is too large", confirmed
            )
        return confirmed

    async def fetch(self, consumer: str, batch: int, timeout_s: float) -> list[Delivery]:
        """Take up to `batch` messages from a durable, waiting up to `timeout_s` for the first."""
        puller = self._puller(consumer)
        taken = await puller.fetch(batch, timeout_s)
        if not taken and (error := refused(self._connection, consumer)):
            raise error
        deliveries: list[Delivery] = []
        for message in taken:
            delivery = JetStreamDelivery(self, consumer, message)
            try:
                if delivery.attempts > MAX_ATTEMPTS:
                    raise UndecodableError(f"delivered {delivery.attempts} times")
                delivery.decode(self._registry)
            except UndecodableError as error:
                log.error(
                    "message_undecodable", durable=consumer, subject=message.subject, reason=error.reason
                )
                await self._bury_or_leave(delivery, consumer, error.reason)
            else:
                deliveries.append(delivery)
        return deliveries

    async def dead_letter(self, delivery: Delivery, consumer: str, reason: str, at: datetime) -> None:
        """Write the dead letter, then terminate the message. Raises BusUnavailableError, RefusedError."""
        if isinstance(delivery, JetStreamDelivery):
            letter = deadletter.write(
                consumer=consumer,
                sequence=delivery.sequence,
                reason=reason,
                attempts=delivery.attempts,
                at=at,
                subject=delivery.message.subject,
                headers=delivery.message.headers or {},
                payload=delivery.message.data,
            )
        else:
            recorded, attempts = delivery.recorded, delivery.attempts
            letter = deadletter.about(recorded, consumer=consumer, reason=reason, attempts=attempts, at=at)
        # Not the letter's id alone: after the bus was rebuilt, sequence numbers name other messages.
        headers = {
            cloudevents.MESSAGE_ID: f"{letter.id}-{letter.event_id}",
            "content-type": "application/json",
        }
        message = cloudevents.Message(deadletter.subject_for(consumer), headers, deadletter.encode(letter))
        await self._publish_letter(message, letter.id)
        log.error("message_dead", durable=consumer, event_id=letter.event_id, reason=reason)
        await delivery.term()

    async def settle_letter(self, consumer: str, note: Settlement) -> None:
        """Put a note behind a dead letter of a consumer. Raises BusUnavailableError, RefusedError."""
        headers = {
            cloudevents.MESSAGE_ID: f"{note.letter_id}-settled",
            "content-type": "application/json",
            deadletter.SETTLES: note.letter_id,
        }
        message = cloudevents.Message(deadletter.subject_for(consumer), headers, deadletter.encode(note))
        await self._publish_letter(message, note.letter_id)

    async def _publish_letter(self, message: cloudevents.Message, letter_id: str) -> None:
        (fate,) = await self._publisher.publish([message])
        if fate is Fate.REFUSED:
            raise RefusedError([message.subject], f"{self._service} may not publish this")
        if fate is not Fate.CONFIRMED:
            raise BusUnavailableError(f"the dead letter {letter_id} was not confirmed")

    async def dead_letters(self, *, limit: int = 100) -> list[DeadLetter]:
        """List dead letters, newest first. Raises BusUnavailableError, RefusedError."""
        return [*await open_letters(self._connection, limit=limit)]

    async def hear(self, subjects: Sequence[str], heard: Callable[[], None]) -> None:
        """Call `heard` whenever something passes under one of these subjects. Raises BusUnavailableError."""
        for subject in subjects:
            await self._connection.subscribe(subject, lambda _: heard())

    async def lag(self, consumer: str) -> tuple[int, int]:
        """Return (pending, unacknowledged) messages of a durable; nothing for one that is missing."""
        info = await self._puller(consumer).info()
        return (info.num_pending, info.num_ack_pending) if info is not None else (0, 0)

    @property
    def healthy(self) -> bool:
        """Whether the connection is up and no permission violation has been seen since it came up."""
        return self._connection.connected and not self._connection.refused

    @property
    def stalled(self) -> frozenset[str]:
        """Name the durables that have messages and give none; their re-creation has been asked for."""
        return frozenset(name for name, puller in self._pullers.items() if puller.stalled)

    async def close(self) -> None:
        """Drain and disconnect. Twice is once."""
        await self._connection.close()

    def _puller(self, consumer: str) -> Puller:
        if consumer not in self._pullers:
            self._pullers[consumer] = Puller(self._connection, consumer, stall_s=self._stall_s)
        return self._pullers[consumer]

    async def _bury_or_leave(self, delivery: JetStreamDelivery, consumer: str, reason: str) -> None:
        try:
            await self.dead_letter(delivery, consumer, reason, self._now())
        except BusError as error:
            # It is not terminated, so it comes again.
            log.warning("dead_letter_failed", durable=consumer, error=str(error))

    def _failed(self, key: tuple[str, int]) -> None:
        self._failures[key] = self._failures.pop(key, 0) + 1
        if len(self._failures) > _REMEMBERED:
            self._failures.popitem(last=False)

    def _tell(self, message: Msg, word: bytes) -> None:
        """Answer a delivery. An answer that is lost costs a redelivery, which the inbox recognises."""
        try:
            self._connection.send(message.reply, word)
        except BusUnavailableError as error:
            log.info("answer_lost", subject=message.subject, word=word.decode(), error=str(error))


def _delivered(reply: str) -> tuple[int, int]:
    """Take how often a message was delivered, and its sequence in the stream, out of the subject of its answer.

    It ends in delivered.sequence.consumer-sequence.time.pending, and in a token more where there are domains (ADR-15).
    """
    tokens = reply.split(".")
    first = 4 if len(tokens) == 9 else 6
    return int(tokens[first]), int(tokens[first + 1])


class JetStreamDelivery:
    """One message in a consumer's hands."""

    def __init__(self, bus: JetStreamBus, consumer: str, message: Msg) -> None:
        self.message = message
        # `message.metadata` would make objects of all of it, for each delivery.
        #: Sequence in the stream.
        self.sequence: int
        self._attempts: int
        self._attempts, self.sequence = _delivered(message.reply)
        self._bus, self._key = bus, (consumer, self.sequence)
        self._recorded: Recorded | None = None
        self._answered = False

    def decode(self, registry: Registry) -> None:
        """Read the event. Raises UndecodableError."""
        self._recorded = cloudevents.decode(
            registry, self.message.headers or {}, self.message.data, subject=self.message.subject
        )

    @property
    def recorded(self) -> Recorded:
        """The event; decoded once."""
        assert self._recorded is not None
        return self._recorded

    @property
    def attempts(self) -> int:
        """How often it has been delivered, this time included, for whatever cause."""
        return self._attempts

    @property
    def failures(self) -> int:
        """How many decisions about it have failed in this process so far."""
        return self._bus._failures.get(self._key, 0)

    async def ack(self) -> None:
        """Tell the bus that the effect is committed. Twice is once."""
        self._bus._failures.pop(self._key, None)
        await self._answer(b"+ACK")

    async def nak(self, delay_s: float = 0.0, *, failed: bool = False) -> None:
        """Ask for it again, after a delay; `failed` counts it as a failed decision."""
        if failed:
            self._bus._failed(self._key)
        await self._answer(b"-NAK" if delay_s <= 0 else b'-NAK {"delay": %d}' % int(delay_s * 1e9))

    async def in_progress(self) -> None:
        """Ask for more time."""
        if not self._answered:
            self._bus._tell(self.message, b"+WPI")

    async def term(self) -> None:
        """Take it away for good; the dead letter has been written before."""
        self._bus._failures.pop(self._key, None)
        await self._answer(b"+TERM")

    async def _answer(self, word: bytes) -> None:
        # The first word stands: a second one could hit the copy that another worker holds by now.
        if not self._answered:
            self._answered = True
            self._bus._tell(self.message, word)
