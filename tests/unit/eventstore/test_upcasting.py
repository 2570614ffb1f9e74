"""Old schema versions are read as today's class; types and versions of a newer release are carried as they are."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, ClassVar

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from contracts.message import CARRIER, Event, Recorded, Registry, Unknown
from libs.messaging import cloudevents
from libs.testing.releases import Weighed, first_release, second_release, today
from libs.testing.samples import META

#: JSON of which this release knows nothing.
values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53) + 1, 2**53 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=["Cs"]), max_size=20),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.text(st.characters(exclude_categories=["Cs"]), max_size=5), inner, max_size=3)
    ),
    max_leaves=8,
)


def recorded(event: Event | Unknown, type_: str, version: int) -> Recorded:
    return Recorded(
        id="5c1b8e0e-7d5a-4d8c-9f53-1f4f3a9e1a10",
        stream="parcel-p",
        version=1,
        type=type_,
        schema_version=version,
        event=event,
        meta=META,
        recorded_at=datetime(2026, 1, 1, tzinfo=UTC),
        prev_hash="",
        hash="00",
    )


@pytest.mark.parametrize(
    ("written", "version"),
    [
        (b'{"type":"weighed","parcel_id":"p","pounds":4.0}', 1),
        (b'{"type":"weighed","parcel_id":"p","kilograms":2.0}', 2),
        (b'{"type":"weighed","parcel_id":"p","grams":2000}', 3),
    ],
)
def test_each_version_reads_as_the_class_of_today(written: bytes, version: int) -> None:
    assert today.decode("weighed", written, version) == Weighed(parcel_id="p", grams=2000)


def test_every_release_reads_what_the_ones_before_it_wrote() -> None:
    second = second_release()
    read = Registry((second,)).decode("weighed", b'{"type":"weighed","parcel_id":"p","pounds":4.0}', 1)
    assert read == second(parcel_id="p", kilograms=2.0)


@pytest.mark.parametrize("release", [first_release, second_release])
def test_a_newer_version_is_carried_and_not_read_as_what_it_was_before(release: Any) -> None:
    data = b'{"type":"weighed","parcel_id":"p","pounds":1,"kilograms":1,"grams":2000}'
    carried = Registry((release(),)).decode("weighed", data, 3)
    assert carried == Unknown(type="weighed", data=msgspec.json.decode(data))


@pytest.mark.parametrize(
    ("data", "version"),
    [
        (b'{"type":"weighed","parcel_id":"p"}', 1),
        (b'{"type":"weighed","parcel_id":"p","kilograms":"heavy"}', 2),
        (b'{"type":"weighed","parcel_id":"p","kilograms":1}', 0),
        (b'["weighed"]', 1),
        (b'["weighed"]', 4),
    ],
)
def test_what_cannot_be_brought_forward_is_malformed_and_not_a_crash(data: bytes, version: int) -> None:
    with pytest.raises(msgspec.ValidationError):
        today.decode("weighed", data, version)


@pytest.mark.parametrize("missing", [1, 2])
def test_a_class_that_leaves_a_version_out_is_refused_at_start(missing: int) -> None:
    class Gapped(Weighed, frozen=True, kw_only=True):
        upcasts: ClassVar[Any] = {
            version: upcast for version, upcast in Weighed.upcasts.items() if version != missing
        }

    with pytest.raises(ValueError, match="Gapped needs an upcast from each version before 3"):
        Registry((Gapped,))


def test_what_was_brought_forward_is_not_brought_forward_again_behind_the_bus() -> None:
    event = today.decode("weighed", b'{"type":"weighed","parcel_id":"p","pounds":4.0}', 1)
    message = cloudevents.encode(recorded(event, "weighed", 1))
    assert message.headers["ce-schemaversion"] == "3"
    assert cloudevents.decode(today, message.headers, message.payload).event == event


def test_what_the_relay_sweeps_up_is_passed_on_in_its_own_version() -> None:
    json = b'{"type":"weighed","parcel_id":"p","pounds":4.0,"scale":"a field of a newer release"}'
    message = cloudevents.encode(recorded(CARRIER.decode("weighed", json, 1), "weighed", 1))
    assert (message.headers["ce-schemaversion"], message.payload) == ("1", json)
    arrived = cloudevents.decode(today, message.headers, message.payload)
    assert arrived.event == Weighed(parcel_id="p", grams=2000)


@settings(max_examples=60)
@given(
    data=st.dictionaries(st.from_regex(r"[a-z_]{1,8}", fullmatch=True), values, max_size=4),
    type_=st.sampled_from(["weighed", "forwarded"]),
    version=st.integers(4, 9),
)
def test_what_a_future_release_wrote_passes_the_bus_as_it_was(
    data: dict[str, Any], type_: str, version: int
) -> None:
    json = msgspec.json.encode({**data, "type": type_, "parcel_id": "p"})
    event = today.decode(type_, json, version)
    assert isinstance(event, Unknown)
    message = cloudevents.encode(recorded(event, type_, version))
    assert message.payload == json
    arrived = cloudevents.decode(today, message.headers, message.payload)
    assert arrived == recorded(event, type_, version)
