"""On whose changes a task builds: those of what it depends on, and of tasks whose planned files overlapped with its own."""

from __future__ import annotations

from collections.abc import Mapping

from contracts.task import BaseRef
from services.scheduler.domain.state import Task


def predecessors(state: Task) -> tuple[str, ...]:
    """List the tasks whose changes a task's tree has to contain."""
    return tuple(dict.fromkeys((*state.depends_on, *state.after)))


def bases_of(state: Task, others: Mapping[str, Task]) -> tuple[BaseRef, ...]:
    """Refer to the pull requests of its predecessors; `others` are these, by id.

    Left out of those that it only shared files with: a change that was there and has been taken back, and one on which
    another of them is built, so that a chain does not name all its links.
    """
    there = {one: other for one, other in others.items() if one in state.depends_on or other.fulfilled}
    below = {base.task_id for other in there.values() if other.input for base in other.input.bases}
    urls = {repo.url for repo in state.spec.repos}
    return tuple(
        BaseRef(
            repo_url=pull.repo_url,
            task_id=task_id,
            commit=pull.commit,
            branch=pull.branch,
            pull_request=pull.url,
        )
        for task_id, other in there.items()
        if task_id in state.depends_on or task_id not in below
        for pull in other.pull_requests
        if pull.repo_url in urls
    )
