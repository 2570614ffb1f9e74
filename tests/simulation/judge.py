"""What must hold: of the record at every moment, and of everything once it is at rest."""

from __future__ import annotations

from collections import Counter
from collections.abc import Awaitable, Callable, Hashable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

import msgspec

from contracts.message import Recorded
from libs.eventstore.store import Cursor
from libs.testing import invariants
from services.alerting.domain.conditions import alert_id
from services.alerting.domain.rules import judge as rules
from services.dashboard.handlers import project
from tests.simulation.process import config
from tests.system.twin import COMMIT

if TYPE_CHECKING:
    from tests.simulation.viewer import Viewer
    from tests.simulation.workload import Workload
    from tests.simulation.world import World

T = TypeVar("T")
#: Seconds; longer than any run.
SINCE_EVER_S = 1e6


def record(world: World) -> list[Recorded]:
    """Return all that is committed, in reading order; not by way of `read_all`, which is on trial here."""
    events = world.store._recorded.values()
    return sorted(events, key=lambda event: (event.xid, event.position))


#: What a look after each crash checks; the chain's hashes take longest and are left for the end.
_CHEAP = tuple(check for check in invariants.ALWAYS if check is not invariants.chain_holds)


def sound_so_far(world: World) -> list[str]:
    """List what the record breaks at this moment.

    Each check reads the events in order and judges each by those before it. So one look finds whatever a look after
    every single append would have found.
    """
    events = record(world)
    return [breach for check in _CHEAP for breach in check(events)]


async def judge(world: World, people: Workload, viewer: Viewer, rested: bool) -> list[str]:
    """List everything that is wrong at the end."""
    events = record(world)
    if not rested:
        return [f"it does not come to rest: {', '.join(world.unsettled()[:6])}", *invariants.breaches(events)]
    found = invariants.breaches_at_rest(events)
    found += invariants.strangers(events, [message.headers["ce-id"] for message in world.server.messages])
    found += lost_tasks(events, people)
    found += unhandled(events, world)
    found += missing_alerts(events, world)
    found += await lost_messages(events, world)
    found += leaked(events, world)
    found += wrong_pull_requests(events, world)
    found += await stale_views(events, world)
    found += [f"a dead letter: {letter.reason} ({letter.stream})" for letter in world.server.letters.values()]
    found += viewer.breaches()
    return found


def lost_tasks(events: Sequence[Recorded], people: Workload) -> Iterator[str]:
    """Invariant 7: what the API accepted is in the record, once."""
    submitted = Counter(event.event.task_id for event in events if event.type == "task_submitted")
    for task_id in people.accepted:
        if submitted[task_id] != 1:
            yield f"{task_id} was accepted and is recorded {submitted[task_id]} times"


def unhandled(events: Sequence[Recorded], world: World) -> Iterator[str]:
    """Whatever a consumer takes has reached it: its inbox is at the last event of its types in every stream.

    And who follows the record is at its end, with nothing held back.
    """
    for service in {service.name: service for _, service in world.replicas}.values():
        for consumer in service.consumes:
            durable, types = consumer.durable(service.name), consumer.types
            due = {event.stream: event.version for event in events if not types or event.type in types}
            for stream, version in due.items():
                handled = world.store._inbox.get((durable, stream), 0)
                if handled < version:
                    yield f"{durable} has handled {stream} up to {handled}, and {version} is due"
        for follower in service.follows:
            durable = follower.durable(service.name)
            cursor = world.store._followers.get(durable, Cursor())
            if events and cursor != Cursor(xid=events[-1].xid, position=events[-1].position):
                yield f"{durable} has read up to {cursor}, and the record ends at {events[-1].position}"
    yield from (f"{durable} is held back in {stream}" for durable, stream in world.store._held_back)


def missing_alerts(events: Sequence[Recorded], world: World) -> Iterator[str]:
    """Invariant 11 at rest: whatever fires a rule has its alert, and somebody was told."""
    raised = {event.event.alert_id for event in events if event.type == "alert_raised"}
    for event in events:
        for command in rules(event, ("pager",)):
            if command.alert_id not in raised:
                yield f"{event.type} of {event.stream} has no alert"
            elif not world.paged[command.alert_id]:
                yield f"nobody was told of {command.alert_id}"


