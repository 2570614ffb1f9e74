"""Which appends may be written as one: those of one writer that concern different things."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from libs.eventstore import codec
from libs.eventstore.row import seal
from libs.eventstore.store import Append, DocumentWrite, InboxMark, LeaseClaim, Timer, TimerClear
from libs.testing.appendcase import NOON
from libs.testing.samples import Noted, first, registry


def about(key: str, **other: Any) -> Append:
    """An append to one new stream."""
    return Append(service="tester", streams=(first(Noted(case_id=key, text=key)),), **other)


def bundles(*appends: Append) -> list[list[int]]:
    """How they are put together, by place."""
    return codec.bundles([seal(append, registry) for append in appends])


def test_appends_about_different_things_go_together_in_order() -> None:
    assert bundles(about("a"), about("b"), about("c")) == [[0, 1, 2]]


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ({}, {"service": "another"}),
        ({}, {"lease": LeaseClaim(name="l", epoch=1)}),
        ({"lease": LeaseClaim(name="l", epoch=1)}, {"lease": LeaseClaim(name="l", epoch=2)}),
        ({"inbox": (InboxMark(consumer="c", stream="s", before=0, version=1),)},) * 2,
        ({"documents": (DocumentWrite(view="v", key="k", before=0, data=b"1"),)},) * 2,
        (
            {"timers": (Timer(service="t", key="k", due=NOON, kind="x", subject=""),)},
            {"clear_timers": (TimerClear(service="t", key="k"),)},
        ),
    ],
    ids=["service", "lease", "epoch", "inbox", "document", "timer"],
)
def test_what_differs_in_its_writer_or_meets_in_one_thing_stays_apart(
    one: dict[str, Any], other: dict[str, Any]
) -> None:
    second = msgspec.structs.replace(about("b"), **other)
    assert bundles(about("a", **one), second) == [[0], [1]]


def test_two_appends_to_one_stream_stay_apart_and_in_order() -> None:
    assert bundles(about("a"), about("b"), about("a"), about("c")) == [[0, 1], [2, 3]]


def test_a_bundle_has_a_largest_size(monkeypatch: pytest.MonkeyPatch) -> None:
    sealed = seal(about("a"), registry)
    monkeypatch.setattr(codec, "BUNDLE_BYTES", 2 * len(sealed.rows[0].data))
    assert bundles(about("a"), about("b"), about("c")) == [[0, 1], [2]]


def test_a_bundle_is_written_as_one_request_with_the_members_in_order() -> None:
    mark = InboxMark(consumer="c", stream="s", before=0, version=1)
    bundle = [seal(append, registry) for append in (about("b"), about("a", inbox=(mark,)), about("c"))]
    (request,), datas = codec.requests([bundle])
    written = msgspec.json.decode(request)
    assert [event["stream"] for event in written["events"]] == ["case-b", "case-a", "case-c"]
    assert [stream["stream"] for stream in written["streams"]] == ["case-b", "case-a", "case-c"]
    assert written["inbox"] == [{"consumer": "c", "stream": "s", "before": 0, "version": 1}]
    assert "timers" not in written
    assert ("documents" in written, datas) == (False, [])


def test_documents_of_several_bundles_find_their_data_among_all_of_them() -> None:
    def documents(*keys: str) -> tuple[DocumentWrite, ...]:
        return tuple(DocumentWrite(view="v", key=key, before=1, data=key.encode() or None) for key in keys)

    appends = (
        about("a", documents=documents("1", "2")),
        about("b"),
        about("c", documents=documents("", "3")),
    )
    requests, datas = codec.requests([seal(append, registry)] for append in appends)
    written = [msgspec.json.decode(request) for request in requests]
    assert [one.get("documents_from") for one in written] == [1, None, 3]
    assert datas == [b"1", b"2", None, b"3"]
