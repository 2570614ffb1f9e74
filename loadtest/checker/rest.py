"""What holds once nothing is under way: nothing waits on its way to the bus, in an inbox, before a cursor, or for ever."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence, Set

from loadtest.checker.record import Record, Row

TASK_ENDS = ("task_done", "task_cancelled", "task_given_up")
#: Last events of a task that waits for its turn, or for what it depends on.
QUEUED = ("task_submitted", "task_unparked", "task_retried")
#: Seconds that a due timer may wait for its service.
LATE_S = 10.0


def outbox(record: Record) -> Iterator[str]:
    """Every event has been confirmed by the bus."""
    for position, service in record.outbox:
        yield f"position {position} of {service} still waits for the bus"


def inbox_is_true(record: Record) -> Iterator[str]:
    """No consumer claims a version that its stream does not have."""
    known = {(row.stream, row.version) for row in record.events}
    for (consumer, stream), version in record.inbox.items():
        if (stream, version) not in known:
            yield f"{consumer} claims to have handled version {version} of {stream}, which does not exist"


def inbox_is_complete(record: Record, filters: Mapping[str, Iterable[str]]) -> Iterator[str]:
    """Every consumer has handled the last event of its kind in every stream; `filters` as the topology says them."""
    patterns = {consumer: _pattern(subjects) for consumer, subjects in filters.items()}
    last: dict[tuple[str, str], Row] = {}
    for row in record.events:
        subject = f"autopilot.v1.{row.category}.{row.stream.partition('-')[2]}.{row.type}"
        for consumer, pattern in patterns.items():
            if pattern.fullmatch(subject):
                last[consumer, row.stream] = row
    for (consumer, stream), row in last.items():
        if record.inbox.get((consumer, stream), 0) < row.version:
            yield f"{consumer} has not handled {row.place}"
    for consumer, stream in record.inbox:
        if consumer in patterns and (consumer, stream) not in last:
            yield f"{consumer} claims to have handled {stream}, which has nothing for it"


def followers_are_done(record: Record, names: Iterable[str]) -> Iterator[str]:
    """Every follower has read the record to its end, and holds nothing back."""
    end = (record.events[-1].xid, record.events[-1].position) if record.events else (0, 0)
    for name in names:
        reached = record.followers.get(name, (0, 0))
        if reached < end:
            yield f"{name} has read up to position {reached[1]}, and the record ends at {end[1]}"
    for (name, stream), version in record.held_back.items():
        yield f"{name} holds {stream} back behind version {version}"


def cursors_are_true(record: Record) -> Iterator[str]:
    """No follower claims to have read what is not there."""
    known = {(row.xid, row.position) for row in record.events}
    for name, reached in record.followers.items():
        if reached != (0, 0) and reached not in known:
            yield f"{name} claims to have read up to {reached}, where there is no event"


def tasks(record: Record, accepted: Iterable[str] = ()) -> Iterator[str]:
    """Every task that was accepted is there and has ended, is parked with reason, owner and wake-up, or queued behind one that is."""
    last: dict[str, Row] = {}
    needs: dict[str, Sequence[str]] = {}
    held: set[str] = set()
    for row in record.events:
        # Its class changes, and it goes on waiting for what it waited for.
        if row.category == "task" and row.type != "task_priority_changed":
            last[row.data["task_id"]] = row
        elif row.type == "slot_granted":
            held.add(row.data["task_id"])
        elif row.type == "slot_released":
            held.discard(row.data["task_id"])
        if row.type == "task_submitted":
            needs[row.data["task_id"]] = row.data.get("depends_on", ())
    parked = {task for task, row in last.items() if row.type == "task_parked"}
    queued = {task for task, row in last.items() if row.type in QUEUED}
    for task in sorted(set(accepted) - set(last)):
        yield f"{task} was accepted and is not in the record"
    for task, row in last.items():
        if task in parked:
            if not (row.data["reason"] and row.data["owner"] and row.data["wake_up"]):
                yield f"{row.place}: parked without a reason, an owner or a wake-up"
        elif row.type not in TASK_ENDS and not (task in queued and _behind(task, needs, parked, queued)):
            yield f"{task} has not ended: {row.place}"
        if task in held:
            yield f"{task} holds a slot though {row.place}"


def _behind(task: str, needs: Mapping[str, Sequence[str]], parked: Set[str], queued: Set[str]) -> bool:
    """Tell whether a task waits for a parked one, itself or for others that do."""
    seen, ahead = set[str](), list(needs[task])
    while ahead:
        if (other := ahead.pop()) in parked:
            return True
        if other in queued and other not in seen:
            seen.add(other)
            ahead += needs[other]
    return False


def effects_are_settled(record: Record) -> Iterator[str]:
    """Nobody has to guess what became of an effect."""
    unknown: dict[tuple[str, str], Row] = {}
    for row in record.of("effect_intended", "effect_settled"):
        key = (row.data["run_id"], row.data["effect"])
        if row.type == "effect_intended":
            unknown[key] = row
        else:
            unknown.pop(key, None)
    ended = {row.data["run_id"] for row in record.of("stage_completed", "stage_cancelled")}
    for (run, effect), row in unknown.items():
        if run in ended:
            yield f"{row.place}: nobody knows what became of {effect}"


def incidents(record: Record) -> Iterator[str]:
    """Who was given up has its incident filed, once."""
    filed: dict[str, int] = defaultdict(int)
    for row in record.of("incident_filed"):
        filed[row.data["incident_id"]] += 1
    for row in record.of("task_given_up"):
        if filed[row.data["incident_id"]] != 1:
            yield f"{row.place}: its incident was filed {filed[row.data['incident_id']]} times"


def timers(record: Record) -> Iterator[str]:
    """No timer is long overdue."""
    for service, key, late_s in record.overdue:
        if late_s > LATE_S:
            yield f"timer {key} of {service} is {late_s:.0f} s overdue"


def followers_of(topology: str) -> list[str]:
    """Read who follows the record from the text of `docs/topology.txt`."""
    return [line.split()[1] for line in topology.splitlines() if line.startswith("follower ")]


def filters_of(topology: str) -> dict[str, list[str]]:
    """Read which subjects each consumer takes from the text of `docs/topology.txt`."""
    found: dict[str, list[str]] = {}
    consumer = ""
    for line in topology.splitlines():
        match line.split():
            case ["consumer", name]:
                consumer = name
                found[consumer] = []
            case ["takes", subject] if consumer:
                found[consumer].append(subject)
            case _ if not line.startswith(" "):
                consumer = ""
    return found


def _pattern(subjects: Iterable[str]) -> re.Pattern[str]:
    translated = (re.escape(one).replace(r"\*", r"[^.]+").replace(">", ".+") for one in subjects)
    return re.compile("|".join(translated))
