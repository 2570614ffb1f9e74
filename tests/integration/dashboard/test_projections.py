"""What the folds promise: one document whatever the order, nothing left out, nothing secret, nothing without bound."""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta

import msgspec
import pytest

from contracts.catalogue import EVENTS
from contracts.message import Event, Meta, Recorded, Unknown, stream_of, wire_type
from contracts.task import (
    MonitorWaitStarted,
    PullRequestRef,
    TaskDone,
    TaskGivenUp,
    TaskPriorityChanged,
    TaskRetried,
)
from services.dashboard.projections.card import active_card_of, card_of, pull_requests
from services.dashboard.projections.documents import TIMELINE_LIMIT, TaskDocument
from services.dashboard.projections.narrative import tell
from services.dashboard.projections.repository import without_credentials
from services.dashboard.projections.task import fold_task, task_of
from tests.integration.dashboard.sample import smallest
from tests.integration.dashboard.world import World

START = datetime(2026, 1, 1, tzinfo=UTC)


def recorded(event: Event | Unknown, position: int, stream: str = "") -> Recorded:
    """Put an event into the record, as far as a fold can see."""
    return Recorded(
        id=str(position),
        stream=stream or (stream_of(event) if isinstance(event, Event) else "task-x"),
        version=position,
        type=wire_type(type(event)) if isinstance(event, Event) else event.type,
        schema_version=1,
        event=event,
        meta=Meta(service="test"),
        recorded_at=START + timedelta(seconds=position),
        prev_hash="",
        hash="",
        position=position,
        xid=position,
    )


def folded(events: Iterable[Recorded]) -> dict[str, TaskDocument]:
    """Fold events into the documents of their tasks."""
    documents: dict[str, TaskDocument] = {}
    for each in events:
        if task_id := task_of(each.event):
            documents[task_id] = fold_task(documents.get(task_id), each)
    return documents


def shuffled(events: list[Recorded], seed: int) -> list[Recorded]:
    """Interleave streams at random; each stream keeps its own order, as the inbox sees to."""
    streams: dict[str, list[Recorded]] = defaultdict(list)
    for each in events:
        streams[each.stream].append(each)
    chance = random.Random(seed)
    waiting = list(streams.values())
    found = []
    while waiting:
        stream = chance.choice(waiting)
        found.append(stream.pop(0))
        waiting = [stream for stream in waiting if stream]
    return found


@pytest.mark.parametrize("seed", range(6))
async def test_streams_in_any_order_lead_to_the_same_documents(told: World, seed: int) -> None:
    events = await told.history()
    as_recorded, otherwise = folded(events), folded(shuffled(events, seed))
    assert otherwise == as_recorded
    for task_id, document in as_recorded.items():
        assert card_of(otherwise[task_id]) == card_of(document)


@pytest.mark.parametrize("cls", EVENTS, ids=lambda cls: cls.__name__)
def test_every_event_of_the_catalogue_is_told_and_folded(cls: type[Event]) -> None:
    event = smallest(cls)
    text, _ = tell(event)
    assert text
    if task_id := task_of(event):
        document = fold_task(TaskDocument(task_id=task_id), recorded(event, 1))
        assert [entry.text for entry in document.timeline] == [text]


def test_an_event_of_a_newer_release_is_kept_in_the_timeline() -> None:
    document = fold_task(None, recorded(Unknown(type="task_blessed", data={"task_id": "x"}), 1))
    assert document.task_id == "x"
    assert "task_blessed" in document.timeline[0].text


def test_the_timeline_keeps_the_latest_events_and_counts_all() -> None:
    wait = MonitorWaitStarted(task_id="x", until=START, next_probe=START)
    events = [recorded(wait, position) for position in range(1, TIMELINE_LIMIT + 11)]
    document = folded(events)["x"]
    assert [entry.position for entry in document.timeline] == list(range(11, TIMELINE_LIMIT + 11))
    assert document.events == TIMELINE_LIMIT + 10
    late = msgspec.structs.replace(events[0], position=5)
    assert fold_task(document, late).timeline == document.timeline


async def test_no_document_holds_credentials_of_a_repository_url(told: World) -> None:
    assert b"secret" in msgspec.json.encode(await told.history())
    assert b"secret" not in msgspec.json.encode(await told.documents())


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("https://user:pass@host/x.git", "https://host/x.git"),
        ("https://token@host:8443/x.git", "https://host:8443/x.git"),
        ("https://a:b@c@host/x.git", "https://host/x.git"),
        ("https://host/x.git", "https://host/x.git"),
        ("/srv/git/x@y.git", "/srv/git/x@y.git"),
        ("git@host:team/x.git", "git@host:team/x.git"),
        ("https://user:pass@[::1", "(not a URL)"),
    ],
)
def test_credentials_are_left_out_of_urls(url: str, shown: str) -> None:
    assert without_credentials(url) == shown


async def test_nothing_but_the_end_of_a_task_makes_it_done(told: World) -> None:
    events = [each for each in await told.history() if task_of(each.event) == "t-done"]
    without = folded(each for each in events if not isinstance(each.event, TaskDone))["t-done"]
    assert without.phase != "done"
    assert without.ended_at is None
    assert active_card_of(without) is not None


async def test_a_task_is_shown_in_the_class_that_somebody_moved_it_to(told: World) -> None:
    document = folded(await told.history())["t-wrong"]
    moved = TaskPriorityChanged(task_id="t-wrong", priority="low", before="normal", actor="ada")
    card = card_of(fold_task(document, recorded(moved, 10_000)))
    assert card is not None
    assert card.priority == "low"


async def test_an_end_takes_a_task_out_of_the_flow_and_a_retry_brings_it_back(told: World) -> None:
    document = folded(await told.history())["t-wrong"]
    assert document.phase == "incident"
    assert active_card_of(document) is None
    again = fold_task(document, recorded(TaskRetried(task_id="t-wrong", actor="ada"), 10_000))
    card = active_card_of(again)
    assert card is not None
    assert (card.phase, card.reason, card.incident_id, card.ended_at) == ("queued", "", "", None)
    given_up = TaskGivenUp(task_id="t-wrong", incident_id="inc-2", reason="again")
    twice = fold_task(again, recorded(given_up, 10_001))
    assert (twice.phase, twice.incident_id) == ("incident", "inc-2")


async def test_a_task_shows_what_was_measured(told: World) -> None:
    document = folded(await told.history())["t-wrong"]
    run = document.runs["t-wrong-verify-1"]
    assert run.status == "completed"
    assert [problem.code for problem in run.problems] == ["test_not_passing"]
    assert [(check.side, check.exit_code, check.failed) for check in run.checks] == [
        ("base", 1, 2),
        ("change", 1, 1),
    ]
    assert document.loops[0].outcome == "exhausted"
    assert document.incident_paths == {"inc-t-wrong": "incidents/inc-t-wrong"}


async def test_a_pull_request_is_shown_before_the_task_ends_and_only_once(told: World) -> None:
    watched = folded(await told.history())["t-watched"]
    assert watched.phase == "waiting"
    shown: tuple[PullRequestRef, ...] = pull_requests(watched)
    assert [(pull.repo, pull.number) for pull in shown] == [("ledgerline", 7)]