async def lost_messages(events: Sequence[Recorded], world: World) -> list[str]:
    """Say what is wrong with epochs of the bus: each has an alert that somebody was told of, and follows a loss."""
    raised = {event.event.alert_id for event in events if event.type == "alert_raised"}
    resolved = {event.event.alert_id for event in events if event.type == "alert_resolved"}
    found = []
    for condition in await world.store.conditions(within_s=SINCE_EVER_S):
        name = alert_id(condition)
        if name not in raised or name not in resolved or not world.paged[name]:
            found.append(
                f"epoch {condition.subject} has no alert that was told and resolved: {condition.reason}"
            )
    if world.store.epoch.epoch > 1 and not world.losing.losses:
        found.append(f"the bus was made anew though it lost nothing: {world.store.epoch.reason}")
    return found


def leaked(events: Sequence[Recorded], world: World) -> Iterator[str]:
    """Invariant 12: no secret that the system knows is in an event, on the bus, in a view, or was told to people."""
    secrets = config("", "", "").secrets
    places = (
        ("an event", (msgspec.json.encode((event.event, event.meta)).decode() for event in events)),
        ("the bus", (f"{message.headers} {message.payload!r}" for message in world.server.messages)),
        ("a view", (f"{document.data!r}" for document in world.store._documents.values())),
        ("what was done", world.trace.lines),
    )
    for place, texts in places:
        for text in texts:
            if any(secret in text for secret in secrets):
                yield f"{place} holds a secret: {text[:200]}"


def wrong_pull_requests(events: Sequence[Recorded], world: World) -> Iterator[str]:
    """Invariant 6, from what the forge holds: one pull request for a task that is done, none for one that was cancelled."""
    heads = Counter(pull.head for pull in world.forge.pulls if pull.state == "open")
    last = {event.event.task_id: event for event in events if event.stream.startswith("task-")}
    for head, count in heads.items():
        if count > 1:
            yield f"{head} has {count} open pull requests"
    for task_id, event in last.items():
        fact: Any = event.event
        if event.type == "task_done" and fact.pull_requests:
            if heads[f"autopilot/{task_id}"] != 1:
                yield f"{task_id} is done with {heads[f'autopilot/{task_id}']} pull requests"
            if COMMIT not in {
                commit for (_, name), commit in world.forge.branches.items() if task_id in name
            }:
                yield f"{task_id} is done and its branch is elsewhere"
        elif (
            event.type == "task_cancelled"
            and heads[f"autopilot/{task_id}"]
            and not any("could not be closed" in line for line in fact.left)
        ):
            yield f"{task_id} was cancelled, and its pull request is open"


class _Folder:
    """What projections see of a unit of work, over nothing."""

    def __init__(self) -> None:
        self.documents: dict[tuple[str, str], tuple[Any, str]] = {}
        self.derived: dict[Hashable, Callable[[], Awaitable[None]]] = {}

    def derive(self, name: Hashable, action: Callable[[], Awaitable[None]]) -> None:
        """Keep an action for the end."""
        self.derived[name] = action

    async def document(
        self,
        view: str,
        key: str,
        type_: type[T],
        fold: Callable[[T | None], T | None],
        sort: Callable[[T], str],
    ) -> None:
        """Fold a document."""
        before = self.documents.get((view, key))
        after = fold(before[0] if before else None)
        if after is None:
            self.documents.pop((view, key), None)
        else:
            self.documents[view, key] = after, sort(after)


async def stale_views(events: Sequence[Recorded], world: World) -> list[str]:
    """Invariant 2: every view, rebuilt from nothing, equals the live one."""
    folder = _Folder()
    for event in events:
        await project(event, folder)
    for derive in folder.derived.values():
        await derive()
    rebuilt = {
        place: (msgspec.json.decode(msgspec.json.encode(document)), sort)
        for place, (document, sort) in folder.documents.items()
    }
    live = {
        (view, key): (msgspec.json.decode(document.data), document.sort)
        for (view, generation, key), document in world.store._documents.items()
        if generation == world.store._read_generation(view)
    }
    differing = [place for place in {**rebuilt, **live} if rebuilt.get(place) != live.get(place)]
    return [f"view {view}/{key} is not what a rebuild gives" for view, key in differing]
