"""Who waits for another mode, so that whoever ends the wait need not look through all tasks there are."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TypeAlias, assert_never, get_args

import msgspec

from contracts.mode import AsideEvent, Mode, SetAside, TasksCalledBack, TaskSetAside
from libs.eventsourcing.decider import Decider
from services.scheduler.domain.mode import awaits

#: Tasks that are called back in one append; those that wait are kept in lots of so many.
LOT = 200
Lots: TypeAlias = tuple[tuple[str, ...], ...]


class NoteAside(msgspec.Struct, frozen=True, kw_only=True):
    """A task has been parked by the mode in force."""

    task_id: str
    code: SetAside


class CallBack(msgspec.Struct, frozen=True, kw_only=True):
    """The next of those that need not wait any more shall be queued."""

    #: In force.
    mode: Mode


AsideCommand: TypeAlias = NoteAside | CallBack


class Aside(msgspec.Struct, frozen=True, kw_only=True):
    """Who was set aside and not called back, in order. Some may have been taken up by a person since, or be cancelled."""

    lots: dict[SetAside, Lots] = msgspec.field(default_factory=dict)

    @property
    def waiting(self) -> int:
        """Count them."""
        return sum(len(lot) for lots in self.lots.values() for lot in lots)


def decide(command: AsideCommand, state: Aside) -> Iterator[AsideEvent]:
    """Keep who waits, and let them go on lot by lot."""
    match command:
        case NoteAside(task_id=task_id, code=code):
            yield TaskSetAside(task_id=task_id, code=code)
        case CallBack(mode=mode):
            for code in get_args(SetAside):
                if state.lots.get(code) and not awaits(code, mode):
                    yield TasksCalledBack(task_ids=state.lots[code][0], code=code)
                    return


def evolve(state: Aside, event: AsideEvent) -> Aside:
    """Remember who waits."""
    match event:
        case TaskSetAside(task_id=task_id, code=code):
            lots = _added(state.lots.get(code, ()), task_id)
        case TasksCalledBack(code=code):
            lots = state.lots[code][1:]
        case _:
            assert_never(event)
    return Aside(lots={**state.lots, code: lots})


def _added(lots: Lots, task_id: str) -> Lots:
    # However many wait, one more costs no more than a lot.
    if lots and len(lots[-1]) < LOT:
        return (*lots[:-1], (*lots[-1], task_id))
    return (*lots, (task_id,))


aside: Decider[AsideCommand, Aside] = Decider("aside", Aside(), decide, evolve)
