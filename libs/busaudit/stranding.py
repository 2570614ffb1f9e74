"""Event by event: what the bus has confirmed reaches everybody who takes it, whatever the bus says about itself.

An event that a consumer has not handled, that is not in the outbox any more, and that a durable without anything pending
or out will not bring: only the bus can have lost it.
"""

from __future__ import annotations

from collections.abc import Sequence

from libs.busaudit.ports import BusView, Open, RecordView, Wanted

#: Events of the record looked at in one go, and how many times in one look where all of them are handled.
STRETCH, STRETCHES = 1_000, 10
#: Seconds that an event may be on its way before anybody is asked about it.
GRACE_S = 2.0


class Stranding:
    """Follows the place in the record up to which everybody has handled everything."""

    def __init__(self, bus: BusView, record: RecordView, wanted: Sequence[Wanted]) -> None:
        self._bus, self._record, self._wanted = bus, record, wanted
        self._place = (0, 0)

    def restart(self) -> None:
        """Begin again where everything is handled."""
        self._place = (0, 0)

    async def look(self, settled: tuple[int, int]) -> tuple[tuple[int, int], list[str]]:
        """Look at what is open behind a place; return the place up to which all is handled, and what is lost."""
        for _ in range(STRETCHES):
            place = max(self._place, settled)
            stretch = await self._record.stretch(self._wanted, place, STRETCH)
            if place == settled:
                settled = stretch.settled
            # What is open for long, because its consumer is slow, must not hide what lies behind it.
            self._place = stretch.end if stretch.size == STRETCH else (0, 0)
            suspects = [each for each in stretch.open if not each.waiting and each.age_s > GRACE_S]
            if suspects and (found := await self._lost(suspects, place)):
                return settled, found
            if stretch.open or stretch.size < STRETCH:
                break
        return settled, []

    async def _lost(self, suspects: Sequence[Open], place: tuple[int, int]) -> list[str]:
        given_up = await self._bus.given_up()
        for wanted in self._wanted:
            ids = [
                each.event_id
                for each in suspects
                if each.durable == wanted.durable
                and each.version < given_up.get((each.durable, each.stream), each.version + 1)
            ]
            if not ids or not await self._bus.idle(wanted.durable):
                continue
            # Asked again after the durable has answered: what was handled in between is not open any more.
            again = await self._record.stretch([wanted], place, STRETCH, among=ids)
            lost = [each for each in again.open if not each.waiting]
            if lost:
                first = lost[0]
                return [
                    f"{len(lost)} events never reach {wanted.durable}, the first is version {first.version}"
                    f" of {first.stream}"
                ]
        return []
