"""Puts incidents into the forge as a branch, `incident/<task>`: each further incident of a task is one more commit.

The branch has a history of its own: nobody can merge it by mistake, which would take all files of the project away.
The base lies beside it under `refs/incidents/`, so that a clone finds it where it came from.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection
from datetime import datetime
from pathlib import Path
from typing import TypeVar

import msgspec
import structlog

from contracts.resolution import IncidentOpened, IncidentWritten
from libs.forge.error import ForgeError
from libs.forge.port import Forge
from libs.git.broker import Broker
from libs.git.error import GitError, LeaseLostError
from libs.git.url import redact
from services.resolution.adapters.reporter import Written, base_ref

log = structlog.get_logger(__name__)
T = TypeVar("T")

#: Seconds before a call that failed for a passing reason is made again.
WAITS_S = (1.0, 4.0, 10.0)


class Place(msgspec.Struct, frozen=True, kw_only=True):
    """Where an incident's commit is going to be put."""

    repo_url: str = ""
    branch: str = ""
    commit: str = ""
    #: The commit the branch is at; empty where there is no branch yet.
    parent: str = ""
    #: Why there is going to be no branch.
    unpublished: str = ""


class Branches:
    """Makes the commits and pushes them."""

    def __init__(self, data_dir: Path, forge: Forge) -> None:
        self._broker, self._forge = Broker(data_dir), forge

    async def commit(
        self, incident: IncidentOpened, written: Written, when: datetime, earlier: Collection[str]
    ) -> Place:
        """Make the commit in the private clone, where nobody sees it yet.

        `earlier` are the commits of this task's earlier incidents: on any other the branch is somebody else's.
        """
        branch = f"incident/{incident.task_id}"
        url = next(
            (
                repo.url
                for repo in incident.repos
                if incident.repo in ("", repo.name) and self._broker.existing(repo.url)
            ),
            None,
        )
        if url is None:
            return Place(unpublished="there is no clone of the repository to make a branch of")
        mirror = self._broker.existing(url)
        assert mirror is not None, "it was there a moment ago"
        try:
            head = await _patiently(lambda: self._forge.branch_head(url, branch)) or ""
            if head and head not in earlier:
                return Place(unpublished=_moved(branch, head))
            commit = await mirror.commit_files(
                written.path, written.files, written.message, parents=[head] if head else [], when=when
            )
        except (ForgeError, GitError) as error:
            return Place(unpublished=f"the branch cannot be made: {error}")
        return Place(repo_url=url, branch=branch, commit=commit, parent=head)

    async def push(self, opened: IncidentOpened, written: IncidentWritten) -> tuple[str, str]:
        """Push what was committed and return the forge's address and, if it could not be done, why.

        Doing it again is fine: a branch that is there already is adopted.
        """
        if not written.commit:
            return "", ""
        try:
            # Without credentials, and without a mark in their place: people copy it.
            return redact(await _patiently(lambda: self._push(opened, written))).replace("***@", ""), ""
        except LeaseLostError as error:
            return "", _moved(written.branch, error.actual or "nothing")
        except (ForgeError, GitError) as error:
            log.warning("incident_not_published", incident=opened.incident_id, error=str(error))
            return "", f"the branch cannot be pushed: {error}"

    async def _push(self, opened: IncidentOpened, written: IncidentWritten) -> str:
        mirror = self._broker.existing(written.repo_url)
        if mirror is None:
            raise GitError(f"the private clone of {redact(written.repo_url)} is gone")
        head = await self._forge.branch_head(written.repo_url, written.branch)
        target = await self._forge.remote(written.repo_url)
        if head == written.commit:
            return target
        name = next(repo.name for repo in opened.repos if repo.url == written.repo_url)
        base = next(
            (change.base_commit for change in opened.changes if change.repo == name), opened.bases.get(name)
        )
        if base is not None:
            try:
                await mirror.push(target, base, base_ref(opened.incident_id), expected=None)
            except LeaseLostError:
                log.warning("base_of_incident_kept_elsewhere", incident=opened.incident_id)
        await mirror.push(
            target, written.commit, f"refs/heads/{written.branch}", expected=written.parent or None
        )
        return target


async def _patiently(call: Callable[[], Awaitable[T]]) -> T:
    """Make a call again after failures that may pass; raises the last one."""
    for wait_s in WAITS_S:
        try:
            return await call()
        except (ForgeError, GitError) as error:
            if not error.transient:
                raise
            log.info("forge_is_tried_again", after_s=wait_s, error=str(error))
            await asyncio.sleep(wait_s)
    return await call()


def _moved(branch: str, head: str) -> str:
    return f"{branch} is at {head[:12]}, which no incident of this task has put there: save that work and delete it"
