"""Every aggregate's state can be kept as a snapshot: JSON gives it back as it was, and its code has a fingerprint."""

from __future__ import annotations

from typing import Any

import pytest

from autopilot.wiring import services
from contracts.catalogue import classes_of, registry
from contracts.message import wire_type
from libs.eventsourcing.decider import Decider
from libs.runtime.snapshots import decode, encode, fingerprint
from tests.contract.test_payloads import payload

DECIDERS = [decider for service in services() for decider in service.owns]


@pytest.mark.parametrize("decider", DECIDERS, ids=lambda decider: decider.category)
def test_json_gives_back_every_state_as_it_was(decider: Decider[Any, Any]) -> None:
    state = decider.initial
    for cls in classes_of(decider.category):
        event = registry.decode(wire_type(cls), payload(cls, cls.schema_version), cls.schema_version)
        state = decider.evolve(state, event)
        assert type(state) is type(decider.initial)
        assert decode(encode(state), type(state)) == state


@pytest.mark.parametrize("decider", DECIDERS, ids=lambda decider: decider.category)
def test_the_code_that_folds_can_be_told_from_any_other(decider: Decider[Any, Any]) -> None:
    assert len(fingerprint(decider.evolve)) == 64
