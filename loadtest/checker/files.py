"""Invariant 9: no two tasks change a file of one repository and branch at the same time."""

from __future__ import annotations

from collections.abc import Iterator

from loadtest.checker.record import Record


def files(record: Record) -> Iterator[str]:
    """A file is claimed by one task at a time."""
    held: dict[str, set[tuple[str, str, str]]] = {}
    for row in record.of("files_claimed", "files_awaited", "files_released"):
        task = row.data["task_id"]
        held.pop(task, None)
        if row.type != "files_claimed":
            continue
        wanted = {(one["repo_url"], one["base"], path) for one in row.data["files"] for path in one["paths"]}
        for other, theirs in held.items():
            if wanted & theirs:
                yield f"{row.place}: {other} holds {sorted(wanted & theirs)[0][2]}"
        held[task] = wanted
