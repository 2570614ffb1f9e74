"""Histories that no scheduler made: facts by wire type and fields, as the checks look at them."""

from __future__ import annotations

from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

from contracts.message import Meta, Recorded, stream_name

_AT = datetime(2026, 1, 1, tzinfo=UTC)
_OF_TASKS = (
    "task_submitted",
    "task_admitted",
    "task_parked",
    "task_priority_changed",
    "task_done",
    "task_given_up",
    "task_cancelled",
)


def told(*facts: tuple[str, dict[str, Any]]) -> list[Recorded]:
    """Make a history of wire types and fields; streams and hashes are of no account here."""
    return [
        Recorded(
            position=place,
            xid=place,
            stream=stream_name("task", fields["task_id"]) if type_ in _OF_TASKS else "admission-main",
            version=place,
            id=str(place),
            type=type_,
            schema_version=1,
            event=SimpleNamespace(**fields),  # type: ignore[arg-type]
            meta=Meta(service="scheduler"),
            recorded_at=_AT,
            prev_hash="",
            hash="",
        )
        for place, (type_, fields) in enumerate(facts, 1)
    ]


def submitted(task_id: str, *needs: str, url: str = "u") -> Any:
    spec = SimpleNamespace(repos=(SimpleNamespace(url=url),))
    return ("task_submitted", {"task_id": task_id, "depends_on": needs, "spec": spec})


def enqueued(task_id: str, priority: str = "normal", *needs: str, queue: str = "default") -> Any:
    fields = {"task_id": task_id, "priority": priority, "queue": queue, "depends_on": needs}
    return ("task_enqueued", fields)


def granted(task_id: str, rank: str | None = None, *, eldest: bool = False) -> Any:
    return ("slot_granted", {"task_id": task_id, "rank": rank, "eldest": eldest})


def released(task_id: str) -> Any:
    return ("slot_released", {"task_id": task_id, "reason": "done"})
