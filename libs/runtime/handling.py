"""One event in the hands of one handler: what comes of it, whatever the handler does."""

from __future__ import annotations

import structlog

from contracts.message import Recorded, Unknown
from libs.eventstore.store import (
    ConflictError,
    DuplicateDeliveryError,
    StaleLeaseError,
    StoreUnavailableError,
)
from libs.messaging.outcome import Done, Outcome, Reject, Retry
from libs.runtime.running import NotLeaderError, Running
from libs.runtime.service import Subscription
from libs.runtime.work import Work

log = structlog.get_logger(__name__)

#: Seconds that another replica has to take what only a newer release understands, again and again, before it is buried.
NEWER_S = 5.0


class Handling:
    """Calls a subscription's handler and counts what failed."""

    def __init__(self, running: Running, subscription: Subscription) -> None:
        self._registry = running.service.registry
        self._subscription = subscription
        self._durable = subscription.durable(running.service.name)
        #: Handler calls that raised.
        self.failed = 0

    async def turn(self, event: Recorded, work: Work) -> Outcome:
        """Let the handler decide on an event as the next part of `work`; what is not `Done` has left nothing in it.

        Raises StaleLeaseError, NotLeaderError, StoreUnavailableError.
        """
        if isinstance(event.event, Unknown) and (refusal := self._unread(event)):
            # Not to be passed over: the record would say that it was handled.
            return refusal
        work.turn(event)
        try:
            outcome = await self._subscription.handle(event, work)
        except (StaleLeaseError, NotLeaderError, StoreUnavailableError):
            raise
        except Exception as error:
            outcome = self.failure(error, event)
        if outcome is None or isinstance(outcome, Done):
            return Done()
        # What it had decided by then must not become true with the others'.
        work.undo()
        return outcome

    def failure(self, error: Exception, recorded: Recorded) -> Retry:
        """Say when to try again what has raised."""
        if isinstance(error, DuplicateDeliveryError):
            # Another delivery was faster, perhaps with an earlier event only: the inbox tells when this comes again.
            return Retry(after_s=0.05, reason="handled elsewhere meanwhile", counted=False)
        if isinstance(error, ConflictError):
            return Retry(after_s=0.2, reason=str(error), counted=False)
        self.failed += 1
        log.error(
            "handler_failed",
            durable=self._durable,
            event_id=recorded.id,
            type=recorded.type,
            exc_info=error,
        )
        return Retry(after_s=1.0, reason=f"{type(error).__name__}: {error}")

    def _unread(self, event: Recorded) -> Outcome | None:
        known = self._registry.classes.get(event.type)
        if known is not None and event.schema_version <= known.schema_version:
            return Reject(reason=f"{event.type} cannot be read: its data does not fit its class")
        if self._subscription.everything:
            return None
        reason = f"{event.type} of schema version {event.schema_version} comes from a newer release"
        return Retry(after_s=NEWER_S, reason=reason)
