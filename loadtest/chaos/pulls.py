"""What the real tasks of a case left on their forge, as plain git sees it."""

from __future__ import annotations

import subprocess
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path

from loadtest.checker.record import Record


def on_the_forge(record: Record, real: Sequence[str]) -> Iterator[str]:
    """Compare the forges with the record: one pull request for each real task, of its commit, and no other."""
    recorded: dict[str, dict[str, str]] = defaultdict(dict)
    opened: Counter[str] = Counter()
    for row in record.of("task_done"):
        for pull in row.data["pull_requests"]:
            # The local forge's address: file:///…/name.git#refs/pull/1/head
            forge = pull["url"].partition("#")[0].removeprefix("file://")
            recorded[forge][str(pull["number"])] = pull["commit"]
            opened[row.data["task_id"]] += 1
    yield from (
        f"{task} has {opened[task]} pull requests instead of one" for task in real if opened[task] != 1
    )
    for forge, pulls in recorded.items():
        found = _pulls(forge)
        for number in sorted({*pulls, *found}):
            if pulls.get(number) != found.get(number):
                yield (
                    f"pull request {number} of {Path(forge).name}: the forge has {found.get(number)},"
                    f" the record {pulls.get(number)}"
                )


def _pulls(forge: str) -> dict[str, str]:
    """Return the commit of each pull request by number."""
    listed = subprocess.run(
        ["git", "-C", forge, "for-each-ref", "--format=%(refname) %(objectname)", "refs/pull/*/head"],
        capture_output=True,
        text=True,
        check=True,
        timeout=30,
    )
    refs = (line.split() for line in listed.stdout.splitlines())
    return {Path(name).parent.name: commit for name, commit in refs}
