"""Who acted: no lease's epochs interleave, and what a run records is written by whoever holds it then."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator

from loadtest.checker.record import Record


def epochs(record: Record) -> Iterator[str]:
    """Once an epoch has written, no earlier one of the same lease writes again, and none is beyond the lease's own."""
    newest: dict[str, int] = defaultdict(int)
    for row in record.events:
        name, _, epoch = row.meta.get("lease", "").rpartition(":")
        if not name:
            continue
        if int(epoch) < newest[name]:
            yield f"{row.place}: written under epoch {epoch} of {name} after epoch {newest[name]}"
        newest[name] = max(newest[name], int(epoch))
    for name, epoch in newest.items():
        held = record.leases.get(name)
        if held is None or held[1] < epoch:
            yield f"epoch {epoch} of {name} has written, but the lease says {held}"


def holders(record: Record) -> Iterator[str]:
    """A run is claimed once; until its end, only the replica and epoch that hold it write in its stream."""
    for stream, rows in record.streams().items():
        if not stream.startswith("run-"):
            continue
        holder = ""
        for row in rows:
            if row.type in ("stage_started", "stage_resumed"):
                if row.type == "stage_started" and holder:
                    yield f"{row.place}: claimed again"
                if row.type == "stage_resumed" and not holder:
                    yield f"{row.place}: resumed without having been claimed"
                holder = f"{row.data['replica']}:{row.data['epoch']}"
            elif not holder and row.type == "stage_cancelled":
                continue  # stopped before anybody claimed it
            if row.meta.get("lease") != holder:
                yield f"{row.place}: written by {row.meta.get('lease')!r}, held by {holder!r}"
