from __future__ import annotations

import contextlib
import string
from datetime import UTC, datetime

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from contracts.message import Event, Meta, Recorded, Unknown, subject_of
from libs.messaging import cloudevents
from libs.messaging.bus import UndecodableError
from libs.testing.samples import Noted, registry

keys = st.text(string.ascii_letters + string.digits + "-_", min_size=1, max_size=30)
#: Any text that JSON can carry: no lone surrogates.
texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=40)
values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53), 2**53)
    | st.floats(allow_nan=False, allow_infinity=False)
    | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=6,
)
unknown = st.dictionaries(texts, values, max_size=4).map(
    lambda data: Unknown(type="from_the_future", data={**data, "type": "from_the_future"})
)
noted = st.builds(
    Noted,
    case_id=keys,
    text=texts,
    amount=st.floats(allow_nan=False, allow_infinity=False),
    count=st.integers(-(2**53), 2**53),
    tags=st.dictionaries(texts, texts, max_size=3),
)


@st.composite
def recorded(draw: st.DrawFn) -> Recorded:
    event: Event | Unknown = draw(noted | unknown)
    return Recorded(
        id=str(draw(st.uuids())),
        stream="case-" + draw(keys),
        version=draw(st.integers(1, 2**31)),
        type="noted" if isinstance(event, Noted) else "from_the_future",
        schema_version=1 if isinstance(event, Noted) else draw(st.integers(1, 99)),
        event=event,
        meta=draw(
            st.builds(Meta, **{field: texts for field in Meta.__struct_fields__ if field != "synthetic"})
        ),
        recorded_at=draw(
            st.datetimes(datetime(2000, 1, 1), datetime(2100, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001
        ),
        prev_hash=draw(st.text(string.hexdigits, max_size=64)),
        hash=draw(st.text(string.hexdigits, max_size=64)),
        position=draw(st.integers(0, 2**62)),
        xid=draw(st.integers(0, 2**62)),
    )


@settings(max_examples=40)
@given(recorded())
def test_an_event_comes_back_from_the_wire_as_it_was(event: Recorded) -> None:
    message = cloudevents.encode(event)
    assert cloudevents.decode(registry, message.headers, message.payload) == event


@settings(max_examples=40)
@given(recorded())
def test_headers_survive_every_transport(event: Recorded) -> None:
    message = cloudevents.encode(event)
    assert message.subject == subject_of(event.stream, event.type)
    for name, value in message.headers.items():
        assert value
        assert all("!" <= character <= "~" for character in name + value)


def example(meta: Meta | None = None) -> Recorded:
    return Recorded(
        id="5c1b8e0e-7d5a-4d8c-9f53-1f4f3a9e1a10",
        stream="case-7",
        version=3,
        type="noted",
        schema_version=1,
        event=Noted(case_id="7", text="hello"),
        meta=meta or Meta(service="keeper"),
        recorded_at=datetime(2026, 1, 1, 12, 0, 0, 250_000, tzinfo=UTC),
        prev_hash="00ff",
        hash="ff00",
        position=41,
        xid=9,
    )


def test_the_message_is_a_cloud_event_in_binary_mode() -> None:
    meta = Meta(
        service="keeper",
        causation_id="c-1",
        correlation_id="t-1",
        actor="Zoë Q",
        traceparent="00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
        synthetic=True,
        lease="keeper:4",
    )
    message = cloudevents.encode(example(meta))
    assert message.subject == "autopilot.v1.case.7.noted"
    assert message.headers == {
        "Nats-Msg-Id": "5c1b8e0e-7d5a-4d8c-9f53-1f4f3a9e1a10",
        "content-type": "application/json",
        "ce-specversion": "1.0",
        "ce-id": "5c1b8e0e-7d5a-4d8c-9f53-1f4f3a9e1a10",
        "ce-type": "autopilot.v1.noted",
        "ce-source": "/autopilot/keeper",
        "ce-subject": "case-7",
        "ce-time": "2026-01-01T12:00:00.250000Z",
        "ce-streamversion": "3",
        "ce-schemaversion": "1",
        "ce-position": "41",
        "ce-xid": "9",
        "ce-prevhash": "00ff",
        "ce-hash": "ff00",
        "ce-causationid": "c-1",
        "ce-correlationid": "t-1",
        "ce-actor": "Zo%C3%AB%20Q",
        "traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
        "ce-lease": "keeper:4",
        "ce-synthetic": "true",
    }
    assert msgspec.json.decode(message.payload) == {
        "type": "noted",
        "case_id": "7",
        "text": "hello",
        "amount": 0.0,
        "count": 0,
        "tags": {},
    }


def test_attribute_names_are_lower_case_letters_and_digits() -> None:
    everything = {field: "x" for field in Meta.__struct_fields__ if field != "synthetic"}
    headers = cloudevents.encode(example(Meta(**everything, synthetic=True))).headers
    for name in headers:
        if name.startswith("ce-"):
            assert name[3:].isalnum()
            assert name == name.lower()


def test_no_field_of_the_bookkeeping_is_forgotten() -> None:
    everything = {field: f"<{field}>" for field in Meta.__struct_fields__ if field != "synthetic"}
    event = example(Meta(**everything, synthetic=True))
    message = cloudevents.encode(event)
    assert cloudevents.decode(registry, message.headers, message.payload) == event


@pytest.mark.parametrize(
    "header", ["ce-id", "ce-type", "ce-source", "ce-subject", "ce-time", "ce-streamversion"]
)
def test_a_message_without_what_it_must_have_is_undecodable(header: str) -> None:
    message = cloudevents.encode(example())
    del message.headers[header]
    with pytest.raises(UndecodableError, match=f"header {header} is missing"):
        cloudevents.decode(registry, message.headers, message.payload)


@pytest.mark.parametrize(
    ("header", "value"),
    [
        ("ce-type", "com.example.noted"),
        ("ce-source", "/elsewhere"),
        ("ce-time", "yesterday"),
        ("ce-streamversion", "three"),
    ],
)
def test_a_message_with_strange_attributes_is_undecodable(header: str, value: str) -> None:
    message = cloudevents.encode(example())
    message.headers[header] = value
    with pytest.raises(UndecodableError):
        cloudevents.decode(registry, message.headers, message.payload)


@given(st.binary(max_size=60))
def test_any_payload_is_an_event_or_undecodable(payload: bytes) -> None:
    headers = cloudevents.encode(example()).headers
    with contextlib.suppress(UndecodableError):
        cloudevents.decode(registry, headers, payload)


@pytest.mark.parametrize(
    "subject",
    [
        "autopilot.v1.side.a.noted",
        "autopilot.v1.case.b.noted",
        "autopilot.v1.case.a.closed",
        "deadletter.x",
        "",
    ],
)
def test_a_message_under_the_subject_of_another_event_is_undecodable(subject: str) -> None:
    message = cloudevents.encode(example())
    assert message.subject not in ("", subject)
    assert (
        cloudevents.decode(registry, message.headers, message.payload, subject=message.subject) == example()
    )
    with pytest.raises(UndecodableError, match="do not belong under"):
        cloudevents.decode(registry, message.headers, message.payload, subject=subject)


def test_an_answer_of_the_server_under_an_events_subject_is_undecodable() -> None:
    message = cloudevents.encode(example())
    answered = {**message.headers, "Nats-Stream": "DEADLETTER", "Nats-Subject": "deadletter.x"}
    with pytest.raises(UndecodableError, match="an answer of the server"):
        cloudevents.decode(registry, answered, message.payload, subject=message.subject)
