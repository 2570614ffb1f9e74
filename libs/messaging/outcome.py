"""What a handler tells the bus, and the one table that says what the bus is told then."""

from __future__ import annotations

from datetime import datetime

import msgspec
import structlog

from libs.messaging.bus import MAX_DELIVER, Bus, BusUnavailableError, Delivery
from libs.messaging.reread import Reread

log = structlog.get_logger(__name__)

#: Seconds until a message comes again whose dead letter could not be written.
UNWRITTEN_S = 1.0


class Done(msgspec.Struct, frozen=True):
    """The effect is committed, or was already."""


class Retry(msgspec.Struct, frozen=True, kw_only=True):
    """It could not be decided now; ask again.

    A wait beyond 5 s does not belong here: the runtime commits a timer and answers `Done`, because a message
    that is held back fills the consumer's window.
    """

    #: Seconds to wait.
    after_s: float
    reason: str
    #: Whether this is a failed decision. False where the world was not ready (the record is away, a breaker
    #: is open): however long that lasts, it must not turn good work into dead letters.
    counted: bool = True


class Reject(msgspec.Struct, frozen=True):
    """It can never be decided; a person should look at it."""

    reason: str


Outcome = Done | Retry | Reject


async def settle(
    bus: Bus,
    delivery: Delivery,
    consumer: str,
    outcome: Outcome,
    at: datetime,
    *,
    max_deliver: int = MAX_DELIVER,
) -> bool:
    """Tell the bus what became of a message; return whether it is a dead letter now.

    | outcome | bus |
    |---|---|
    | Done | ack |
    | Retry, not counted, or with failures left | nak with its delay |
    | Retry that fails for the `max_deliver`th time | dead letter, then term |
    | Reject | dead letter, then term |

    If the process dies before this, the message comes again and the inbox recognises it. Where the dead
    letter could not be written, the message is not terminated and comes again. Raises RefusedError.
    """
    if isinstance(delivery, Reread):
        # Failures are counted, and dead letters written, when the bus brings it.
        return False
    match outcome:
        case Done():
            await delivery.ack()
        case Retry(counted=True) if delivery.failures + 1 >= max_deliver:
            reason = f"failed {delivery.failures + 1} times, at last: {outcome.reason}"
            return await _bury(bus, delivery, consumer, reason, at)
        case Retry():
            await delivery.nak(outcome.after_s, failed=outcome.counted)
        case Reject():
            return await _bury(bus, delivery, consumer, outcome.reason, at)
    return False


async def _bury(bus: Bus, delivery: Delivery, consumer: str, reason: str, at: datetime) -> bool:
    try:
        await bus.dead_letter(delivery, consumer, reason, at)
    except BusUnavailableError as error:
        log.warning("dead_letter_failed", durable=consumer, event_id=delivery.recorded.id, error=str(error))
        await delivery.nak(UNWRITTEN_S)
        return False
    return True
