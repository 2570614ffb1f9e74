"""The catalogue holds together: owners, types, subjects, front doors."""

from __future__ import annotations

import importlib
import re

import msgspec
import pytest

from autopilot.stack.config import SERVICES, module_of
from autopilot.wiring import services
from contracts.catalogue import EVENTS, OWNERS, UNIONS, classes_of, registry
from contracts.message import TOKEN, Event, Unknown, subject_filter, wire_type

SUBJECT = re.compile(r"^autopilot\.v1\.[a-z]+\.\*\.[a-z_]+$")


@pytest.mark.parametrize("event", EVENTS, ids=wire_type)
def test_every_event_can_be_named_on_the_bus(event: type[Event]) -> None:
    assert SUBJECT.match(subject_filter(event))
    assert TOKEN.match(wire_type(event))
    assert event.key in {field.name for field in msgspec.structs.fields(event)}
    assert event.__doc__


def test_every_stream_has_one_writer() -> None:
    assert set(OWNERS) == set(UNIONS)
    written = {category: service.name for service in services() for category in service.categories}
    assert written == OWNERS


@pytest.mark.parametrize("category", UNIONS)
def test_events_of_a_file_belong_to_its_stream(category: str) -> None:
    assert {event.stream for event in classes_of(category)} == {category}


def test_unknown_types_are_carried() -> None:
    known = registry.decode("from_the_future", b'{"type":"from_the_future","x":1}', 1)
    assert known == Unknown(type="from_the_future", data={"type": "from_the_future", "x": 1})


@pytest.mark.parametrize("name", SERVICES)
def test_front_door_tells_the_truth(name: str) -> None:
    """`Owns:` and `Consumes:` of a service's docstring are what its value declares."""
    service = importlib.import_module(module_of(name)).service
    text = " ".join((importlib.import_module(module_of(name).removesuffix(".app")).__doc__ or "").split())
    owns = re.search(r"Owns: (.*?) Consumes:", text)
    consumes = re.search(r"Consumes: (.*?) Emits:", text)
    assert owns is not None
    assert consumes is not None
    told = set(re.split(r"[ ,]+", owns.group(1))) - {"nothing"}
    assert told == set(service.categories)
    subscriptions = (*service.consumes, *service.follows)
    if any(one.everything for one in subscriptions):
        assert "every event" in consumes.group(1)
    else:
        types = {type_ for one in subscriptions for type_ in one.types}
        assert set(re.split(r"[ ,]+", consumes.group(1))) == types
