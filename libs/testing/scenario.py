"""Given events, when a command, then events: how a decider's tests read."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from contracts.message import Event
from libs.eventsourcing.decider import Decider


@dataclass(frozen=True)
class Scenario:
    """A decider with a history."""

    decider: Decider[Any, Any]
    history: tuple[Event, ...] = ()

    def given(self, *events: Event) -> Scenario:
        """Add events to the history."""
        return Scenario(self.decider, (*self.history, *events))

    def when(self, *commands: Any) -> Then:
        """Give commands, one after the other."""
        state = self.decider.fold(self.history)
        made: list[Event] = []
        for command in commands:
            for event in list(self.decider.decide(command, state)):
                state = self.decider.evolve(state, event)
                made.append(event)
        return Then(tuple(made), state)


@dataclass(frozen=True)
class Then:
    """What came of it."""

    events: tuple[Event, ...]
    state: Any

    def then(self, *expected: Event) -> None:
        """Expect exactly these events."""
        assert self.events == expected

    def then_types(self, *expected: type[Event]) -> None:
        """Expect events of these classes, in this order."""
        assert tuple(type(event) for event in self.events) == expected

    def then_nothing(self) -> None:
        """Expect silence."""
        assert self.events == ()
