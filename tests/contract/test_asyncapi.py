"""The AsyncAPI document holds together and names what the bus allows; samples of every event fit what it says.

That the file is fresh is `test_documents.py`'s business. The document was also given to AsyncAPI's own parser by hand; see
docs/containers.md.
"""

from __future__ import annotations

import json
import types
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

import msgspec
import pytest
from jsonschema import Draft7Validator

from autopilot.asyncapi import headers
from autopilot.documents import ROOT
from autopilot.stack.config import SERVICES
from autopilot.wiring import topology
from contracts.catalogue import EVENTS, OWNERS
from contracts.message import Event, Meta, Recorded, wire_type
from libs.messaging.cloudevents import HEADERS, REQUIRED, encode
from libs.messaging.subject import covers

DOCUMENT: dict[str, Any] = json.loads((ROOT / "contracts/schemas/asyncapi.json").read_text())


def pointed(reference: str) -> Any:
    place: Any = DOCUMENT
    for step in reference.removeprefix("#/").split("/"):
        place = place[step]
    return place


def references(node: Any) -> Iterator[str]:
    if isinstance(node, dict):
        if isinstance(node.get("$ref"), str):
            yield node["$ref"]
        for value in node.values():
            yield from references(value)
    elif isinstance(node, list):
        for value in node:
            yield from references(value)


def validator(name: str) -> Draft7Validator:
    """Reads a schema of the document; its references point into the document."""
    return Draft7Validator({**DOCUMENT, "allOf": [{"$ref": f"#/components/schemas/{name}"}]})


def sample(kind: Any, *, full: bool) -> Any:
    """Makes a value of a type: its optional parts too, or what must be there alone."""
    origin, parts = get_origin(kind), get_args(kind)
    if hasattr(kind, "__metadata__"):
        return annotated(kind, full=full)
    if origin is Literal:
        return parts[-1]
    if origin in (Union, types.UnionType):
        return sample(parts[0] if full else parts[-1], full=full)
    if origin is tuple:
        inner = parts[:1] if parts[-1] is Ellipsis else parts
        return tuple(sample(one, full=full) for one in inner) if full or parts[-1] is not Ellipsis else ()
    if origin is dict:
        return {"key": sample(parts[1], full=full)} if full else {}
    if isinstance(kind, type) and issubclass(kind, msgspec.Struct):
        hints = get_type_hints(kind, include_extras=True)
        fields = msgspec.structs.fields(kind)
        return kind(**{f.name: sample(hints[f.name], full=full) for f in fields if full or f.required})
    plain = {
        str: "x",
        int: 1,
        float: 0.5,
        bool: True,
        type(None): None,
        datetime: datetime(2026, 1, 2, tzinfo=UTC),
    }
    return plain[kind]


def annotated(kind: Any, *, full: bool) -> Any:
    """Makes a value that respects what an annotation demands of it."""
    bare, meta = (
        kind.__origin__,
        next((one for one in kind.__metadata__ if isinstance(one, msgspec.Meta)), None),
    )
    value = sample(bare, full=full)
    if meta is None:
        return value
    if isinstance(value, tuple) and len(value) < (meta.min_length or 0):
        return (sample(get_args(bare)[0], full=full),) * (meta.min_length or 0)
    if isinstance(value, int | float) and not isinstance(value, bool):
        return type(value)(max(value, meta.ge or 0))
    return value


def recorded(event: Event) -> Recorded:
    return Recorded(
        id="id-1",
        stream=f"{event.stream}-k1",
        version=1,
        type=wire_type(type(event)),
        schema_version=1,
        event=event,
        meta=Meta(service=OWNERS[event.stream], correlation_id="t1", traceparent="00-aa-bb-01"),
        recorded_at=datetime(2026, 1, 2, tzinfo=UTC),
        prev_hash="",
        hash="h",
        position=7,
        xid=8,
    )


def test_every_reference_points_at_something() -> None:
    found = set(references(DOCUMENT))
    assert found
    for reference in found:
        assert pointed(reference) is not None


def test_every_schema_is_one() -> None:
    for schema in DOCUMENT["components"]["schemas"].values():
        Draft7Validator.check_schema(schema)
    assert "prefixItems" not in json.dumps(DOCUMENT["components"]["schemas"])


@pytest.mark.parametrize("event", EVENTS, ids=wire_type)
def test_an_event_has_its_channel_with_the_key_as_parameter_and_one_sender(event: type[Event]) -> None:
    name = wire_type(event)
    channel = DOCUMENT["channels"][name]
    assert list(channel["parameters"]) == [event.key]
    assert f"{{{event.key}}}" in channel["address"]
    senders = [
        operation["tags"][0]["name"]
        for operation in DOCUMENT["operations"].values()
        if operation["action"] == "send" and operation["channel"]["$ref"] == f"#/channels/{name}"
    ]
    assert senders == [OWNERS[event.stream]]


def test_who_receives_is_who_has_a_consumer_for_it() -> None:
    told = {name for name, one in DOCUMENT["operations"].items() if one["action"] == "receive"}
    subjects = {wire_type(event): f"autopilot.v1.{event.stream}.k.{wire_type(event)}" for event in EVENTS}
    assert told == {
        f"{consumer.durable}-receives-{name}"
        for consumer in topology().consumers
        for name, subject in subjects.items()
        if any(covers(pattern, subject) for pattern in consumer.filters)
    }
    # The dashboard owns nothing, and follows the record.
    assert {one["tags"][0]["name"] for one in DOCUMENT["operations"].values()} == {*SERVICES} - {"dashboard"}


@pytest.mark.parametrize("full", [True, False], ids=["full", "sparse"])
@pytest.mark.parametrize("event", EVENTS, ids=wire_type)
def test_what_goes_over_the_wire_fits_the_document(event: type[Event], full: bool) -> None:
    message = encode(recorded(sample(event, full=full)))
    validator(event.__name__).validate(json.loads(message.payload))
    Draft7Validator(headers()).validate(message.headers)
    assert set(message.headers) <= set(HEADERS)


@pytest.mark.parametrize("event", EVENTS, ids=wire_type)
def test_what_lacks_a_field_or_is_another_event_does_not_fit(event: type[Event]) -> None:
    payload = json.loads(encode(recorded(sample(event, full=True))).payload)
    check = validator(event.__name__)
    required = [field.name for field in msgspec.structs.fields(event) if field.required]
    for field in ("type", *required):
        assert not check.is_valid({name: value for name, value in payload.items() if name != field})
    assert not check.is_valid({**payload, "type": "another"})


@pytest.mark.parametrize("header", REQUIRED)
def test_a_message_without_what_it_is_read_by_does_not_fit(header: str) -> None:
    message = encode(recorded(sample(EVENTS[0], full=True)))
    assert not Draft7Validator(headers()).is_valid(
        {name: value for name, value in message.headers.items() if name != header}
    )
